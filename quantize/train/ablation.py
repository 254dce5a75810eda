"""The ablation: short trainings that differ from one recipe in one thing each, with two seeds, measured on the dev
split.

    python -m quantize ablate quantize/recipes/ablation.toml

All rows read the packed photos of one folder. A training that has ended is not done again, one that was interrupted
goes on.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from quantize.config import Count, Recipe, RecipeError, Table, checked, load_recipe, merged
from quantize.data.sample import Sample, read_samples
from quantize.files import replacing
from quantize.models import load_student
from quantize.points.config import PointsRecipe
from quantize.run import Run, StepError, bar, console
from quantize.train.dev import measure
from quantize.train.pretrain import pretrain
from quantize.train.search import search
from quantize.train.step import differing, fingerprint, prepared

FIGURES = {
    "dev_ap_ge16_640": ("AP ≥16 px @640", 1),
    "dev_ap_ge32_320": ("AP ≥32 px @320", 1),
    "dev_nme5_box_320": ("points / box, % @320", -1),
    "dev_pose_320": ("rotation, ° to teachers @320", -1),
    "dev_fp_per_100": ("false positives per 100", -1),
}
"""Key of `quantize.train.dev.measure`, heading, and whether more is better."""


class Teachers(Table):
    """The rows whose networks teach one with KD-Loss, each the one of the same seed."""

    tough: str
    tolerant: str


class Row(Table):
    """One thing that differs: ``set`` is merged into the recipe."""

    name: str
    set: dict[str, Any] = Field(default_factory=dict)
    teachers: Teachers | None = None


class Ablation(Table):
    """The file of an ablation. ``recipe`` is relative to it; ``run`` holds the labelled photos of that recipe's run.

    ``set`` is merged into the recipe of all rows, before what a row sets itself.
    """

    recipe: Path
    run: Path
    seeds: list[int] = Field(min_length=1)
    photos: Count = 150
    set: dict[str, Any] = Field(default_factory=dict)
    rows: list[Row] = Field(min_length=1)


@dataclass(frozen=True)
class Training:
    """A row with a seed."""

    row: Row
    seed: int
    run: Run

    @property
    def network(self) -> Path:
        return self.run.path("train", "ema.pt")

    @property
    def views(self) -> int:
        """All that it sees: of a search and of masked pre-training too."""
        recipe = self.run.recipe
        if isinstance(recipe, PointsRecipe):
            return recipe.train.views
        return recipe.search.views + recipe.pretrain.views + sum(p.views for p in recipe.train.phases)


def load_ablation(path: Path) -> Ablation:
    """Raises RecipeError for a file that is none, or whose rows do not fit together."""
    try:
        ablation = Ablation.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(
            f"ablation must be a TOML file with recipe, run, seeds and rows, but got {path}: {error}"
        ) from None
    slugs = [_slug(row.name) for row in ablation.rows]
    if twice := sorted({row.name for row, slug in zip(ablation.rows, slugs, strict=True) if slugs.count(slug) > 1}):
        raise RecipeError(f"rows must have names of their own in letters and digits, but got {', '.join(twice)}")
    return ablation


def trainings(ablation: Ablation, folder: Path, device: str = "auto") -> list[Training]:
    """All trainings, in an order in which teachers come before those whom they teach.

    Args:
        ablation: the file's content.
        folder: which its ``recipe`` is relative to.

    Raises:
        RecipeError: a row is no recipe, changes nothing, or is taught by a row that is not there or that it teaches.
    """
    base = merged(load_recipe(folder / ablation.recipe).model_dump(mode="json"), ablation.set)
    first = _recipe(base, ablation, Row(name="first"), 0)
    for row in ablation.rows[1:]:
        if row.teachers is None and _recipe(base, ablation, row.model_copy(update={"name": "first"}), 0) == first:
            raise RecipeError(f"rows must change something, but {row.name!r} is the recipe itself")
    return [
        Training(row, seed, Run(_recipe(base, ablation, row, seed), device=device))
        for seed in ablation.seeds
        for row in _taught_last(ablation.rows)
    ]


def _taught_last(rows: Sequence[Row]) -> list[Row]:
    names = [row.name for row in rows]
    ordered: list[Row] = []
    left = list(rows)
    for row in rows:
        for role, name in row.teachers or ():
            if name not in names:
                raise RecipeError(
                    f"teachers.{role} of {row.name!r} must be a row ({', '.join(names)}), but got {name!r}"
                )
    while left:
        done = {row.name for row in ordered}
        ready = [row for row in left if all(name in done for _, name in row.teachers or ())]
        if not ready:
            raise RecipeError(f"rows must not teach each other or themselves, but {left[0].name!r} does")
        ordered += ready
        left = [row for row in left if row not in ready]
    return ordered


def _recipe(base: dict[str, Any], ablation: Ablation, row: Row, seed: int) -> Recipe:
    def folder(name: str) -> Path:
        return ablation.run / f"{_slug(name)}-{seed}"

    values = merged(base, row.set)
    if row.teachers is not None:
        paths = {f"{role}_teacher": str(folder(name) / "train" / "ema.pt") for role, name in row.teachers}
        values = merged(values, {"train": {"methods": paths}})
    return checked(values | {"seed": seed, "run": str(folder(row.name))})


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def ablate(path: Path, device: str = "auto") -> Path:
    """Trains what is missing and writes ``table.md`` and ``table.json`` into ``ablation.run``; returns the table's
    path.

    Raises:
        RecipeError: the file or one of its rows is no recipe.
        StepError: the labelled photos are not there, or a row's folder holds the training of another recipe. All rows
            are checked before any work.
    """
    ablation = load_ablation(path)
    every = trainings(ablation, path.parent, device)
    if any(isinstance(t.run.recipe, PointsRecipe) for t in every):
        from quantize.points.ablation import ablate_points

        return ablate_points(ablation, every)
    samples = read_samples(linked(ablation, every, "pack/samples.jsonl"))
    figures = {(t.row.name, t.seed): _done(t, samples, ablation.photos) for t in every}
    left = [t for t in every if figures[t.row.name, t.seed] is None]
    console.print(f"{len(every) - len(left)} of {len(every)} trainings are done; to do:", highlight=False)
    for t in left:
        console.print(f"  {t.row.name}, seed {t.seed}, {t.views:,} views", highlight=False)
    dev = read_samples(ablation.run / "label" / "dev.jsonl") if left else []
    for number, t in enumerate(left, 1):
        console.print(f"{number} of {len(left)}: {t.row.name}, seed {t.seed}", highlight=False)
        figures[t.row.name, t.seed] = _figures(t, samples, dev, ablation.photos)
        write(ablation, figures)
    return write(ablation, figures)


def linked(ablation: Ablation, every: Sequence[Training], packed: str) -> Path:
    """Lets all trainings read the labelled photos of ``ablation.run``; nothing is copied.

    Args:
        ablation: names the run.
        every: trainings of its rows.
        packed: a file of the folder ``label`` that must be there.

    Returns:
        The path of ``packed``.

    Raises:
        StepError: it is not there.
    """
    shared = (ablation.run / "label").resolve()
    if not (shared / packed).is_file():
        raise StepError(
            f"{ablation.run}/label must hold labelled photos, but does not: run `python -m quantize label "
            f"-c RECIPE --run {ablation.run}`, or link the folder `label` of another run of the same recipe"
        )
    for t in every:
        t.run.folder.mkdir(parents=True, exist_ok=True)
        link = t.run.path("label")
        if link.is_symlink() and link.resolve() != shared:
            link.unlink()
        if not link.exists():
            link.symlink_to(shared, target_is_directory=True)
    return shared / packed


def _done(t: Training, samples: Sequence[Sample], photos: int) -> dict[str, float] | None:
    """The figures of a training that has ended, None for one that is to be done.

    Raises:
        StepError: its folder holds the training of another recipe.
    """
    wanted = fingerprint(t.run, samples)
    begun, ended = t.run.path("train", "begun.json"), t.run.path("figures.json")
    there = begun.is_file() and t.run.path("train", "last.pt").is_file()
    if there and (other := differing(wanted, json.loads(begun.read_text()))):
        raise StepError(
            f"{t.run.folder} must hold a training of row {t.row.name!r}, but {', '.join(other[:5])} changed: "
            "move it away, or name another run"
        )
    if not (there and ended.is_file()):
        return None
    said = json.loads(ended.read_text())
    figures: dict[str, float] = said["figures"]
    return figures if said["photos"] == photos else None


def _figures(t: Training, samples: Sequence[Sample], dev: Sequence[Sample], photos: int) -> dict[str, float]:
    search(t.run)
    pretrain(t.run)
    folder = t.run.path("train")
    folder.mkdir(exist_ok=True)
    trainer = prepared(t.run, folder, samples)
    with bar(t.run.folder.name, lambda: trainer.seen, trainer.total):
        trainer.train()
    figures = measure(load_student(t.network), dev, {s.name: s.use for s in t.run.recipe.data.sets}, photos)
    with replacing(t.run.path("figures.json")) as part:
        part.write_text(json.dumps({"photos": photos, "figures": figures}, indent=1))
    return figures


def write(
    ablation: Ablation,
    figures: dict[tuple[str, int], dict[str, float] | None],
    headings: Mapping[str, tuple[str, int]] = FIGURES,
) -> Path:
    """What is known of each row, in the order of the file, as ``table.json`` and ``table.md``; returns the latter."""
    results = {
        row.name: [f for seed in ablation.seeds if (f := figures[row.name, seed]) is not None] for row in ablation.rows
    }
    with replacing(ablation.run / "table.json") as part:
        part.write_text(json.dumps(results, indent=1))
    with replacing(ablation.run / "table.md") as part:
        part.write_text(table(results, headings))
    return ablation.run / "table.md"


def table(results: dict[str, list[dict[str, float]]], headings: Mapping[str, tuple[str, int]] = FIGURES) -> str:
    """A Markdown table: the first row's means, the others' differences to it, each with half the spread of its seeds.

    Examples:
        >>> recipe = [{"dev_ap_ge16_640": 0.5}, {"dev_ap_ge16_640": 0.52}]
        >>> print(table({"recipe": recipe, "with": [{"dev_ap_ge16_640": 0.55}]}))
        | row | AP ≥16 px @640 |
        |---|---|
        | recipe | 0.51 ± 0.01 |
        | with | +0.04 ± 0 better |
        <BLANKLINE>
    """
    keys = [k for k in headings if any(k in r for rows in results.values() for r in rows)]
    lines = [f"| row | {' | '.join(headings[k][0] for k in keys)} |", f"|---|{'---|' * len(keys)}"]
    first: dict[str, float] = {}
    for name, rows in results.items():
        cells = []
        for k in keys:
            values = np.array([r[k] for r in rows if k in r])
            if not len(values):
                cells.append("–")
                continue
            mean, spread = float(values.mean()), float(np.ptp(values)) / 2
            if k not in first:
                first[k] = mean
                cells.append(f"{mean:.3g} ± {spread:.2g}")
            else:
                gain = (mean - first[k]) * headings[k][1]
                cells.append(f"{mean - first[k]:+.2g} ± {spread:.2g}{' better' if gain > spread else ''}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
