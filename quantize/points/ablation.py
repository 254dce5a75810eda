"""The ablation of edgeface-points: its rows are trained by `PointsTrainer` and measured on the packed dev split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from quantize.files import replacing
from quantize.points.dev import measure
from quantize.points.model import load_points
from quantize.points.train import begin, trainer_of
from quantize.run import bar, console
from quantize.train.ablation import Ablation, Training, linked, write

FIGURES = {
    "nme": ("NME / eyes, %", -1),
    "nme_inexact": ("NME, inexact crops, %", -1),
    "taught": ("points of teachers, % of the crop", -1),
    "taught_inexact": ("the same, inexact crops, %", -1),
    "auc_shut": ("shut eyes, AUC", 1),
    "auc_open": ("open mouths, AUC", 1),
}
"""Key of `quantize.points.dev.measure`, heading, and whether more is better."""


def ablate_points(ablation: Ablation, every: Sequence[Training]) -> Path:
    """Trains what is missing of ``every`` and writes ``table.md`` and ``table.json``; returns the table's path.

    Raises:
        StepError: the packed faces are not there, or a row's folder holds the training of another recipe. All rows are
            checked before any work.
    """
    linked(ablation, every, "pack/targets.npz")
    for t in every:
        begin(t.run)
    figures = {(t.row.name, t.seed): _done(t) for t in every}
    left = [t for t in every if figures[t.row.name, t.seed] is None]
    console.print(f"{len(every) - len(left)} of {len(every)} trainings are done; to do:", highlight=False)
    for t in left:
        console.print(f"  {t.row.name}, seed {t.seed}, {t.views:,} views", highlight=False)
    for number, t in enumerate(left, 1):
        console.print(f"{number} of {len(left)}: {t.row.name}, seed {t.seed}", highlight=False)
        _train(t)
        found = measure(load_points(t.network), t.run.path("label", "dev-pack"))
        with replacing(t.run.path("figures.json")) as part:
            part.write_text(json.dumps(found, indent=1))
        figures[t.row.name, t.seed] = found
        write(ablation, figures, FIGURES)
    return write(ablation, figures, FIGURES)


def _done(t: Training) -> dict[str, float] | None:
    """The figures of a training that has ended, None for one that is to be done."""
    ended = t.run.path("figures.json")
    there = t.network.is_file() and ended.is_file()
    figures: dict[str, float] | None = json.loads(ended.read_text()) if there else None
    return figures


def _train(t: Training) -> None:
    trainer = trainer_of(t.run)
    with bar(t.run.folder.name, lambda: trainer.seen, t.views):
        trainer.train()
