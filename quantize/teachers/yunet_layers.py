"""YuNet n as a PyTorch module that gradients flow through, from its published ONNX file: what a student is compared
with at every cell (quantize/train/mimic.py). `quantize.teachers.yunet` is the same network as a detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = 59
CHANNELS = 64
"""Of its features."""
CLS, OBJ, BOX, KPS = 0, 1, slice(2, 6), slice(6, 16)


def _convolutions(file: Path) -> list[nn.Conv2d]:
    """The convolutions of an ONNX file in the order of its graph, batch norm folded in already."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    values = {i.name: torch.from_numpy(np.array(numpy_helper.to_array(i))) for i in graph.initializer}
    layers = []
    for node in (n for n in graph.node if n.op_type == "Conv"):
        options = {a.name: a for a in node.attribute}
        weight, bias = values[node.input[1]], values[node.input[2]]
        groups, stride = options["group"].i, options["strides"].ints[0]
        layer = nn.Conv2d(
            weight.shape[1] * groups, len(weight), weight.shape[2], stride, options["pads"].ints[0], groups=groups
        )
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers.append(layer)
    return layers


class Unit(nn.Sequential):
    """A 1x1 and a depthwise 3x3 convolution with nothing between them."""

    def __init__(self, layers: Iterator[nn.Conv2d]) -> None:
        super().__init__(next(layers), next(layers))


class YuNetLayers(nn.Module):
    """Backbone and pyramid (`pyramid`), and heads (`predict`), frozen; ``file``: yunet_n_dynamic.onnx.

    Raises ValueError for another network. Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector".
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        layers = _convolutions(file)
        if len(layers) != CONVOLUTIONS:
            raise ValueError(f"{file} must be YuNet n with {CONVOLUTIONS} convolutions, but got {len(layers)}")
        rest = iter(layers)
        self.stem = next(rest)
        self.backbone = nn.ModuleList(Unit(rest) for _ in range(11))
        self.laterals = nn.ModuleList(Unit(rest) for _ in range(3))  # strides 32, 16, 8
        self.shared = nn.ModuleList(Unit(rest) for _ in range(3))  # strides 8, 16, 32, as everything from here on
        self.cls, self.box, self.obj, self.kps = (nn.ModuleList(Unit(rest) for _ in range(3)) for _ in range(4))
        self.eval().requires_grad_(False)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Features of strides 8, 16 and 32, (n, 64, h/s, w/s) each, none below 0. ``x``: (n, 3, h, w), RGB,
        (pixel − 128) / 128 as our students take it, sides multiples of 32.
        """
        return self.neck(self.features(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """What the backbone gives the pyramid, shaped as that is."""
        x = torch.relu(self.stem(x.flip(1) * 128 + 128))
        levels = []
        for i, unit in enumerate(self.backbone):
            x = torch.relu(unit(x))
            if i in (6, 8, 10):
                levels.append(x)
            if i in (0, 4, 6, 8):
                x = F.max_pool2d(x, 2)
        return levels

    def neck(self, levels: list[Tensor]) -> list[Tensor]:
        """From what `features` gives to what `pyramid` does."""
        top = torch.relu(self.laterals[0](levels[2]))
        middle = torch.relu(self.laterals[1](levels[1] + F.interpolate(top, scale_factor=2)))
        bottom = torch.relu(self.laterals[2](levels[0] + F.interpolate(middle, scale_factor=2)))
        return [bottom, middle, top]

    def predict(self, levels: list[Tensor]) -> Tensor:
        """Raw outputs (n, p, 16) of all cells, row-major, strides ascending: logits of cls and obj (the score is the
        root of the product of their sigmoids), box and points around the cell's top left corner in strides.
        """
        parts = []
        for i, level in enumerate(levels):
            x = torch.relu(self.shared[i](level))
            out = torch.cat([head[i](x) for head in (self.cls, self.obj, self.box, self.kps)], 1)
            parts.append(out.flatten(2).transpose(1, 2))
        return torch.cat(parts, 1)
