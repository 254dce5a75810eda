"""The model card of a bundle: sentences and tables for what was measured and stated, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from edgeface.bundle import Bundle
from quantize.evaluate.tables import FIGURES
from quantize.evaluate.turned import TURNED

CARD = Path(__file__).parent / "model-card.md.j2"


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

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(CARD.read_text()).render(
        m=manifest,
        networks=networks,
        rows=_rows(results, networks),
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


def _rows(results: Sequence[dict[str, Any]], networks: Sequence[str]) -> list[tuple[str, str, str, list[str]]]:
    """(set, input rule, figure, what each network has of it), in the order in which they were measured."""
    measured = {(r["set"], r["rule"], r["model"]): r for r in results}
    rows = []
    for name, rule in dict.fromkeys((r["set"], r["rule"]) for r in results):
        beside = [measured.get((name, rule, network), {}) for network in networks]
        rows += [
            (name, rule, heading, [_cell(result, key) for result in beside])
            for key, heading in FIGURES.items()
            if any(result.get(key) is not None for result in beside)
        ]
    return rows


def _cell(result: dict[str, Any], key: str) -> str:
    if result.get(key) is None:
        return "–"
    if key not in result.get("between", {}):
        return f"{result[key]:.4g}"
    low, high = result["between"][key]
    return f"{result[key]:.4g} ({low:.3g} to {high:.3g})"
