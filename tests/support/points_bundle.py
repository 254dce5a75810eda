"""A per-face network of random weights from a fixed seed, and bundles of it in every format. For tests; never shipped.

It averages the crop over 4 x 4 fields and has a linear layer for each output. With `gain` 0 it says the same for every
picture: the mean face as a frontal crop shows it, with eyes open.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from support.tiny import pack

SIDE = 112
FIELD = SIDE // 4
MARGIN = 1.7
LENGTHS = {"points": 136, "depth": 68, "spread": 68, "visible": 68, "state": 9}
STATE = ("eye_right_open", "eye_left_open", "mouth_open", "cover_eyes", "cover_nose", "cover_mouth")
STATE += ("mask", "glasses", "sunglasses")
#: Of "state" with gain 0: eyes 0.9 and 0.8 open, mouth 0.1, nothing covered but for glasses at 0.7.
PROBABILITIES = (0.9, 0.8, 0.1, 0.02, 0.03, 0.04, 0.05, 0.7, 0.06)

Weights = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def weights(seed: int = 0, gain: float = 0.3, state: tuple[float, ...] = PROBABILITIES) -> Weights:
    """(n, 48) and (n,) of each output, for the 3 x 4 x 4 means of the crop in real numbers."""
    from edgeface import _core

    mean = _core.mean_face().astype(np.float64)
    side = MARGIN * 2 * mean[16, 0]
    p = np.array(state)
    bias = {
        "points": ((mean - [0, 0.055, 0.028])[:, :2] / side).ravel(),
        "depth": (mean[:, 2] - mean[:, 2].mean()) / side,
        "spread": np.full(68, np.log(0.01)),
        "visible": np.full(68, 3.0),
        "state": np.log(p / (1 - p)),
    }
    rng = np.random.default_rng(seed)
    slope = {"points": 0.02, "depth": 0.02, "spread": 0.2, "visible": 1.0, "state": 1.0}
    return {
        role: (rng.normal(0, gain * slope[role], (n, 48)).astype(np.float32), bias[role].astype(np.float32))
        for role, n in LENGTHS.items()
    }


def onnx_network(made: Weights) -> bytes:
    """The network with a uint8 NCHW input."""
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["cast", "middle"], ["moved"]),
        helper.make_node("Div", ["moved", "middle"], ["real"]),
        helper.make_node("AveragePool", ["real"], ["fields"], kernel_shape=[FIELD, FIELD], strides=[FIELD, FIELD]),
        helper.make_node("Flatten", ["fields"], ["flat"]),
    ]
    constants = [numpy_helper.from_array(np.array(128, np.float32), "middle")]
    outputs = []
    for role, (kernel, bias) in made.items():
        constants += [numpy_helper.from_array(kernel, f"w_{role}"), numpy_helper.from_array(bias, f"b_{role}")]
        nodes.append(helper.make_node("Gemm", ["flat", f"w_{role}", f"b_{role}"], [role], transB=1))
        outputs.append(helper.make_tensor_value_info(role, TensorProto.FLOAT, [1, len(bias)]))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "points", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def ncnn_network(made: Weights) -> tuple[bytes, bytes]:
    """The network as ncnn's text and weights."""
    names = " ".join(f"i_{role}" for role in made)
    lines = [
        "Input image 0 1 image",
        f"Pooling pool 1 1 image fields 0=1 1={FIELD} 2={FIELD} 5=1",
        f"Split split 1 {len(made)} fields {names}",
    ]
    data = b""
    for role, (kernel, bias) in made.items():
        lines.append(f"InnerProduct fc_{role} 1 1 i_{role} {role} 0={len(bias)} 1=1 2={kernel.size}")
        data += bytes(4) + kernel.tobytes() + bias.tobytes()
    count = len(lines)
    return "\n".join(["7767517", f"{count} {2 + 2 * len(made)}", *lines, ""]).encode(), data


