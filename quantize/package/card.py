"""The model card of a bundle: sentences and tables for what was measured and stated, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface.bundle import Bundle
from quantize.evaluate.tables import FIGURES
from quantize.models.turned import TURNED
from quantize.package.rendering import render

CARD = Path(__file__).parent / "model-card.md.j2"
#: What a reader sees first, of the first set and input that has it.
SHORT = ("ap_ge32", "recall@0.5", "precision@0.5", "fp_per_100@0.5", "nme5", "pose_mae", "edc_area")

Row = tuple[str, str, str, list[str]]
"""Set, input rule, figure, and what each network has of it."""


def card_of(bundle: Bundle, size: int, parameters: int) -> str:
    """The card as Markdown.

    Args:
        bundle: a packaged one.
        size: bytes of its file.
        parameters: of the network.
    """
    manifest = bundle.manifest
    results = manifest.metrics.get("results", [])
    networks = list(dict.fromkeys(r["model"] for r in results))

    def parts(key: str) -> list[tuple[str, str, str, str, dict[str, Any]]]:
        return [(r["set"], r["rule"], r["model"], part, v) for r in results for part, v in r.get(key, {}).items()]

    return render(
        CARD,
        m=manifest,
        networks=networks,
        short=short_rows(results, networks),
        rows_by_set=rows_by_set(results, networks),
        drawn=any("between" in r for r in results),
        sets={name for r in results for name in r["set"].partition(":")[0].split("+")},
        turned=any(r["rule"].startswith(TURNED) for r in results),
        dev_alone=bool(results) and all(r["set"].startswith("dev/") for r in results),
        has={key: any(r.get(key) is not None for r in results) for key in FIGURES},
        by_yaw=parts("pose_by_yaw"),
        by_lightness=parts("by_lightness"),
        files=[
            (f.file, sum(map(len, (bundle.read(f), bundle.read_weights(f) or b""))), f.precision, f.size)
            for f in manifest.models
        ],
        parameters=parameters,
        size=size,
        unstated=any("not stated" in (d["origin"], d["terms"]) for d in manifest.lineage["data"]),
    )


def rows_by_set(results: Sequence[dict[str, Any]], networks: Sequence[str]) -> dict[str, list[Row]]:
    """Every figure, in the order in which it was measured."""
    rows: dict[str, list[Row]] = {}
    for name, rule in _trials(results):
        rows.setdefault(name, []).extend(
            _row(results, networks, name, rule, key)
            for key in FIGURES
            if any(r.get(key) is not None for r in _of(results, name, rule))
        )
    return {name: of for name, of in rows.items() if of}


def short_rows(results: Sequence[dict[str, Any]], networks: Sequence[str]) -> list[Row]:
    """At most eight rows: the figures of `SHORT`, and AP at a second input of the same photos."""
    rows = []
    for key in SHORT:
        measured = [trial for trial in _trials(results) if any(r.get(key) is not None for r in _of(results, *trial))]
        if key == "nme5":  # in profile the eyes are close to each other, and the error in eye distances is large
            measured.sort(key=lambda trial: any(r.get("pose_mae") is not None for r in _of(results, *trial)))
        of_first = [trial for trial in measured if trial[0] == measured[0][0] and not trial[1].startswith(TURNED)]
        rows += [_row(results, networks, *trial, key) for trial in of_first[: 2 if key == SHORT[0] else 1]]
    return rows


def _trials(results: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((r["set"], r["rule"]) for r in results))


def _of(results: Sequence[dict[str, Any]], name: str, rule: str) -> list[dict[str, Any]]:
    return [r for r in results if (r["set"], r["rule"]) == (name, rule)]


def _row(results: Sequence[dict[str, Any]], networks: Sequence[str], name: str, rule: str, key: str) -> Row:
    beside = {r["model"]: r for r in _of(results, name, rule)}
    return (name, rule, FIGURES[key], [_cell(beside.get(network, {}), key) for network in networks])


def _cell(result: dict[str, Any], key: str) -> str:
    if result.get(key) is None:
        return "–"
    if key not in result.get("between", {}):
        return f"{result[key]:.4g}"
    low, high = result["between"][key]
    return f"{result[key]:.4g} ({low:.3g} to {high:.3g})"
