"""ncnn's ``.param`` and ``.bin``: read layers and float weights, write them back, some of them in int8."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_MAGIC = "7767517"
_FLOAT32, _INT8 = 0, 0x000D4B38  # tags before weights
#: Layers that have weights and are understood, and those without any.
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
_PLAIN = (
    *("Input", "Split", "Pooling", "BinaryOp", "ReLU", "Interp", "Concat", "Sigmoid", "Crop", "Padding"),
    *("Flatten", "Reshape"),
)
#: Keys of a convolution in the .param file.
OUTPUTS, BIAS, WEIGHTS, INT8 = 0, 5, 6, 8
FEATURES, NO_WINOGRAD = 31, 64
REQUANTISED = 100
"""Added to `INT8` of a layer that hands int8 on."""


class LayoutError(ValueError):
    """Files that this module does not understand."""


@dataclass
class Layer:
    """One line of the ``.param`` file, with its weights.

    Attributes:
        kind, name: as ncnn calls them.
        bottoms, tops: blobs that it reads and writes.
        keys: parameters by number, as text.
        weights: float32, flat; int8 once quantised; None without any.
        bias: float32, or None.
        scales: of int8: those of the weights, one an output or group, that of the input, and maybe that of the output.
    """

    kind: str
    name: str
    bottoms: list[str]
    tops: list[str]
    keys: dict[int, str]
    weights: NDArray[np.float32] | NDArray[np.int8] | None = None
    bias: NDArray[np.float32] | None = None
    scales: list[NDArray[np.float32]] = field(default_factory=list)

    def number(self, key: int, default: int = 0) -> int:
        """A whole-number parameter."""
        return int(self.keys.get(key, default))


def read(param: str) -> list[Layer]:
    """Layers in order, without their weights.

    Raises:
        LayoutError: no ``.param`` text.
    """
    lines = param.split("\n")
    if lines[0].strip() != _MAGIC:
        raise LayoutError(f".param must begin with {_MAGIC}, but got {lines[0]!r:.40}")
    layers = []
    for line in filter(str.strip, lines[2:]):
        kind, name, inputs, outputs, *rest = line.split()
        i, o = int(inputs), int(outputs)
        keys = dict(pair.split("=", 1) for pair in rest[i + o :])
        layers.append(Layer(kind, name, rest[:i], rest[i : i + o], {int(key): value for key, value in keys.items()}))
    return layers


def read_weights(layers: Sequence[Layer], weights: bytes) -> None:
    """Give layers their float32 weights.

    Raises:
        LayoutError: weights of another type or length, or a layer with weights other than a convolution's.
    """
    place = 0
    for layer in layers:
        if layer.kind in CONVOLUTIONS:
            (tag,) = struct.unpack_from("<I", weights, place)
            if tag != _FLOAT32 or layer.number(INT8):
                raise LayoutError(f"weights of {layer.name} must be float32, but got tag {tag:#x}")
            count = layer.number(WEIGHTS)
            layer.weights = np.frombuffer(weights, np.float32, count, place + 4)
            place += 4 + 4 * count
            if layer.number(BIAS):
                layer.bias = np.frombuffer(weights, np.float32, layer.number(OUTPUTS), place)
                place += 4 * layer.number(OUTPUTS)
        elif layer.kind not in _PLAIN:
            known = ", ".join(CONVOLUTIONS + _PLAIN)
            raise LayoutError(f"layers must be of {known}, but got {layer.kind} ({layer.name})")
    if place != len(weights):
        raise LayoutError(f".bin must be {place} bytes long, but got {len(weights)}")


def write(layers: Sequence[Layer]) -> tuple[str, bytes]:
    """The text of ``.param`` and the bytes of ``.bin``."""
    blobs = sum(len(layer.tops) for layer in layers)
    lines = [_MAGIC, f"{len(layers)} {blobs}"]
    data = bytearray()
    for layer in layers:
        keys = [f"{key}={value}" for key, value in layer.keys.items()]
        counts = [str(len(layer.bottoms)), str(len(layer.tops))]
        lines.append(" ".join([layer.kind, layer.name, *counts, *layer.bottoms, *layer.tops, *keys]))
        if layer.weights is None:
            continue
        int8 = layer.weights.dtype == np.int8
        data += struct.pack("<I", _INT8 if int8 else _FLOAT32) + layer.weights.tobytes()
        data += bytes(-len(data) % 4)
        for numbers in ([] if layer.bias is None else [layer.bias]) + layer.scales:
            data += np.asarray(numbers, np.float32).tobytes()
    return "\n".join(lines) + "\n", bytes(data)
