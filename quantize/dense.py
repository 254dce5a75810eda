"""A student whose backbone is dense 3x3 convolutions from the image to stride 32, under the pyramid and heads of
`quantize.thinned`.

With dot-product instructions a dense 3x3 convolution of 64 channels costs three and a half times what YuNet's unit of a
pointwise and a depthwise one does, for eight times the weights: depthwise kernels cannot use them. So a dense backbone
sees more for the same instructions on a Cortex-A55 or A76 (and executes more on cores without them, docs/boards.md).
Its channels at each level are YuNet's, so that their features can be compared (`quantize.train.mimic`).
"""

from __future__ import annotations

from torch import nn

from quantize.model import ConvBNReLU
from quantize.thinned import WIDTH, Thinned, halve


class Dense(Thinned):
    """``config.widths[2]`` and ``config.depths[2]`` are those of the branch, as in `Thinned`."""

    fixed = (2, 2)

    def _build_backbone(self) -> None:
        def convolutions(count: int) -> list[ConvBNReLU]:
            return [ConvBNReLU(WIDTH, WIDTH, 3) for _ in range(count)]

        self.stem = nn.Sequential(ConvBNReLU(3, 16, 3, 2), ConvBNReLU(16, 32, 3, 2))
        self.stage8 = nn.Sequential(ConvBNReLU(32, WIDTH, 3, 2), *convolutions(self.fixed[0]))
        self.stage16 = nn.Sequential(halve(), *convolutions(self.fixed[1]))
        self.units32 = nn.Sequential(halve(), *convolutions(2))
