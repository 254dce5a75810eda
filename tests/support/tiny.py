"""A network of one convolution that sees pure red squares as faces, and bundles of it. For tests; never shipped.

Its answers can be worked out by hand: a cell of stride 8 fires where it is red (not white, not blue), so that a wrong
Its answers can be worked out by hand: a cell of stride 8 fires where it is red (not white or blue), so that a wrong
with landmarks at `LANDMARKS` (in strides), the rotation of `ANGLES`, and quality 0.75.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
ANGLES = (20.0, -10.0, 5.0)
QUALITY = 0.75
#: Of the face, in strides of 8 pixels around the cell's centre.
LANDMARKS = ((-0.5, -0.5), (0.5, -0.5), (0.0, 0.0), (-0.4, 0.5), (0.4, 0.5))
SIDE = 16

_ONNX_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "float32": TensorProto.FLOAT}
_GAIN = 20.0  # logit of an all-red cell is +10, of a black, white, grey or blue one -10 or less


def weights(stride: int, dtype: str, color: str = "rgb") -> tuple[np.ndarray, np.ndarray]:
    """(22, 3, k, k) and (22,) of the convolution of one stride, for an input stored as `dtype`."""
    from edgeface.angles import angles_to_rotation

    per_pixel = _GAIN / (stride * stride)
    # stored values of real 1 pixel-unit (0..1 of full red): p/255 for uint8
    unit, offset = {"uint8": (255.0, 0.0), "int8": (255.0, -128.0), "float32": (255.0 / 128, -1.0)}[dtype]
    # only the finest level looks at the picture; one pixel is enough for the others to have the right shape
    side = stride if stride == STRIDES[0] else 1
    kernel = np.zeros((22, 3, side, side), np.float32)
    bias = np.zeros(22, np.float32)
    if stride == STRIDES[0]:
        red = 0 if color == "rgb" else 2
        kernel[0, :] = -per_pixel / unit
        kernel[0, red] = per_pixel / unit
        # what the kernel gives for black, where every stored value is `offset`
        bias[0] = -_GAIN / 2 - float(kernel[0].sum()) * offset
    else:
        bias[0] = -20
    bias[1] = np.log(QUALITY / (1 - QUALITY))
    bias[4:6] = np.log(SIDE / stride)
    bias[6:16] = np.ravel(LANDMARKS)
    rotation = angles_to_rotation(ANGLES)
    bias[16:22] = rotation[:, :2].T.ravel()
    return kernel, bias


def onnx_network(
    dtype: str = "uint8", layout: str = "NCHW", size: tuple[int, int] | None = None, color: str = "rgb"
) -> bytes:
    """The network as ONNX; any size unless one is given."""
    width, height = size if size else ("w", "h")
    sides = [height, width]
    shape = [1, 3, *sides] if layout == "NCHW" else [1, *sides, 3]
    nodes, constants, outputs = [], [], []
    image = "image"
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [image], ["cast"], to=TensorProto.FLOAT))
        image = "cast"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [image], ["planes"], perm=[0, 3, 1, 2]))
        image = "planes"
    for stride in STRIDES:
        kernel, bias = weights(stride, dtype, color)
        constants += [numpy_helper.from_array(kernel, f"w{stride}"), numpy_helper.from_array(bias, f"b{stride}")]
        out = f"p{stride}" if layout == "NCHW" else f"n{stride}"
        nodes.append(helper.make_node("Conv", [image, f"w{stride}", f"b{stride}"], [out], strides=[stride, stride]))
        cells = [-(-s // stride) if isinstance(s, int) else None for s in sides]
        if layout == "NHWC":
            nodes.append(helper.make_node("Transpose", [out], [f"p{stride}"], perm=[0, 2, 3, 1]))
        out_shape = [1, 22, *cells] if layout == "NCHW" else [1, *cells, 22]
        outputs.append(helper.make_tensor_value_info(f"p{stride}", TensorProto.FLOAT, out_shape))
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("image", _ONNX_TYPES[dtype], shape)], outputs, constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tflite_writer_installed() -> bool:
    """Whether `tflite_network` can work: its schema comes with ai-edge-litert, also where tflite-runtime is tested."""
    return importlib.util.find_spec("ai_edge_litert") is not None


def tflite_network(size: tuple[int, int], color: str = "rgb") -> bytes:
    """The network as float TFLite, NHWC, written with the schema that ai-edge-litert brings."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    width, height = size
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: list[int], data: np.ndarray | None = None) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.type, item.buffer = name, shape, schema.TensorType.FLOAT32, 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, np.float32).tobytes(), np.uint8)
            model.buffers.append(buffer)
            item.buffer = len(model.buffers) - 1
        graph.tensors.append(item)
        return len(graph.tensors) - 1

    image = tensor("image", [1, height, width, 3])
    graph.inputs, graph.outputs = [image], []
    for stride in STRIDES:
        kernel, bias = weights(stride, "float32", color)
        kernel = kernel.transpose(0, 2, 3, 1)
        operator, options = schema.OperatorT(), schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.VALID, stride, stride
        operator.inputs = [image, tensor(f"w{stride}", list(kernel.shape), kernel), tensor(f"b{stride}", [22], bias)]
        operator.outputs = [tensor(f"p{stride}", [1, -(-height // stride), -(-width // stride), 22])]
        operator.opcodeIndex = 0
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
        graph.operators.append(operator)
        graph.outputs += operator.outputs
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 1
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def ncnn_network(color: str = "rgb") -> tuple[bytes, bytes]:
    """The network as ncnn's text and weights, for any size."""
    lines, data = ["Input image 0 1 image", "Split copies 1 3 image i8 i16 i32"], b""
    for stride in STRIDES:
        kernel, bias = weights(stride, "float32", color)
        side = kernel.shape[-1]
        keys = f"0=22 1={side} 3={stride} 5=1 6={kernel.size}"
        lines.append(f"Convolution conv{stride} 1 1 i{stride} p{stride} {keys}")
        data += bytes(4) + kernel.tobytes() + bias.astype(np.float32).tobytes()
    return "\n".join(["7767517", "5 7", *lines, ""]).encode(), data


def ncnn_entry(name: str, network: tuple[bytes, bytes], **changes: Any) -> dict[str, Any]:
    """One item of the manifest's ``models``, for ``NAME.param`` and ``NAME.bin``."""
    weights = {"file": f"{name}.bin", "sha256": hashlib.sha256(network[1]).hexdigest()}
    entry = model_entry(f"{name}.param", network[0], "float32", "NCHW") | {"format": "ncnn", "weights": weights}
    return entry | {"precision": "float32"} | changes


def model_entry(file: str, network: bytes, dtype: str, layout: str, size: Any = None, **changes: Any) -> dict[str, Any]:
    """One item of the manifest's ``models``."""
    scale, zero_point = {"uint8": (1 / 128, 128), "int8": (1 / 128, 0), "float32": (1.0, 0)}[dtype]
    color = changes.pop("color", "rgb")
    return {
        "file": file,
        "sha256": hashlib.sha256(network).hexdigest(),
        "format": file.rpartition(".")[2],
        "precision": "int8",
        "size": list(size) if size else None,
        "size_multiple": 16,
        "input": dict(name="image", dtype=dtype, layout=layout, color=color, scale=scale, zero_point=zero_point),
        "outputs": [
            dict(name=f"p{s}", stride=s, layout=layout, dtype="float32", scale=1.0, zero_point=0) for s in STRIDES
        ],
    } | changes


def manifest(models: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A whole manifest."""
    return {
        "schema": 1,
        "name": "tiny",
        "version": "0.1.0",
        "min_sdk": "0.1.0",
        "models": models,
        "default_size": [64, 64],
        "sizes": [[64, 64], [128, 96]],
        "decode": {
            "rule": "edgeface-v1",
            "strides": list(STRIDES),
            "channel_scale": {str(s): [1.0] * 22 for s in STRIDES},
            "min_score": 0.5,
            "nms_iou": 0.45,
        },
        "landmarks": ["right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"],
        "pose": {"rotation": "head_to_camera_optical", "angles": "300W-LP"},
        "licence": "Apache-2.0",
    } | changes


def pack(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write files as a zip, or into a folder if the path has no suffix."""
    if not path.suffix:
        path.mkdir(parents=True)
        for name, data in files.items():
            (path / name).write_bytes(data)
        return path
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    path.write_bytes(buffer.getvalue())
    return path


def write_bundle(
    path: Path,
    *,
    dtype: str = "uint8",
    layout: str = "NCHW",
    color: str = "rgb",
    onnx_size: tuple[int, int] | None = None,
    tflite_sizes: tuple[tuple[int, int], ...] = (),
    with_onnx: bool = True,
    **changes: Any,
) -> Path:
    """Write a bundle of the tiny network; further keywords replace keys of the manifest."""
    files, models = {}, []
    if with_onnx:
        files["tiny.onnx"] = onnx_network(dtype, layout, onnx_size, color)
        models.append(model_entry("tiny.onnx", files["tiny.onnx"], dtype, layout, onnx_size, color=color))
    for width, height in tflite_sizes:
        name = f"tiny-{width}x{height}.tflite"
        files[name] = tflite_network((width, height), color)
        models.append(model_entry(name, files[name], "float32", "NHWC", (width, height), color=color))
    content = {"manifest.json": json.dumps(manifest(models, **changes)).encode()} | files
    return pack(path, content)


def red_squares(size: tuple[int, int], corners: list[tuple[int, int]], side: int = 8) -> np.ndarray:
    """A black BGR picture with red squares whose top left corners are given."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in corners:
        image[y : y + side, x : x + side] = (0, 0, 255)
    return image
