"""Bundles and their manifests (docs/bundle.md), from exported networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface import bundle
from edgeface.faces import LANDMARK_NAMES
from edgeface.manifest import DECODE_RULE, POSE, SCHEMA, DecodeSpec, InputSpec, Manifest, ModelSpec, OutputSpec
from quantize.models.onnx import INPUT, INPUT_SCALE, INPUT_ZERO, OUTPUTS
from quantize.models.student import STRIDES

#: Sides of an input must be multiples of it: levels of stride 8 and 16 are whole, one of 32 may end in half a cell.
SIZE_MULTIPLE = 16
MIN_SDK = "0.1.0"


def onnx_spec(path: Path, precision: str, size: tuple[int, int] | None = None) -> ModelSpec:
    """The manifest's entry of an ONNX file that `quantize.models.onnx` or `quantize.compress.qdq` wrote."""
    scale, zero, dtype = (INPUT_SCALE, INPUT_ZERO, "uint8") if precision == "int8" else (1.0, 0, "float32")
    return ModelSpec(
        path.name,
        sha256_of(path),
        "onnx",
        precision,
        size,
        SIZE_MULTIPLE,
        InputSpec(INPUT, dtype, "NCHW", "rgb", scale, zero),
        tuple(OutputSpec(o, s, "NCHW", "float32", 1.0, 0) for o, s in zip(OUTPUTS, STRIDES, strict=True)),
    )


def make_manifest(
    name: str,
    version: str,
    models: Sequence[ModelSpec],
    channel_scale: Mapping[int, NDArray[np.float32]],
    sizes: Sequence[tuple[int, int]],
    *,
    min_score: float = 0.5,
    nms_iou: float = 0.45,
    licence: str = "not stated",
    **free: dict[str, Any],
) -> Manifest:
    """A manifest of schema 1, read back through the SDK's own checks. ``free``: quality, training, calibration,
    metrics, lineage.
    """
    decode = DecodeSpec(
        DECODE_RULE,
        STRIDES,
        {s: tuple(float(np.float32(v)) for v in channel_scale[s]) for s in STRIDES},
        min_score,
        nms_iou,
    )
    manifest = Manifest(
        SCHEMA,
        name,
        version,
        MIN_SDK,
        tuple(models),
        sizes[0],
        tuple(sizes),
        decode,
        LANDMARK_NAMES,
        dict(POSE),
        licence,
        **free,
    )
    return Manifest.from_json(json.dumps(manifest.to_dict()))


def write_bundle(path: Path, manifest: Manifest, files: Path) -> None:
    """Zips the manifest and the networks it names (in ``files``)."""
    names = [name for model in manifest.models for name in model.files]
    bundle.write_bundle(path, manifest, {name: (files / name).read_bytes() for name in names})


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
