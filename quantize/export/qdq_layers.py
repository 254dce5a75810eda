"""What an int8 network in QDQ form computes, as a float network with the rounded weights, and the ranges beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class QuantisedConv:
    """A convolution's numbers.

    Attributes:
        weights: (out, in, kh, kw) int8.
        weight_scales: (out,) float32.
        lowest, highest: of its input's range, real values.
    """

    weights: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    lowest: float
    highest: float

    @property
    def real(self) -> NDArray[np.float32]:
        """The weights that it computes with."""
        return self.weights.astype(np.float32) * self.weight_scales[:, None, None, None]


def dequantised(network: Any) -> tuple[Any, list[QuantisedConv]]:
    """The float network behind a QDQ network, and its quantised convolutions.

    Rounding of activations goes; a range that begins at zero stays as the ReLU that it replaced.

    Args:
        network: what `quantize.compress.qdq.quantize_onnx` wrote; it is not changed.
    """
    graph = network.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    image = graph.input[0].name
    same: dict[str, str] = {}
    nodes, folded = [], {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            folded[node.output[0]] = _real(node, constants)
        elif node.op_type == "DequantizeLinear":
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        elif node.op_type == "QuantizeLinear":
            source = same.get(node.input[0], node.input[0])
            made = makers.get(node.input[0])
            if int(constants[node.input[2]]) == 0 and made is not None and made.op_type in ("Conv", "Add"):
                nodes.append(helper.make_node("Relu", [source], [node.output[0]]))
            else:
                same[node.output[0]] = source
        else:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [same.get(name, name) for name in node.input]
            nodes.append(copy)
    floats = [numpy_helper.from_array(value, name) for name, value in folded.items()]
    used = {name for node in nodes for name in node.input} - set(folded)
    kept = [i for i in graph.initializer if i.name in used]
    shape = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    inputs = [helper.make_tensor_value_info(image, TensorProto.FLOAT, shape)]
    real = helper.make_model(
        helper.make_graph(nodes, graph.name or "real", inputs, list(graph.output), [*kept, *floats]),
        opset_imports=list(network.opset_import),
        ir_version=network.ir_version,
    )
    return real, [conv for node in graph.node if node.op_type == "Conv" for conv in _conv(node, makers, constants)]


def _real(node: Any, constants: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    value = constants[node.input[0]].astype(np.float32)
    scale = constants[node.input[1]].astype(np.float32)
    zero = constants[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.float32(0)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim and scale.size > 1:
        shape = [1] * value.ndim
        shape[axis] = scale.size
        scale, zero = scale.reshape(shape), np.broadcast_to(zero, scale.shape).reshape(shape)
    return np.asarray((value - zero) * scale, np.float32)


def _conv(node: Any, makers: dict[str, Any], constants: dict[str, NDArray[Any]]) -> list[QuantisedConv]:
    image, weights = (makers.get(name) for name in node.input[:2])
    if not all(m is not None and m.op_type == "DequantizeLinear" for m in (image, weights)):
        return []  # it stayed in float
    assert image is not None and weights is not None
    scale, zero = float(constants[image.input[1]]), int(constants[image.input[2]])
    whole = constants[weights.input[0]]
    scales = np.broadcast_to(constants[weights.input[1]].astype(np.float32), len(whole))
    return [QuantisedConv(whole, np.array(scales), -zero * scale, (255 - zero) * scale)]
