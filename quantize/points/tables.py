"""The figures of step ``evaluate`` as Markdown: one table a set."""

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


def markdown(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One table of points for each set, then what else was measured, one line a figure."""
    lines: list[str] = []
    for name, networks in results.items():
        lines += [f"## {name}", "", f"| network | crops | {' | '.join(COLUMNS.values())} |", "|---" * 8 + "|"]
        rest: list[str] = []
        for network, figures in networks.items():
            for trial, values in figures.items():
                if isinstance(values, dict) and "failures" in values:
                    shown = "found boxes" if network == "peers" else trial
                    title = trial if network == "peers" else network
                    lines.append(f"| {title} | {shown} | {' | '.join(str(values[k]) for k in COLUMNS)} |")
                    nested = {k: v for k, v in values.items() if k not in COLUMNS}
                    rest += [f"- {title}, {k}: {_said(v)}" for k, v in nested.items()]
                else:
                    rest.append(f"- {network}, {trial}: {_said(values)}")
        lines += ["", *rest, ""]
    return "\n".join(lines) + "\n"


def _said(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "; ".join(f"{k} {f'({_said(v)})' if isinstance(v, dict) else v}" for k, v in value.items())
