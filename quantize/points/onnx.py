"""ONNX files of edgeface-points: one crop in, five rows of numbers out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from quantize.compress.calibration import as_real
from quantize.compress.qdq import quantize_onnx
from quantize.compress.ranges import Ranges
from quantize.label.session import open_session
from quantize.models.onnx import INPUT, OPSET, tidy
from quantize.points.model import OUTPUTS, SIZE, PointsNet


def export_points(model: PointsNet, path: Path) -> None:
    """Writes the folded network: (1, 3, 112, 112) float32 real values to maps (1, length, 1, 1), by the names of
    `OUTPUTS`. `with_rows` makes rows of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as `quantize.models.onnx` says
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
        )
    network = onnx.load(path)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(tidy(network), path)


def with_rows(source: Path, path: Path) -> None:
    """``source``, float32 or int8, with outputs (1, length) instead of maps, as docs/bundle.md has them."""
    network = onnx.load(source)
    graph = network.graph
    for node in graph.node:
        node.output[:] = [f"{name}_map" if name in OUTPUTS else name for name in node.output]
    graph.node.extend(helper.make_node("Flatten", [f"{name}_map"], [name], axis=1) for name in OUTPUTS)
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, length]) for name, length in OUTPUTS.items()
    )
    onnx.checker.check_model(network, full_check=True)
    onnx.save(tidy(network), path)


def face_ranges(float_path: Path, crops: NDArray[Any]) -> Ranges:
    """The ranges that each of the crops (n, 112, 112, 3) uint8 gives the activations of what `export_points` wrote."""
    network = onnx.load(float_path)
    names = [o for n in network.graph.node for o in n.output if o not in OUTPUTS]
    network.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    session = open_session(network.SerializeToString())
    of_faces = [session.run(names, {INPUT: as_real(crop[None])}) for crop in crops]
    return {
        name: {"min": [v.min() for v in values], "max": [v.max() for v in values], "of_photos": True}
        for name, *values in zip(names, *of_faces, strict=True)
    }


def quantize_points(
    float_path: Path, path: Path, crops: NDArray[Any], keep_float: Sequence[str], ranges: Ranges
) -> None:
    """The int8 network of what `export_points` wrote; outputs stay maps.

    Args:
        float_path: what `export_points` wrote.
        path: receives the int8 network.
        crops: (n, 112, 112, 3) uint8; a few, for the values that ``ranges`` does not name.
        keep_float: names of nodes that stay in float.
        ranges: of activations by name (`quantize.compress.ranges.cover`).
    """
    known = {name: (float(r["min"]), float(r["max"])) for name, r in ranges.items()}
    quantize_onnx(float_path, path, [crops], keep_float=keep_float, outputs=tuple(OUTPUTS), ranges=known)
