"""The students: one pass gives score, quality, box, landmarks and rotation at strides 8, 16 and 32.

A backbone of dense 3 × 3 convolutions, a top-down pyramid, a branch at stride 32 for large faces and one fused 1 × 1
head a level, whose 22 channels are those of decode rule ``edgeface-v1`` (docs/bundle.md). Dense convolutions of stride
1 with channels in multiples of 8 are what ncnn (Winograd) and XNNPACK (dot products) run best; stride 2 is kept where
small faces need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from quantize.models.layers import ConvBNReLU, Separable, Unit, add, convolutions, halve, init_relu

M = TypeVar("M", bound=nn.Module)

STRIDES = (8, 16, 32)
CHANNELS = 22
SCORE, QUALITY, BOX, LANDMARKS, ROTATION = 0, 1, slice(2, 6), slice(6, 16), slice(16, 22)
OUTPUTS = {"score": SCORE, "quality": QUALITY, "box": BOX, "landmarks": LANDMARKS, "rotation": ROTATION}


@dataclass(frozen=True)
class Architecture:
    """The layers of a student, as words in a row.

    ``32`` is a dense 3 × 3 convolution of 32 channels with batch norm and ReLU, ``32/2`` one of stride 2, ``pool`` max
    pooling of stride 2, ``5x64`` a depthwise separable block with a 5 × 5 kernel, ``5x64/2`` one of stride 2, ``1x64``
    a pointwise convolution. ``stem`` ends at stride 4, the stages at 8, 16 and 32; ``branch`` goes from stride 16 to
    32 beside the last one. ``neck`` is the width of the pyramid. ``bounded``: the first layer ends in ReLU6
    (`quantize.compress.bounded_stem`).
    """

    stem: str
    stage8: str
    stage16: str
    stage32: str
    branch: str
    neck: int
    bounded: bool = False


def sequence(words: str, channels: int) -> tuple[nn.Sequential, int]:
    """The layers that ``words`` name, and how many channels come out of them. Raises ValueError for other words.

    Examples:
        >>> layers, channels = sequence("16/2 pool 32", 3)
        >>> tuple(layers(torch.zeros(1, 3, 32, 32)).shape), channels
        ((1, 32, 8, 8), 32)
    """
    layers: list[nn.Module] = []
    for word in words.split():
        if word == "pool":
            layers.append(halve())
            continue
        kernel, _, rest = word.rpartition("x")
        width, _, stride = rest.partition("/")
        if not (width.isdigit() and stride in ("", "2") and kernel in ("", "1", "3", "5")):
            raise ValueError(f"a layer must be like 32, 32/2, 1x32, 5x32, 5x32/2 or pool, but got {word!r}")
        cout, step = int(width), int(stride or 1)
        if kernel in ("", "1"):
            layers.append(ConvBNReLU(channels, cout, int(kernel or 3), step))
        else:
            layers.append(Separable(channels, cout, int(kernel), step))
        channels = cout
    return nn.Sequential(*layers), channels


class Student(nn.Module):
    """The network that an `Architecture` describes, freshly initialised.

    ``forward`` takes (n, 3, h, w) float32, RGB, (pixel − 128) / 128, sides multiples of 16, and returns three tensors
    (n, 22, ⌈h/s⌉, ⌈w/s⌉) for s = 8, 16, 32.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.stem, c4 = sequence(a.stem, 3)
        self.stage8, c8 = sequence(a.stage8, c4)
        self.stage16, c16 = sequence(a.stage16, c8)
        self.stage32, c32 = sequence(a.stage32, c16)
        self.branch, wide = sequence(a.branch, c16)
        if {c8, c16} != {a.neck}:
            raise ValueError(f"stages 8 and 16 must end with the neck's {a.neck} channels, but got {c8} and {c16}")
        self.join32 = ConvBNReLU(wide, a.neck, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral8, self.lateral16, self.lateral32 = (Unit(c, a.neck) for c in (a.neck, a.neck, c32))
        self.towers = nn.ModuleList(Unit(a.neck, a.neck) for _ in STRIDES)
        init_relu(self)
        self.heads = nn.ModuleList(nn.Conv2d(a.neck, CHANNELS, 1) for _ in STRIDES)
        for head in self.heads:
            init_head(head)  # type: ignore[arg-type]
        if a.bounded:
            bound(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.predict(self.pyramid(x))

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 8, 16 and 32 before the pyramid."""
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        return c8, c16, self.stage32(c16)

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 8, 16 and 32, (n, neck, ⌈h/s⌉, ⌈w/s⌉) each."""
        c8, c16, c32 = self.backbone(x)
        p32 = self.lateral32(c32) + self.join32(self.branch(c16))
        p16 = self.lateral16(add(c16, self.up(p32)))
        p8 = self.lateral8(add(c8, self.up(p16)))
        return p8, p16, p32

    def predict(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw outputs of the features that `pyramid` gives."""
        o8, o16, o32 = (head(tower(p)) for head, tower, p in zip(self.heads, self.towers, levels, strict=True))
        return o8, o16, o32

    def chains(self) -> list[list[ConvBNReLU]]:
        """Runs of convolutions each of which is read by the next alone, with nothing but ReLU and pooling between."""
        to8, to16, to32 = self.towers
        plain = [
            [m for m in convolutions(stage) if m[0].groups == 1]
            for stage in (nn.Sequential(self.stem, self.stage8), self.stage16)
            if not any(isinstance(m, Separable) for m in stage.modules())
        ]
        ends = [(self.stage32, self.lateral32), (self.branch, self.join32)]
        plain += [convolutions(*e) for e in ends if not any(isinstance(m, Separable) for m in e[0].modules())]
        units = [convolutions(self.lateral8, to8), *[convolutions(u) for u in (self.lateral16, to16, to32)]]
        return [*plain, *units, *[[m.depthwise, m.pointwise] for m in self.modules() if isinstance(m, Separable)]]


def init_head(head: nn.Conv2d) -> None:
    """A prior of .01 for a score, as in focal loss (Lin et al. 2017); a box of e strides; the identity rotation."""
    assert head.bias is not None
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias[SCORE] = -4.6
        head.bias[BOX.start + 2 : BOX.stop] = 1.0
        head.bias[ROTATION.start] = head.bias[ROTATION.start + 4] = 1.0


def bound(model: nn.Module) -> None:
    """Lets the first layer end in ReLU6 instead of ReLU, in place."""
    model.stem[0][2] = nn.ReLU6(inplace=True)  # type: ignore[index, assignment]


def fuse(model: M) -> M:
    """Folds batch norm into the convolutions before it (evaluation mode, in place), as NNCF and exporters need it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model.eval()
    for module in list(model.modules()):
        if isinstance(module, ConvBNReLU) and isinstance(module[1], nn.BatchNorm2d):
            conv, bn = module[0], module[1]
            assert isinstance(conv, nn.Conv2d)
            folded = fuse_conv_bn_eval(conv, bn)
            assert folded.bias is not None
            folded.bias.requires_grad_(conv.weight.requires_grad)  # PyTorch freezes the bias of one that had none
            module[0], module[1] = folded, nn.Identity()
    return model
