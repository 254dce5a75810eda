"""Curves of a run: PNG for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def series(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Every number of a log (one JSON object a line, each with ``step``) as (step, value) pairs."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        for key, value in row.items():
            if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
                found.setdefault(key, []).append((row["step"], value))
    return found


def draw_log(log: Path, folder: Path, name: str = "curves") -> None:
    """``curves.json`` and ``curves.png``, a small chart for each number of the log."""
    found = series(log)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found))
    if not found:
        return
    plt = _pyplot()
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(found) :]:
        axis.axis("off")
    for axis, (key, pairs) in zip(axes.flat, found.items(), strict=False):
        axis.plot(*zip(*pairs, strict=True), linewidth=1, marker="." if len(pairs) < 30 else None)
        axis.set_title(key, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=8)
    figure.savefig(folder / f"{name}.png", dpi=80)
    plt.close(figure)


def bars(path: Path, labels: Sequence[str], values: Mapping[str, Sequence[float]], title: str, unit: str) -> None:
    """A horizontal bar chart, one group a label."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(9, 1 + 0.3 * max(1, len(labels))), layout="constrained")
    height = 0.8 / max(1, len(values))
    for i, (name, numbers) in enumerate(values.items()):
        axis.barh([n + i * height for n in range(len(labels))], numbers, height, label=name)
    axis.set_yticks([n + 0.4 - height / 2 for n in range(len(labels))], labels, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower right", framealpha=1)
    axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=80)
    plt.close(figure)
