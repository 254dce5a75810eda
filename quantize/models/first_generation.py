"""The networks of edgeface 0.1.0, whose weights ship until those of the recipes take their place."""

from __future__ import annotations

from torch import Tensor, nn

from quantize.models.layers import ConvBNReLU, Separable, Unit, add, convolutions, halve
from quantize.models.student import CHANNELS, STRIDES, bound

Levels = tuple[Tensor, Tensor, Tensor]


def _predicted(model: FirstS | FirstN, levels: Levels) -> Levels:
    """Raw outputs of a pyramid's features."""
    o8, o16, o32 = (head(tower(p)) for head, tower, p in zip(model.heads, model.towers, levels, strict=True))
    return o8, o16, o32


class FirstS(nn.Module):
    """edgeface-s 0.1.0: dense convolutions, a branch of 5 × 5 separable blocks."""

    def __init__(self, bounded: bool = False) -> None:
        super().__init__()
        self.bounded = bounded

        def dense(count: int) -> list[ConvBNReLU]:
            return [ConvBNReLU(64, 64) for _ in range(count)]

        self.context16 = Separable(64, 64, 5)
        self.stage32 = nn.Sequential(Separable(64, 160, 3, 2), Separable(160, 160, 5), Separable(160, 160, 5))
        self.join32 = ConvBNReLU(160, 64, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.stem = nn.Sequential(ConvBNReLU(3, 16, 3, 2), ConvBNReLU(16, 32, 3, 2))
        self.stage8 = nn.Sequential(ConvBNReLU(32, 64, 3, 2), *dense(2))
        self.stage16 = nn.Sequential(halve(), *dense(2))
        self.units32 = nn.Sequential(halve(), *dense(2))
        self.lateral8, self.lateral16, self.lateral32 = (Unit(64, 64) for _ in STRIDES)
        self.towers = nn.ModuleList(Unit(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(64, CHANNELS, 1) for _ in STRIDES)
        if bounded:
            bound(self)

    def forward(self, x: Tensor) -> Levels:
        return _predicted(self, self.pyramid(x))

    def pyramid(self, x: Tensor) -> Levels:
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        p32 = self.lateral32(self.units32(c16)) + self.join32(self.stage32(self.context16(c16)))
        p16 = self.lateral16(add(c16, self.up(p32)))
        return self.lateral8(add(c8, self.up(p16))), p16, p32

    def chains(self) -> list[list[ConvBNReLU]]:
        to8, to16, to32 = self.towers
        return [
            convolutions(*self.stem, *self.stage8),
            convolutions(*self.stage16),
            convolutions(*self.units32, self.lateral32),
            convolutions(self.lateral8, to8),
            *[convolutions(u) for u in (self.lateral16, to16, to32)],
            *[[m.depthwise, m.pointwise] for m in self.modules() if isinstance(m, Separable)],
        ]


class FirstN(nn.Module):
    """edgeface-n 0.1.0: depthwise separable blocks."""

    def __init__(self, bounded: bool = False) -> None:
        super().__init__()
        self.bounded = bounded
        self.stem = nn.Sequential(ConvBNReLU(3, 8, 3, 2), ConvBNReLU(8, 16, 3, 2))
        self.stage8 = nn.Sequential(Separable(16, 32, 3, 2), *[Separable(32, 32) for _ in range(3)])
        self.stage16 = nn.Sequential(Separable(32, 64, 3, 2), *[Separable(64, 64, 5) for _ in range(2)])
        self.stage32 = nn.Sequential(Separable(64, 96, 3, 2), *[Separable(96, 96, 5) for _ in range(2)])
        self.lateral8, self.lateral16, self.lateral32 = (ConvBNReLU(w, 32, 1) for w in (32, 64, 96))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.towers = nn.ModuleList(nn.Sequential(Separable(32, 32)) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(32, CHANNELS, 1) for _ in STRIDES)
        if bounded:
            bound(self)

    def forward(self, x: Tensor) -> Levels:
        return _predicted(self, self.pyramid(x))

    def pyramid(self, x: Tensor) -> Levels:
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        p32 = self.lateral32(self.stage32(c16))
        p16 = add(self.lateral16(c16), self.up(p32))
        return add(self.lateral8(c8), self.up(p16)), p16, p32

    def chains(self) -> list[list[ConvBNReLU]]:
        blocks = [[m.depthwise, m.pointwise] for m in self.modules() if isinstance(m, Separable)]
        return [convolutions(*self.stem), *blocks]
