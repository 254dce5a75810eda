"""Step ``compress``: from a float checkpoint to weights and a plan that hold the budget in int8.

Channels are equalised, the first layer is bounded, output channels get a scale each. Then weights are rounded (GPTQ) or
tuned (QAT), and what int8 costs is measured on training photos, layer by layer and in the detector's own figures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quantize.compress.bounded_stem import bound_stem
from quantize.compress.calibration import Images, choose_large, choose_photos, load_photos
from quantize.compress.channel_scales import Scales, channel_scales, fold_scales, shift_scores
from quantize.compress.control import BudgetError, broken, control
from quantize.compress.equalisation import equalise
from quantize.compress.figures import LEAST_FACES, control_samples, figures, loss_of
from quantize.compress.qdq import quantize_onnx
from quantize.compress.report import layer_report, write_report
from quantize.compress.rounding import round_weights
from quantize.data.sample import Sample, read_samples
from quantize.label.entropy import drop_doubtful
from quantize.models import Network, checkpoint_of, fuse, load_student
from quantize.models.onnx import export_float
from quantize.run import Run, StepError, bar, console, perform

METHODS = {
    "gptq": "static, after training, with weights rounded together (GPTQ) and corrected biases",
    "ptq": "static, after training",
    "nncf": "static, after training, with NNCF's bias correction",
    "qat": "quantisation-aware tuning (NNCF), then static",
}


def compress(run: Run, checkpoint: Path | None = None) -> dict[str, Any]:
    """Int8 weights and a plan that hold the budget.

    Args:
        run: needs step ``data`` for the calibration photos; ``label`` too for method "qat".
        checkpoint: float weights; those of step ``train`` if None.

    Returns:
        ``method``, ``float_figures``, ``loss``, ``float_layers``.

    Raises:
        StepError: an earlier step is missing, or a calibration photo is one that `evaluate` measures on.
        BudgetError: int8 loses more than ``compress.budget`` allows.
    """
    source = checkpoint if checkpoint is not None else run.need("train", "ema.pt")
    if not source.is_file():
        raise StepError(f"--checkpoint must be a file, but got {source}")
    work = partial(_compress, source=source, foreign=checkpoint is not None)
    return perform(run, "compress", work, [source, _samples_file(run)], ["compress"])


def _samples_file(run: Run) -> Path:
    labelled = run.path("label", "samples.jsonl")
    return labelled if labelled.is_file() else run.need("data", "samples.jsonl")


def training_samples(run: Run) -> list[Sample]:
    """The labelled photos of training where there are any, else those of step ``data``.

    Raises:
        StepError: one of them lies in ``evaluate.sets``: what is measured on may not be calibrated on.
    """
    samples = read_samples(_samples_file(run))
    drop_doubtful(samples, run.recipe.label.pose_quantile)
    sets = run.recipe.evaluate.sets
    inside = [s for s in samples if sets is not None and s.path.resolve().is_relative_to(sets.resolve())]
    if inside:
        raise StepError(
            f"calibration photos must not be of evaluate.sets, but got {inside[0].path}: take it out of data.sets"
        )
    return samples


@dataclass(frozen=True)
class Calibration:
    """Photos that ranges are measured on: their paths, and the arrays (n, h, w, 3) uint8 of small and large inputs.

    The ONNX file takes any size: on large inputs faces are larger, and what says so must not be cut off.
    """

    paths: list[Path]
    images: Images
    large: Images | None

    @property
    def all(self) -> list[Images]:
        """The arrays, small inputs first."""
        return [self.images, *([self.large] if self.large is not None else [])]


def calibration_of(run: Run, samples: Sequence[Sample]) -> Calibration:
    """The calibration photos that a recipe asks for, as far as there are so many."""
    options, seed = run.recipe.compress, run.recipe.seed
    paths = choose_photos(samples, options.photos, seed)
    share = options.large_photos / options.photos  # a large photo costs as much as four: fewer photos, fewer of them
    large = choose_large(samples, min(options.large_photos, math.ceil(share * len(paths))), seed)
    return Calibration(
        paths, load_photos(paths, options.photo_size), load_photos(large, options.large_photo_size) if large else None
    )


def _compress(run: Run, folder: Path, source: Path, foreign: bool) -> dict[str, Any]:
    options = run.recipe.compress
    torch.set_num_threads(run.recipe.train.threads)
    samples = training_samples(run)
    photos = calibration_of(run, samples)
    model, scales = _prepared(run, source, photos)
    float_path, int8_path, rounded_path = (folder / f"{name}.onnx" for name in ("float32", "int8", "rounded"))
    export_float(model, float_path)
    held = control_samples(samples, options.control_photos)
    reference = figures(float_path, "float32", scales, held)
    full, rounded = _for_int8(run, folder, model, scales, photos.all)
    export_float(rounded, rounded_path)
    ranges = folder / "ranges.json"
    ranges.unlink(missing_ok=True)  # of other weights

    def make(kept: list[str]) -> None:
        console.print(
            f"  calibration: {sum(map(len, photos.all))} inputs, {len(kept)} layers in float", highlight=False
        )
        quantize_onnx(rounded_path, int8_path, photos.all, keep_float=kept, cache=ranges)

    report_on = partial(layer_report, full, float_path if full is model else rounded_path, int8_path)
    kept, tries = control(
        make,
        lambda: loss_of(figures(int8_path, "int8", scales, held), reference),
        partial(broken, options.budget),
        lambda: [row["node"] for row in report_on(photos.images[:4])],
        options.most_float_layers,
    )
    write_report(folder, report_on(photos.images[:4]), tries)
    torch.save(checkpoint_of(full), folder / "float.pt")
    state = checkpoint_of(
        rounded,
        channel_scale={str(s): v.tolist() for s, v in scales.items()},
        keep_float=kept,
        method=options.method,
        photos=[p.name for p in photos.paths],
        source={"name": source.name, "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "foreign": foreign},
    )
    torch.save(state, folder / "weights.pt")
    if unjudged := sorted({"ap", "degrees", "nme"} - reference.keys()):
        console.print(
            f"  not judged: {', '.join(unjudged)} (fewer than {LEAST_FACES} labelled faces in the training photos)",
            highlight=False,
        )
    if tries[-1]["broken"]:
        raise BudgetError(
            f"int8 broke its budget ({'; '.join(tries[-1]['broken'])}); see {folder / 'control.json'} and layers.json: "
            "raise compress.most_float_layers or compress.budget, or set compress.method to qat"
        )
    rounded_figures = {key: round(value, 4) for key, value in reference.items()}
    return {
        "method": options.method,
        "float_figures": rounded_figures,
        "loss": tries[-1]["loss"],
        "float_layers": kept,
    }


def _prepared(run: Run, source: Path, photos: Calibration) -> tuple[Network, Scales]:
    """The folded float network with its channels scaled for eight bits, and the factors that undo the heads' scales."""
    options = run.recipe.compress
    model = equalise(fuse(load_student(source)), photos.images, options.equalise)
    bound_stem(model, photos.images, options.stem_percentile)
    shift_scores(model, options.score_shift)
    scales = channel_scales(model, photos.images, load_photos(photos.paths, options.large_photo_size))
    return fold_scales(model, scales), scales


