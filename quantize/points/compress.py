"""Step ``compress`` of edgeface-points: int8 weights and ranges that hold the budget, else layers stay in float."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quantize.compress.control import BudgetError, broken, control
from quantize.compress.ranges import cover
from quantize.compress.report import layer_report, write_report
from quantize.data.photos import every_nth
from quantize.models import fuse
from quantize.points.config import recipe_of
from quantize.points.metrics import nme
from quantize.points.model import checkpoint_of_points, load_points
from quantize.points.networks import of_onnx
from quantize.points.onnx import export_points, face_ranges, quantize_points, with_rows
from quantize.points.pack import Targets
from quantize.points.views import FaceViews, cut
from quantize.run import Run, StepError, console, perform

REPORTED = 16
"""Crops that the report by layer is measured on; of the outputs, which are not rounded, they are the calibration."""


def compress(run: Run, checkpoint: Path | None = None) -> dict[str, Any]:
    """The int8 network of a float checkpoint; that of step ``train`` if None.

    Returns:
        ``float_nme`` and ``loss`` (share of it) over control faces of the training set, ``float_layers``.

    Raises:
        StepError: an earlier step is missing.
        BudgetError: int8 loses more than ``compress.budget.nme`` of the error with as many float layers as allowed.
    """
    source = checkpoint if checkpoint is not None else run.need("train", "ema.pt")
    if not source.is_file():
        raise StepError(f"--checkpoint must be a file, but got {source}")
    pack = run.need("label", "pack/targets.npz")
    work = partial(_compress, source=source, foreign=checkpoint is not None)
    return perform(run, "compress", work, [source, pack], ["compress"])


def inexact(views: FaceViews, which: NDArray[Any], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Crops (n, 112, 112, 3) of packed faces with the crop's errors, and their points (n, 68, 2)."""
    rng = np.random.default_rng(seed)
    jitters = [views.jitter(rng, int(i)) for i in which]
    crops = np.stack([cut(views.crops[i], j) for i, j in zip(which, jitters, strict=True)])
    return crops, np.stack([j.moved(views.targets.points[i]) for i, j in zip(which, jitters, strict=True)])


def _control_faces(targets: Targets, count: int) -> NDArray[np.int64]:
    drawn = np.flatnonzero(targets.drawn > 0)
    return np.array(every_nth(drawn.tolist() or range(len(targets)), count))


def _compress(run: Run, folder: Path, source: Path, foreign: bool) -> dict[str, Any]:
    recipe = recipe_of(run)
    options = recipe.compress
    torch.set_num_threads(recipe.train.threads)
    model = fuse(load_points(source))
    views = FaceViews(run.path("label", "pack"), recipe.train.augment)
    calibration, _ = inexact(views, np.array(every_nth(range(len(views.targets)), options.photos)), recipe.seed)
    held, truth = inexact(views, _control_faces(views.targets, options.control_faces), recipe.seed + 1)
    maps, int8_maps, int8 = folder / "maps.onnx", folder / "int8-maps.onnx", folder / "int8.onnx"
    export_points(model, maps)
    with_rows(maps, folder / "float32.onnx")
    reference = float(nme(of_onnx(folder / "float32.onnx")(held)["points"], truth).mean())
    ranges = cover(face_ranges(maps, calibration), options.covered)

    def make(kept: list[str]) -> None:
        console.print(f"  calibration: {len(calibration)} crops, {len(kept)} layers in float", highlight=False)
        quantize_points(maps, int8_maps, calibration[:REPORTED], kept, ranges)
        with_rows(int8_maps, int8)

    def loss() -> dict[str, float]:
        return {"nme": float(nme(of_onnx(int8)(held)["points"], truth).mean()) / reference - 1}

    report_on = partial(layer_report, model, maps, int8_maps)
    kept, tries = control(
        make,
        loss,
        partial(broken, options.budget),
        lambda: [row["node"] for row in report_on(calibration[:REPORTED])],
        options.most_float_layers,
    )
    write_report(folder, report_on(calibration[:REPORTED]), tries)
    where = {"name": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "foreign": foreign}
    state = checkpoint_of_points(model, keep_float=kept, faces=len(calibration), source=where, method=options.method)
    torch.save(state, folder / "weights.pt")
    if tries[-1]["broken"]:
        raise BudgetError(
            f"int8 broke its budget ({'; '.join(tries[-1]['broken'])}); see {folder / 'control.json'} and layers.json: "
            "raise compress.most_float_layers or compress.budget"
        )
    return {"float_nme": round(reference, 4), "loss": tries[-1]["loss"], "float_layers": kept}
