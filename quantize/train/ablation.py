"""The ablation: short trainings that differ from one recipe in one thing each, with two seeds, measured on the dev
split.

    python -m quantize ablate quantize/recipes/ablation.toml

A row that stands in the run folder is not trained again.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from quantize.config import Count, Recipe, RecipeError, Table, checked, load_recipe, merged
from quantize.data.sample import read_samples
from quantize.files import replacing
from quantize.models import load_student
from quantize.run import Run, bar, console
from quantize.train.dev import measure
from quantize.train.loop import Trainer
from quantize.train.pretrain import pretrain

FIGURES = {
    "dev_ap_ge16_640": ("AP ≥16 px @640", 1),
    "dev_ap_ge32_320": ("AP ≥32 px @320", 1),
    "dev_nme5_box_320": ("points / box, % @320", -1),
    "dev_pose_320": ("rotation, ° to teachers @320", -1),
    "dev_fp_per_100": ("false positives per 100", -1),
}
"""Key of `quantize.train.dev.measure`, heading, and whether more is better."""


class Row(Table):
    """One thing that differs: ``set`` is merged into the recipe."""

    name: str
    set: dict[str, Any] = Field(default_factory=dict)


class Ablation(Table):
    """The file of an ablation. ``recipe`` is relative to it; ``run`` holds the labelled photos of that recipe's run."""

    recipe: Path
    run: Path
    seeds: list[int] = Field(min_length=1)
    photos: Count = 150
    rows: list[Row] = Field(min_length=1)


def load_ablation(path: Path) -> Ablation:
    """Raises RecipeError for a file that is none."""
    try:
        return Ablation.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(
            f"ablation must be a TOML file with recipe, run, seeds and rows, but got {path}: {error}"
        ) from None


def ablate(path: Path, device: str = "auto") -> Path:
    """Trains what is missing and writes ``table.md`` and ``table.json`` into ``ablation.run``; returns the table's
    path.

    Raises:
        RecipeError: the file or one of its rows is no recipe. All rows are checked before any work.
    """
    ablation = load_ablation(path)
    base = load_recipe(path.parent / ablation.recipe).model_dump(mode="json")
    recipes = {
        (row.name, seed): _recipe(base, row, seed, ablation.run) for row in ablation.rows for seed in ablation.seeds
    }
    results: dict[str, list[dict[str, float]]] = {row.name: [] for row in ablation.rows}
    for (name, seed), recipe in recipes.items():
        console.print(f"{name}, seed {seed}", highlight=False)
        results[name].append(_figures(Run(recipe, device=device), ablation.photos))
        _write(ablation.run, results)
    return ablation.run / "table.md"


def _recipe(base: dict[str, Any], row: Row, seed: int, run: Path) -> Recipe:
    slug = "".join(c if c.isalnum() else "-" for c in row.name.lower()).strip("-")
    return checked(merged(base, row.set) | {"seed": seed, "run": str(run / f"{slug}-{seed}")})


def _figures(run: Run, photos: int) -> dict[str, float]:
    """Trained and measured, or read from where that was done."""
    shared = run.folder.parent / "label"  # the labelled photos are those of all rows
    done = run.path("figures.json")
    if done.is_file():
        figures: dict[str, float] = json.loads(done.read_text())
        return figures
    run.folder.mkdir(parents=True, exist_ok=True)
    if not run.path("label").exists():
        run.path("label").symlink_to(shared.resolve(), target_is_directory=True)
    init = pretrain(run).get("checkpoint")
    trainer = Trainer(
        run.recipe, run.path("label", "pack"), run.path("train"), run.device, Path(init) if init else None
    )
    with bar(run.folder.name, lambda: trainer.seen, trainer.total):
        trainer.train()
    dev = read_samples(run.path("label", "dev.jsonl"))
    uses = {s.name: s.use for s in run.recipe.data.sets}
    figures = measure(load_student(run.path("train", "ema.pt")), dev, uses, photos)
    with replacing(done) as part:
        part.write_text(json.dumps(figures, indent=1))
    return figures


def _write(folder: Path, results: dict[str, list[dict[str, float]]]) -> None:
    with replacing(folder / "table.json") as part:
        part.write_text(json.dumps(results, indent=1))
    with replacing(folder / "table.md") as part:
        part.write_text(table(results))


def table(results: dict[str, list[dict[str, float]]]) -> str:
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
    keys = [k for k in FIGURES if any(k in r for rows in results.values() for r in rows)]
    lines = [f"| row | {' | '.join(FIGURES[k][0] for k in keys)} |", f"|---|{'---|' * len(keys)}"]
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
                gain = (mean - first[k]) * FIGURES[k][1]
                cells.append(f"{mean - first[k]:+.2g} ± {spread:.2g}{' better' if gain > spread else ''}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
