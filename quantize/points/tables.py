"""The figures of step ``evaluate`` as Markdown: a short table, and one of each set."""

from __future__ import annotations

from typing import Any

COLUMNS = {
    "faces": "faces",
    "missed": "missed",
    "nme_eyes": "NME / eyes, %",
    "nme_box": "NME / box, %",
    "failures": "failures at 8 %",
    "auc": "AUC to 8 %",
}

#: Crops of the short table.
SHORT = ("true", "found")
MOST = 8
"""Rows of the short table."""

Results = dict[str, dict[str, dict[str, Any]]]
"""Set, network, trial, figures."""


def markdown(results: Results) -> str:
    """One table of points for each set, then what else was measured, one line a figure."""
    return "\n".join(f"## {name}\n\n{text}\n" for name, text in tables_by_set(results).items())


def tables_by_set(results: Results) -> dict[str, str]:
    """Of each set a table of points, where it has them, and a line for each figure besides."""
    return {name: "\n\n".join(filter(None, _table_and_lines(networks))) for name, networks in results.items()}


def short_table(results: Results) -> str:
    """At most eight rows: of each set, what the first network says in true and found crops, and the best peer."""
    rows = []
    for name, networks in results.items():
        first = next(iter(networks))
        ours = {trial: v for trial, v in networks[first].items() if trial in SHORT}
        rows += [(name, first, trial, values) for trial, values in ours.items()]
        peers = {k: v for k, v in networks.get("peers", {}).items() if isinstance(v, dict) and "failures" in v}
        if peers and len(ours) == len(SHORT):
            best = min(peers, key=lambda peer: peers[peer]["nme_box"])
            rows.append((name, f"best peer, {best}", "found", peers[best]))
    while len(rows) > MOST:  # held-out sets come after the dev split, and are what a reader wants
        rows = [row for row in rows if row[0] != rows[0][0]]
    lines = [f"| {name} | {network} | {crops} | {_cells(values)} |" for name, network, crops, values in rows]
    return "\n".join([f"| set | network | crops | {' | '.join(COLUMNS.values())} |", "|---" * 9 + "|", *lines])


def _table_and_lines(networks: dict[str, dict[str, Any]]) -> tuple[str, str]:
    rows: list[str] = []
    rest: list[str] = []
    for network, figures in networks.items():
        for trial, values in figures.items():
            if isinstance(values, dict) and "failures" in values:
                shown = "found boxes" if network == "peers" else trial
                title = trial if network == "peers" else network
                rows.append(f"| {title} | {shown} | {_cells(values)} |")
                rest += [f"- {title}, {k}: {_said(v)}" for k, v in values.items() if k not in COLUMNS]
            else:
                rest.append(f"- {network}, {trial}: {_said(values)}")
    head = [f"| network | crops | {' | '.join(COLUMNS.values())} |", "|---" * 8 + "|"]
    return "\n".join([*head, *rows]) if rows else "", "\n".join(rest)


def _cells(values: dict[str, Any]) -> str:
    return " | ".join(str(values[k]) for k in COLUMNS)


def _said(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "; ".join(f"{k} {f'({_said(v)})' if isinstance(v, dict) else v}" for k, v in value.items())
