"""A network of another input size, from one that is there: convolutions work on any size, so that in a TFLite file
nothing but the shapes changes. Weights and ranges stay, to the bit; the toolchain and its photos are not needed.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.bundle import Bundle, write_bundle
from edgeface.errors import BundleCorruptError, BundleError, InvalidInputError, RuntimeUnavailableError, must_be
from edgeface.frame import checked_size
from edgeface.manifest import MAX_SIDE, Manifest, ModelSpec
from edgeface.reading import check_output

__all__ = ["MULTIPLE", "resize_bundle", "resize_network"]

#: Sides must be multiples of it: all levels up to stride 32 are whole.
MULTIPLE: Final = 32

#: Operators that leave their input's shape as it is,
_SAME: Final = ("ADD", "RELU", "RELU6", "QUANTIZE", "DEQUANTIZE")
#: and those that look through a window, with the table of their options.
_WINDOWED: Final = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
}
#: What flatbuffers' accessors raise on damaged bytes, depending on which byte it is.
_DAMAGED: Final = (struct.error, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)


def resize_bundle(bundle: Bundle, sizes: Iterable[tuple[int, int]], out: str | os.PathLike[str]) -> Path:
    """Write a bundle with TFLite networks for more sizes.

    Each is the network of the bundle whose number of pixels is nearest, with other shapes (`resize_network`). Its
    metrics are those of the sizes that were measured, as before; its ONNX networks, which take many sizes, stay.

    Args:
        bundle: with a TFLite network.
        sizes: (width, height), multiples of 32; those that the bundle has already are passed over.
        out: the new file, ``NAME.efm``.

    Returns:
        Path of the bundle, which was read back.

    Raises:
        InvalidInputError: a side is no multiple of 32 from 32 to 8192, or `out` is the bundle itself.
        BundleError: the bundle has no such network, or one of other operators than students have; or it cannot be
            written there.
        RuntimeUnavailableError: ai-edge-litert is not installed; it brings the description of TFLite files.

    Examples:
        >>> from edgeface.bundle import Bundle
        >>> bundle = Bundle.find("edgeface-s")
        >>> path = resize_bundle(bundle, [(320, 192)], "wide.efm")         # doctest: +SKIP
        >>> engine = FaceEngine(path, size=(320, 192), runtime="litert")    # doctest: +SKIP
    """
    check_output("out", out, [bundle.path])
    manifest = bundle.manifest
    manifest.require_faces("bundle")
    models = {model.file: model for model in manifest.models}
    files = bundle.files()
    there = {model.size for model in manifest.models if model.format == "tflite"}
    taken: dict[str, str] = {}
    new = [size for size in dict.fromkeys(map(_fitting, sizes)) if size not in there]
    for size in new:
        source = _nearest(manifest, size)
        data = resize_network(bundle.read(source), size)
        file = f"{manifest.name}-{source.precision}-{size[0]}x{size[1]}.tflite"
        models[file] = replace(source, file=file, sha256=hashlib.sha256(data).hexdigest(), size=size)
        files[file] = data
        taken["x".join(map(str, size))] = source.file
    resized = replace(
        manifest,
        models=tuple(models.values()),
        sizes=tuple(dict.fromkeys([*manifest.sizes, *new])),
        calibration=manifest.calibration | {"resized": manifest.calibration.get("resized", {}) | taken},
    )
    path = Path(out)
    write_bundle(path, resized, files)
    Bundle.open(path)
    return path


def resize_network(network: bytes, size: tuple[int, int]) -> bytes:
    """A student's TFLite file for another input size; nothing but shapes differs.

    Args:
        network: TFLite file of one input (1, h, w, 3).
        size: (width, height), multiples of 32 from 32 to 8192.

    Returns:
        The file, of the same length.

    Raises:
        InvalidInputError: a side is none of these.
        BundleError: the file is damaged, or has other operators than students have.
        RuntimeUnavailableError: ai-edge-litert is not installed.
    """
    size = _fitting(size)
    schema = _schema()
    data = bytearray(network)
    try:
        _Network(data, schema).resize(size)
    except BundleError:
        raise
    except _DAMAGED as error:
        raise BundleCorruptError(f"network must be an intact TFLite file, but got {error}") from error
    return bytes(data)


def _fitting(size: object) -> tuple[int, int]:
    wanted = f"(width, height), multiples of {MULTIPLE} from {MULTIPLE} to {MAX_SIDE}"
    try:
        width, height = checked_size(size)
    except InvalidInputError:
        raise must_be("size", wanted, repr(size)) from None
    if any(side % MULTIPLE or side > MAX_SIDE for side in (width, height)):
        raise must_be("size", wanted, f"{width}x{height}")
    return width, height


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise RuntimeUnavailableError(
            "ai-edge-litert must be installed to resize networks, but is not (pip install ai-edge-litert)"
        ) from error
    return schema_py_generated


def _nearest(manifest: Manifest, size: tuple[int, int]) -> ModelSpec:
    """The TFLite network whose area is nearest: ranges were taken at its size."""
    fitting = [model for model in manifest.models if model.format == "tflite" and model.size is not None]
    if not fitting:
        raise BundleError(f"bundle must have a TFLite network, but {manifest.name} has none")
    return min(fitting, key=lambda model: abs(math.log(math.prod(model.size or (1,)) / math.prod(size))))


class _Network:
    """A TFLite file whose shapes can be worked out, and written in place."""

    def __init__(self, data: bytearray, schema: Any) -> None:
        self.schema = schema
        self.model = schema.Model.GetRootAs(data, 0)
        if self.model.SubgraphsLength() != 1:
            raise BundleError(f"network must have one subgraph, but got {self.model.SubgraphsLength()}")
        self.graph = self.model.Subgraphs(0)
        self.shapes = [_ints(self.graph.Tensors(i).ShapeAsNumpy()) for i in range(self.graph.TensorsLength())]
        inputs = _ints(self.graph.InputsAsNumpy())
        if len(inputs) != 1 or len(self.shapes[inputs[0]]) != 4:
            raise BundleError(f"network must take (1, h, w, 3), but got {[self.shapes[i] for i in inputs]}")
        self.image = inputs[0]
        names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        codes = [self.model.OperatorCodes(i) for i in range(self.model.OperatorCodesLength())]
        self.kinds = [names.get(max(c.BuiltinCode(), c.DeprecatedBuiltinCode()), "unknown") for c in codes]

    def resize(self, size: tuple[int, int]) -> None:
        """Writes the shapes that follow from (width, height). Raises BundleError where those that are there do not
        follow from the size that is.
        """
        _, height, width, _ = self.shapes[self.image]
        if any(self.shapes[i] != shape for i, shape in self._follow((width, height))[0].items()):
            raise BundleError("network must have shapes that follow from its input's, but got others")
        shapes, constants = self._follow(size)
        for i, shape in shapes.items():
            tensor = self.graph.Tensors(i)
            tensor.ShapeAsNumpy()[:] = shape
            if tensor.ShapeSignatureLength():
                tensor.ShapeSignatureAsNumpy()[:] = shape
        for i, values in constants.items():
            self._constant(i)[:] = values

    def _follow(self, size: tuple[int, int]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """Shape of every tensor that the image becomes, and new values of those that say how far to enlarge or crop."""
        shapes = {self.image: [1, size[1], size[0], self.shapes[self.image][3]]}
        constants: dict[int, list[int]] = {}
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            kind = self.kinds[operator.OpcodeIndex()]
            first, result = operator.Inputs(0), operator.Outputs(0)
            if operator.OutputsLength() != 1 or first not in shapes:
                raise BundleError(f"operators must have one result, of what the image became, but got {kind}")
            sides = self._sides(kind, operator, shapes[first][1:3], (size[1], size[0]))
            shapes[result] = [1, *sides, self.shapes[result][3]]
            if kind == "RESIZE_NEAREST_NEIGHBOR":
                constants[operator.Inputs(1)] = sides
            elif kind == "SLICE":
                constants[operator.Inputs(2)] = shapes[result]
        return shapes, constants

    def _sides(self, kind: str, operator: Any, sides: list[int], image: tuple[int, int]) -> list[int]:
        """(height, width) of an operator's result, for an image of (height, width)."""
        if kind in _SAME:
            return sides
        if kind == "PAD":
            around = self._constant(operator.Inputs(1)).reshape(4, 2)[1:3].tolist()
            return [side + before + after for side, (before, after) in zip(sides, around, strict=True)]
        if kind == "RESIZE_NEAREST_NEIGHBOR":
            before, after = (self.shapes[i][1:3] for i in (operator.Inputs(0), operator.Outputs(0)))
            if any(new % old for old, new in zip(before, after, strict=True)):
                raise BundleError(f"enlargements must be by whole numbers, but got {before} to {after}")
            return [side * (new // old) for side, old, new in zip(sides, before, after, strict=True)]
        if kind == "SLICE":  # crops an enlarged level of half cells to the one that it is added to
            if self._constant(operator.Inputs(1)).any():
                raise BundleError("crops must begin at the first cell, but got another one")
            before, after = self.shapes[self.image][1:3], self.shapes[operator.Outputs(0)][1:3]
            strides = [-(-old // cells) for old, cells in zip(before, after, strict=True)]
            return [-(-new // stride) for new, stride in zip(image, strides, strict=True)]
        if kind not in _WINDOWED:
            raise BundleError(f"operators must be those of students, but got {kind}")
        options, table = getattr(self.schema, _WINDOWED[kind])(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        if kind == "MAX_POOL_2D":
            window = [options.FilterHeight(), options.FilterWidth()]
        else:
            window = self.shapes[operator.Inputs(1)][1:3]
        lost = [0, 0] if options.Padding() == self.schema.Padding.SAME else [k - 1 for k in window]
        strides = [options.StrideH(), options.StrideW()]
        return [-(-(side - less) // stride) for side, less, stride in zip(sides, lost, strides, strict=True)]

    def _constant(self, tensor: int) -> NDArray[np.int32]:
        """The values of an int32 tensor, in place."""
        data = self.model.Buffers(self.graph.Tensors(tensor).Buffer()).DataAsNumpy()
        return np.asarray(data.view(np.int32))


def _ints(values: NDArray[np.int32] | int) -> list[int]:
    """What flatbuffers gives for a vector, which is 0 for none."""
    return [int(v) for v in values] if isinstance(values, np.ndarray) else []
