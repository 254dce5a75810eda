"""What a manifest says of ncnn's files."""

from __future__ import annotations

from pathlib import Path

from edgeface.manifest import InputSpec, ModelSpec, OutputSpec, WeightsSpec
from quantize.models.bundles import SIZE_MULTIPLE, sha256_of
from quantize.models.student import STRIDES


def ncnn_spec(param: Path, weights: Path, precision: str) -> ModelSpec:
    """The manifest's entry of the files of one network."""
    return ModelSpec(
        param.name,
        sha256_of(param),
        "ncnn",
        precision,
        None,
        SIZE_MULTIPLE,
        InputSpec("in0", "float32", "NCHW", "rgb", 1.0, 0),
        tuple(OutputSpec(f"out{i}", s, "NCHW", "float32", 1.0, 0) for i, s in enumerate(STRIDES)),
        WeightsSpec(weights.name, sha256_of(weights)),
    )
