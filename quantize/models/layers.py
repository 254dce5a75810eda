"""The layers that students are built of: only what integer kernels of every runtime run well."""

from __future__ import annotations

from torch import Tensor, nn


class ConvBNReLU(nn.Sequential):
    """Convolution with "same" padding, batch norm and (unless ``act`` is false) ReLU."""

    def __init__(self, cin: int, cout: int, k: int = 3, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        layers = [
            nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout, momentum=0.03),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Separable(nn.Module):
    """Depthwise k × k, then pointwise; a residual path where the shape allows one."""

    def __init__(self, cin: int, cout: int, k: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.residual = stride == 1 and cin == cout
        self.depthwise = ConvBNReLU(cin, cin, k, stride, groups=cin)
        self.pointwise = ConvBNReLU(cin, cout, 1, act=not self.residual)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return (x + y).relu() if self.residual else y


class Unit(nn.Module):
    """A pointwise convolution, then a depthwise 3 × 3 one with nothing between them, then ReLU (the block of YuNet)."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.pointwise = ConvBNReLU(cin, cout, 1, act=False)
        self.depthwise = ConvBNReLU(cout, cout, 3, groups=cout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(self.pointwise(x))
        return y


def halve() -> nn.Module:
    """Pooling to half the sides, rounded up: strides 8 to 32 of 240 rows are 30, 15 and 8 cells."""
    return nn.MaxPool2d(2, ceil_mode=True)


def add(x: Tensor, larger: Tensor) -> Tensor:
    """The sum of a level and the upsampled one above it, which is longer where a side is odd: 240 rows are 15 of 16."""
    return x + larger[:, :, : x.shape[2], : x.shape[3]]


def convolutions(*modules: nn.Module) -> list[ConvBNReLU]:
    """The convolutions of modules in a row."""
    return [m for module in modules for m in module.modules() if isinstance(m, ConvBNReLU)]


def init_relu(model: nn.Module) -> None:
    """Weights that keep the size of what goes through them (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, ConvBNReLU):
            conv = module[0]
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu" if len(module) == 3 else "linear")
    for module in model.modules():
        if isinstance(module, Separable) and module.residual:
            module.pointwise[0].weight.data.mul_(0.2)  # type: ignore[operator]