def _for_int8(
    run: Run, folder: Path, model: Network, scales: Scales, images: Sequence[Images]
) -> tuple[Network, Network]:
    """The network that int8 is measured by and that ships in float, and the one that is written in int8."""
    options = run.recipe.compress
    if options.method == "gptq":
        done = {"layers": 0}

        def progress(layers: int, total: int) -> None:
            done["layers"] = layers

        layers = sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())
        with bar("round weights", lambda: done["layers"], layers):
            return model, round_weights(model, images, run.recipe.seed, grids=options.grids, progress=progress)
    if options.method == "nncf":
        from quantize.compress.qat import baked, with_fake_quantisers

        tuned = baked(with_fake_quantisers(model, images[0]), model)
        return tuned, tuned
    if options.method == "qat":
        from quantize.compress.qat import Tuner
        from quantize.train.curves import draw_log

        run.need("label", "pack/samples.jsonl")
        tuner = Tuner(model, scales, images[0], run.recipe, run.path("label", "pack"), folder, run.device)
        with bar("tune", lambda: tuner.step, options.qat.steps):
            tuned = tuner.train()
        draw_log(folder / "qat.jsonl", folder, "qat")
        return tuned, tuned
    return model, model


def scales_of(state: dict[str, Any]) -> Scales:
    """The channel scales that a checkpoint of this step has folded into its heads."""
    return {int(s): np.array(v, np.float32) for s, v in state["channel_scale"].items()}
