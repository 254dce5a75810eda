"""The tables of step ``evaluate`` and of ``compare``, as JSON and Markdown: detectors side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantize.evaluate.intervals import Resamples, interval_rows, intervals

#: Rows of the table: key and heading.
FIGURES = {
    "ap_all": "AP all",
    "ap_ge16": "AP ≥16 px",
    "ap_ge32": "AP ≥32 px",
    "ap_ge64": "AP ≥64 px",
    "recall@0.5": "recall, faces ≥32 px, score ≥.5",
    "precision@0.5": "precision, faces ≥32 px, score ≥.5",
    "recall@0.6": "recall, faces ≥32 px, score ≥.6",
    "precision@0.6": "precision, faces ≥32 px, score ≥.6",
    "nme5": "5-point error / eye distance, %",
    "nme5_median": "the same, median, %",
    "nme5_box": "5-point error / box, %",
    "miss5": "faces with points not found",
    "pose_mae": "pose MAE, °",
    "yaw": "yaw, °",
    "pitch": "pitch, °",
    "roll": "roll, °",
    "geodesic": "geodesic, °",
    "within_20": "rotations within 20°, share of the found",
    "pose_miss": "faces with pose not found",
    "fp_per_100@0.5": "false positives per 100 empty photos, score ≥.5",
    "score_1fp": "threshold for 1 false positive per 100 empty photos",
    "edc_area": "quality (else score): error-versus-discard area",
}


def write_table(run: Path, results: list[dict[str, Any]]) -> None:
    """``table.json`` and ``table.md`` of the results so far."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "table.json").write_text(json.dumps(results, indent=1, ensure_ascii=False))
    (run / "table.md").write_text(markdown(results))


def write_intervals(run: Path, resamples: Resamples | None) -> None:
    """``intervals.json`` and ``intervals.md``: by set and input rule how far figures and differences would move.

    If None, none, nor those of a run before, which would pass for intervals of this one's table.
    """
    as_json, as_text = run / "intervals.json", run / "intervals.md"
    if resamples is None:
        as_json.unlink(missing_ok=True)
        as_text.unlink(missing_ok=True)
        return
    rows, lines = [], []
    models = list(dict.fromkeys(name for values in resamples.values.values() for name in values))
    for (name, rule), values in resamples.values.items():
        figures = intervals(values)
        lines += interval_rows(f"{name}, {rule}", figures, FIGURES, models)
        rows += [
            {"set": name, "rule": rule, "figure": key, "model": model, **interval.to_json()}
            for key, columns in figures.items()
            for model, interval in columns.items()
        ]
    head = f"| set, input | figure | {' | '.join(models)} |\n" + "|---" * (len(models) + 2) + "|\n"
    as_json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    as_text.write_text(head + "".join(line + "\n" for line in lines))


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """Detectors side by side, one row a figure with its set and input rule."""
    models = list(dict.fromkeys(r["model"] for r in results))
    rows = [f"| set, input | figure | {' | '.join(models)} |", "|---" * (len(models) + 2) + "|"]
    for name, rule in dict.fromkeys((r["set"], r["rule"]) for r in results):
        cells = {r["model"]: r for r in results if (r["set"], r["rule"]) == (name, rule)}
        for key, heading in FIGURES.items():
            values = [cells.get(m, {}).get(key) for m in models]
            if any(v is not None for v in values):
                shown = " | ".join("–" if v is None else f"{v:.4g}" for v in values)
                rows.append(f"| {name}, {rule} | {heading} | {shown} |")
        for low_high in dict.fromkeys(k for c in cells.values() for k in c.get("pose_by_yaw", {})):
            values = [cells.get(m, {}).get("pose_by_yaw", {}).get(low_high, {}).get("pose_mae") for m in models]
            shown = " | ".join("–" if v is None else f"{v:.4g}" for v in values)
            rows.append(f"| {name}, {rule} | pose MAE at yaw {low_high}°, ° | {shown} |")
        for group in dict.fromkeys(k for c in cells.values() for k in c.get("by_lightness", {})):
            values = [cells.get(m, {}).get("by_lightness", {}).get(group, {}).get("recall") for m in models]
            shown = " | ".join("–" if v is None else f"{v:.4g}" for v in values)
            rows.append(f"| {name}, {rule} | recall at the default threshold, faces ≥32 px, cheeks {group} | {shown} |")
    return "\n".join(rows) + "\n"
