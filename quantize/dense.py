"""A student whose backbone is dense 3x3 convolutions from the image to stride 32, under the pyramid and heads of
`quantize.thinned`.

With dot-product instructions a dense 3x3 convolution of 64 channels costs three and a half times what YuNet's unit of a
pointwise and a depthwise one does, for eight times the weights: depthwise kernels cannot use them. So a dense backbone
sees more for the same instructions on a Cortex-A55 or A76 (and executes more on cores without them, docs/boards.md).
Its channels at each level are YuNet's, so that their features can be compared (`quantize.train.mimic`).
"""

from __future__ import annotations

from torch import nn

from quantize.model import ConvBNReLU, StudentConfig
from quantize.thinned import WIDTH, Thinned, halve

STEM = 32
"""Channels of stride 4."""
UNITS = ("lateral8", "lateral16", "lateral32", "towers.0", "towers.1", "towers.2")
"""What ``config.dense_units`` may name."""


class Dense(Thinned):
    """``config.widths[2]`` and ``config.depths[2]`` are those of the branch, as in `Thinned`; ``config.stem_dense`` and
    ``config.dense_units`` add what `quantize.reshape` can make of a trained one.
    """

    fixed = (2, 2)

    def _build_trunk(self, config: StudentConfig) -> None:
        if unknown := set(config.dense_units) - set(UNITS):
            raise ValueError(f"dense_units must be of {', '.join(UNITS)}, but got {', '.join(sorted(unknown))}")
        super()._build_trunk(config)

    def _build_units(self) -> None:
        super()._build_units()
        for name in self.config.dense_units:
            self.set_submodule(name, ConvBNReLU(WIDTH, WIDTH, 3))

    def _build_backbone(self) -> None:
        def convolutions(count: int) -> list[ConvBNReLU]:
            return [ConvBNReLU(WIDTH, WIDTH, 3) for _ in range(count)]

        more = [ConvBNReLU(STEM, STEM, 3) for _ in range(self.config.stem_dense)]
        self.stem = nn.Sequential(ConvBNReLU(3, 16, 3, 2), ConvBNReLU(16, STEM, 3, 2), *more)
        self.stage8 = nn.Sequential(ConvBNReLU(STEM, WIDTH, 3, 2), *convolutions(self.fixed[0]))
        self.stage16 = nn.Sequential(halve(), *convolutions(self.fixed[1]))
        self.units32 = nn.Sequential(halve(), *convolutions(2))
