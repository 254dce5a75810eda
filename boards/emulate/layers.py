"""Executed instructions of single dense layers on ncnn, by shape, for `quantize.train.methods.dass`.

A layer stands behind a pointwise one from the picture's three channels; what that one costs alone is taken off.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.emulate.networks import Network, count_networks

SIDE = 80
"""Of the input; the outputs of stride 2 are half as large."""
CHANNELS = (16, 32, 64)


@dataclass(frozen=True)
class Shape:
    """A 3 × 3 convolution with ReLU; of ``stride`` 0: nothing but the pointwise layer before it."""

    cin: int
    cout: int
    stride: int

    @property
    def name(self) -> str:
        return f"{self.cin}-{self.cout}-{self.stride}"


def shapes() -> Iterator[Shape]:
    """Those that a table has."""
    yield from (Shape(cin, cout, stride) for stride in (1, 2) for cin, cout in itertools.product(CHANNELS, CHANNELS))


def write_layer(shape: Shape, path: Path) -> Path:
    """An ONNX file of the layer for pictures of ``SIDE`` × ``SIDE``; weights are drawn."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.5, (shape.cin, 3, 1, 1)).astype(np.float32)
    weights = [numpy_helper.from_array(first, "w0")]
    nodes = [helper.make_node("Conv", ["image", "w0"], ["c0"], kernel_shape=[1, 1])]
    nodes.append(helper.make_node("Relu", ["c0"], ["r0"]))
    out, channels, side = "r0", shape.cin, SIDE
    if shape.stride:
        second = rng.normal(0, 0.1, (shape.cout, shape.cin, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(second, "w1"))
        sizes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [shape.stride] * 2}
        nodes.append(helper.make_node("Conv", ["r0", "w1"], ["c1"], **sizes))
        nodes.append(helper.make_node("Relu", ["c1"], ["r1"]))
        out, channels, side = "r1", shape.cout, SIDE // shape.stride
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    result = helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, channels, side, side])
    graph = helper.make_graph(nodes, "layer", [image], [result], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def count_layers(cpus: Sequence[str], folder: Path, wanted: Sequence[Shape] | None = None) -> list[dict[str, Any]]:
    """Rows of the table: ``core``, ``stride``, ``cin``, ``cout``, ``side`` (of the output), ``instructions``.

    Args:
        cpus: emulated cores.
        folder: receives the networks.
        wanted: shapes; all of `shapes` if None.
    """
    layers = list(shapes()) if wanted is None else list(wanted)
    alone = [Shape(cin, cin, 0) for cin in sorted({s.cin for s in layers})]
    files = {s: write_layer(s, folder / f"layer-{s.name}.onnx") for s in [*alone, *layers]}
    networks = [Network.of(file, (SIDE, SIDE), runtime="ncnn") for file in files.values()]
    rows = []
    for cpu in cpus:
        counted = dict(zip(files, (c["total"] for c in count_networks(networks, cpu)), strict=True))
        for s in layers:
            cost = counted[s] - counted[Shape(s.cin, s.cin, 0)]
            shape = {"core": cpu, "stride": s.stride, "cin": s.cin, "cout": s.cout, "side": SIDE // s.stride}
            rows.append({**shape, "instructions": cost})
    return rows


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The table as JSON, one row a line."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    path.write_text(f'{{"runtime": "ncnn float32", "rows": [\n{lines}\n]}}\n')
