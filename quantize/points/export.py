"""Step ``export`` of edgeface-points: ONNX and ncnn files of the same weights in one bundle, and their parity."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgeface import bundle
from edgeface.manifest import (
    POINTS_RULE,
    POINTS_STATE,
    SCHEMA,
    DecodeSpec,
    InputSpec,
    Manifest,
    ModelSpec,
    OutputSpec,
    WeightsSpec,
)
from quantize.data.photos import every_nth
from quantize.export.ncnn import compare, convert
from quantize.export.ncnn_int8 import convert_int8
from quantize.models.bundles import MIN_SDK, sha256_of
from quantize.models.onnx import INPUT, INPUT_SCALE, INPUT_ZERO
from quantize.points.compress import inexact
from quantize.points.config import recipe_of
from quantize.points.crop import MARGIN
from quantize.points.model import OUTPUTS, SIZE
from quantize.points.networks import of_ncnn, of_onnx
from quantize.points.views import FaceViews
from quantize.run import Run, perform

SIDE = (SIZE, SIZE)
PARITY_FACES = 48


def export(run: Run) -> dict[str, Any]:
    """The draft bundle and ``parity.json``.

    Returns:
        ``bundle``, its path, ``bytes``, and ``parity``: mean distance of points from the float ONNX file's, in percent
        of the crop's side.

    Raises:
        StepError: step ``compress`` is missing.
        ConversionError: pnnx is missing or failed.
    """
    run.need("compress", "done.json")  # what broke its budget is not exported
    inputs = [run.need("compress", name) for name in ("float32.onnx", "int8.onnx")]
    return perform(run, "export", _export, inputs, ["export", "compress"])


def _export(run: Run, folder: Path) -> dict[str, Any]:
    recipe = recipe_of(run)
    name = recipe.name
    float_path, int8_path = folder / f"{name}-float32.onnx", folder / f"{name}-int8.onnx"
    shutil.copyfile(run.need("compress", "float32.onnx"), float_path)
    shutil.copyfile(run.need("compress", "int8.onnx"), int8_path)
    predictors = {"onnx float32": of_onnx(float_path), "onnx int8": of_onnx(int8_path)}
    models = [onnx_spec(int8_path, "int8")]
    if recipe.export.ncnn:
        full = convert(float_path, SIDE, folder / f"{name}-float32")
        compare(float_path, full, (SIDE,))
        eight = convert_int8(int8_path, folder / f"{name}-int8", SIDE)
        models = [ncnn_spec(*eight, "int8"), *models]  # int8 executes least on every core: float32 is compared alone
        predictors |= {"ncnn float32": of_ncnn(*full), "ncnn int8": of_ncnn(*eight, int8=True)}
    views = FaceViews(run.path("label", "pack"), recipe.train.augment)
    crops, _ = inexact(views, np.array(every_nth(range(len(views.targets)), PARITY_FACES)), recipe.seed + 2)
    answers = {key: predict(crops)["points"] for key, predict in predictors.items()}
    real = answers["onnx float32"]
    parity = {
        key: round(float(np.linalg.norm(points - real, axis=-1).mean() * 100), 4) for key, points in answers.items()
    }
    (folder / "parity.json").write_text(json.dumps(parity, indent=1))
    path = folder / f"{name}.efm"
    bundle.write_bundle(path, make_manifest(name, "0", models), files_of(models, folder))
    bundle.Bundle.open(path)
    return {"bundle": str(path), "bytes": path.stat().st_size, "parity": parity}


def _outputs(names: list[str]) -> tuple[OutputSpec, ...]:
    return tuple(OutputSpec(name, 0, "", "float32", 1.0, 0, role) for name, role in zip(names, OUTPUTS, strict=True))


def onnx_spec(path: Path, precision: str) -> ModelSpec:
    """The manifest's entry of an ONNX file."""
    scale, zero, dtype = (INPUT_SCALE, INPUT_ZERO, "uint8") if precision == "int8" else (1.0, 0, "float32")
    image = InputSpec(INPUT, dtype, "NCHW", "rgb", scale, zero)
    return ModelSpec(path.name, sha256_of(path), "onnx", precision, SIDE, 16, image, _outputs(list(OUTPUTS)))


def ncnn_spec(param: Path, weights: Path, precision: str) -> ModelSpec:
    """The manifest's entry of ncnn's files."""
    image = InputSpec("in0", "float32", "NCHW", "rgb", 1.0, 0)
    names = [f"out{k}" for k in range(len(OUTPUTS))]
    pair = WeightsSpec(weights.name, sha256_of(weights))
    return ModelSpec(param.name, sha256_of(param), "ncnn", precision, SIDE, 16, image, _outputs(names), pair)


def make_manifest(
    name: str, version: str, models: list[ModelSpec], licence: str = "not stated", **free: dict[str, Any]
) -> Manifest:
    """A manifest of rule ``edgeface-points-v1``, read back through the SDK's own checks. ``free``: training,
    calibration, metrics, lineage.
    """
    decode = DecodeSpec(POINTS_RULE, margin=MARGIN, state=POINTS_STATE)
    manifest = Manifest(SCHEMA, name, version, MIN_SDK, tuple(models), SIDE, (SIDE,), decode, (), {}, licence, **free)
    return Manifest.from_json(json.dumps(manifest.to_dict()))


def files_of(models: list[ModelSpec], folder: Path) -> dict[str, bytes]:
    """The network files by name."""
    return {file: (folder / file).read_bytes() for model in models for file in model.files}