def tflite_network(made: Weights) -> bytes:
    """The network as float TFLite, NHWC, written with the schema that ai-edge-litert brings."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: list[int], data: NDArray[Any] | None = None) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.type, item.buffer = name, shape, schema.TensorType.FLOAT32, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, np.float32).tobytes(), np.uint8)
            model.buffers.append(buffer)
            item.buffer = len(model.buffers) - 1
        graph.tensors.append(item)
        return len(graph.tensors) - 1

    def operator(code: int, inputs: list[int], outputs: list[int], kind: int, options: Any) -> None:
        made_operator = schema.OperatorT()
        made_operator.opcodeIndex, made_operator.inputs, made_operator.outputs = code, inputs, outputs
        made_operator.builtinOptionsType, made_operator.builtinOptions = kind, options
        graph.operators.append(made_operator)

    image = tensor("image", [1, SIDE, SIDE, 3])
    fields = tensor("fields", [1, 4, 4, 3])
    pool = schema.Pool2DOptionsT()
    pool.padding, pool.strideW, pool.strideH = schema.Padding.VALID, FIELD, FIELD
    pool.filterWidth, pool.filterHeight = FIELD, FIELD
    operator(0, [image], [fields], schema.BuiltinOptions.Pool2DOptions, pool)
    graph.inputs, graph.outputs = [image], []
    for role, (kernel, bias) in made.items():
        turned = kernel.reshape(-1, 3, 4, 4).transpose(0, 2, 3, 1).reshape(len(bias), 48)
        out = tensor(role, [1, len(bias)])
        inputs = [fields, tensor(f"w_{role}", list(turned.shape), turned), tensor(f"b_{role}", [len(bias)], bias)]
        operator(1, inputs, [out], schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
        graph.outputs.append(out)
    model.operatorCodes = []
    for builtin in (schema.BuiltinOperator.AVERAGE_POOL_2D, schema.BuiltinOperator.FULLY_CONNECTED):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        model.operatorCodes.append(code)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def entry(file: str, network: bytes, **changes: Any) -> dict[str, Any]:
    """One item of the manifest's ``models``; a uint8 NCHW input as `onnx_network` has it."""
    image = {"name": "image", "dtype": "uint8", "layout": "NCHW", "color": "rgb", "scale": 1 / 128, "zero_point": 128}
    return {
        "file": file,
        "sha256": hashlib.sha256(network).hexdigest(),
        "format": file.rpartition(".")[2],
        "precision": "int8",
        "size": [SIDE, SIDE],
        "size_multiple": SIDE,
        "input": image | changes.pop("input", {}),
        "outputs": [dict(name=role, role=role, dtype="float32", scale=1.0, zero_point=0) for role in LENGTHS],
    } | changes


def manifest(models: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A whole manifest."""
    return {
        "schema": 1,
        "name": "points",
        "version": "0.1.0",
        "min_sdk": "0.1.0",
        "models": models,
        "default_size": [SIDE, SIDE],
        "sizes": [[SIDE, SIDE]],
        "decode": {"rule": "edgeface-points-v1", "margin": MARGIN, "state": list(STATE)},
        "licence": "Apache-2.0",
    } | changes


def write_bundle(
    path: Path, formats: tuple[str, ...] = ("onnx",), *, made: Weights | None = None, **changes: Any
) -> Path:
    """A bundle of the network; further keywords replace keys of the manifest."""
    made = weights() if made is None else made
    floats = {"dtype": "float32", "scale": 1.0, "zero_point": 0}
    files: dict[str, bytes] = {}
    models = []
    if "onnx" in formats:
        files["p.onnx"] = onnx_network(made)
        models.append(entry("p.onnx", files["p.onnx"]))
    if "tflite" in formats:
        files["p.tflite"] = tflite_network(made)
        models.append(entry("p.tflite", files["p.tflite"], input=floats | {"layout": "NHWC"}))
    if "ncnn" in formats:
        files["p.param"], files["p.bin"] = ncnn_network(made)
        second = {"file": "p.bin", "sha256": hashlib.sha256(files["p.bin"]).hexdigest()}
        extra = {"format": "ncnn", "weights": second, "precision": "float32"}
        models.append(entry("p.param", files["p.param"], input=floats, **extra))
    return pack(path, {"manifest.json": json.dumps(manifest(models, **changes)).encode()} | files)
