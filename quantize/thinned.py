"""A student of YuNet's shape, thinned where it costs most, with our heads and more depth for large faces.

YuNet's backbone and pyramid under our heads execute 35.6 million instructions a 320x320 frame on a Cortex-A76 in int8,
most of them at strides 2 and 4. Here its first unit and the pooling after it are one dense convolution, its last unit
of stride 4 comes after the pooling instead of before it, and a branch of 5x5 blocks at stride 32, for the direction of
large faces, takes a part of what that saves. With as many channels at each level as YuNet, its features can be compared
with YuNet's one by one (hints, `quantize.train.mimic`); docs/training-notes.md says how close they get. Its weights are
its own, from noise.
"""

from __future__ import annotations

from torch import Tensor, nn

from quantize.model import STRIDES, ConvBNReLU, Separable, Student, StudentConfig, add

WIDTH = 64
"""Channels of YuNet from stride 4 on."""


class Unit(nn.Module):
    """YuNet's block: a pointwise convolution, then a depthwise 3x3 one with nothing between them, then ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.pointwise = ConvBNReLU(cin, cout, 1, act=False)
        self.depthwise = ConvBNReLU(cout, cout, 3, groups=cout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.pointwise(x))
        return y


def halve() -> nn.Module:
    """Strides 8 to 32 of a side of 240 pixels are 30, 15 and 8 cells: the last one is half outside."""
    return nn.MaxPool2d(2, ceil_mode=True)


def _convolutions(*modules: nn.Module) -> list[ConvBNReLU]:
    """Of modules in a row; pooling has none."""
    return [m for module in modules for m in module.modules() if isinstance(m, ConvBNReLU)]


class Thinned(Student):
    """``config.widths[2]`` and ``config.depths[2]`` say how wide and deep the branch of stride 32 is; all else is
    fixed. Inputs and outputs are those of `Student`.
    """

    fixed: tuple[int, int] = (3, 2)
    """Depths of strides 8 and 16. YuNet's are two and two: the first unit of stride 8 is its last of stride 4."""

    def _build_trunk(self, config: StudentConfig) -> None:
        if (config.widths[:2], config.depths[:2], config.neck) != ((WIDTH, WIDTH), self.fixed, WIDTH):
            raise ValueError(
                f"widths and depths must begin with {WIDTH}, {WIDTH} and {self.fixed}, and neck be {WIDTH}, "
                f"but got {config}"
            )
        wide, deep = config.widths[2], config.depths[2]
        self._build_backbone()
        self.context16 = Separable(WIDTH, WIDTH, 5)
        self.stage32 = nn.Sequential(Separable(WIDTH, wide, 3, 2), *[Separable(wide, wide, 5) for _ in range(deep)])
        self.join32 = ConvBNReLU(wide, WIDTH, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self._build_units()
        self._init_trunk()

    def _build_units(self) -> None:
        self.lateral8, self.lateral16, self.lateral32 = (Unit(WIDTH, WIDTH) for _ in STRIDES)
        self.towers = nn.ModuleList(Unit(WIDTH, WIDTH) for _ in STRIDES)

    def _build_backbone(self) -> None:
        self.stem = nn.Sequential(
            ConvBNReLU(3, 16, 3, 2), ConvBNReLU(16, 16, 3, 2), Unit(16, 16), Unit(16, WIDTH), Unit(WIDTH, WIDTH)
        )
        self.stage8 = nn.Sequential(halve(), *[Unit(WIDTH, WIDTH) for _ in range(self.fixed[0])])
        self.stage16 = nn.Sequential(halve(), *[Unit(WIDTH, WIDTH) for _ in range(self.fixed[1])])
        self.units32 = nn.Sequential(halve(), *[Unit(WIDTH, WIDTH) for _ in range(2)])

    def _init_trunk(self) -> None:
        """Weights that keep the size of what goes through them, so that it learns without batch norm as well."""
        for module in self.modules():
            if isinstance(module, ConvBNReLU):
                conv = module[0]
                assert isinstance(conv, nn.Conv2d)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu" if len(module) == 3 else "linear")
        for module in self.modules():
            if isinstance(module, Separable) and module.residual:
                module.pointwise[0].weight.data.mul_(0.2)  # type: ignore[operator]

    @property
    def backbone_widths(self) -> tuple[int, int, int]:
        return WIDTH, WIDTH, WIDTH

    def chains(self) -> list[list[ConvBNReLU]]:
        to8, to16, to32 = self.towers
        return [
            _convolutions(*self.stem, *self.stage8),
            _convolutions(*self.stage16),
            _convolutions(*self.units32, self.lateral32),
            _convolutions(self.lateral8, to8),
            *[_convolutions(u) for u in (self.lateral16, to16, to32)],
            *[[m.depthwise, m.pointwise] for m in self.modules() if isinstance(m, Separable)],
        ]

    def backbone(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        return c8, c16, self.units32(c16)

    def neck(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        c8, c16, c32 = levels
        p32 = self.lateral32(c32) + self.join32(self.stage32(self.context16(c16)))
        p16 = self.lateral16(add(c16, self.up(p32)))
        p8 = self.lateral8(add(c8, self.up(p16)))
        return p8, p16, p32
