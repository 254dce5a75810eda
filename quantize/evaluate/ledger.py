"""The ledger of the held-out sets: a line is kept of every time they are opened."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MAIN = ("ap_all", "ap_ge16", "ap_ge32", "nme5_box", "pose_mae", "within_20", "fp_per_100@0.5", "edc_area")
"""Figures that a line holds, of those that were measured."""


def record(ledger: Path, recipe: str, sha256: str, results: Sequence[dict[str, Any]]) -> None:
    """Appends one JSON line: ``date`` (UTC), ``recipe``, ``sha256`` of the bundle, and the main ``figures`` of its int8
    network by set and input rule.

    Args:
        ledger: the file; its folder is made if need be.
        recipe: name of the recipe.
        sha256: of the bundle.
        results: of `quantize.evaluate.evaluation.evaluate`; none where the evaluation was interrupted before the first.
    """
    figures = {
        f"{r['model'].partition(' ')[2]}, {r['set']}, {r['rule']}": {k: r[k] for k in MAIN if r.get(k) is not None}
        for r in results
        if r["model"].startswith(f"{recipe} int8")
    }
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a") as f:
        line = {"date": date, "recipe": recipe, "sha256": sha256, "figures": figures}
        f.write(json.dumps(line, ensure_ascii=False) + "\n")
