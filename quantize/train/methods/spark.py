"""SparK (Tian et al. 2023, arXiv 2301.03580): masked pre-training of the backbone, on photos without labels.

A share of the 32 × 32 px patches of a view is hidden. Every convolution and pooling of the encoder acts on what is
visible: on dense kernels that is a multiplication by the mask after each of them, and statistics of batch norm over
visible positions alone. A light decoder over strides 8, 16 and 32 fills hidden positions with a learned embedding and
predicts their pixels. The loss is

    L = mean over hidden patches of ‖(x − mean(x)) / std(x) − y‖² / pixels,

mean and std being each patch's own. The backbone is not changed, so its weights are a student's.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.models import Student
from quantize.models.layers import ConvBNReLU

PATCH = 32
"""Pixels of a patch's side: the largest stride."""


def random_mask(n: int, rows: int, columns: int, share: float, generator: torch.Generator) -> Tensor:
    """(n, 1, rows, columns) float32: 1 where a patch is visible. Of each view the same number, ``share`` of all, is
    hidden.
    """
    cells = rows * columns
    order = torch.rand(n, cells, generator=generator).argsort(1)
    return (order >= round(share * cells)).float().reshape(n, 1, rows, columns)


def at(mask: Tensor, like: Tensor) -> Tensor:
    """The mask at the resolution of ``like`` (n, c, h, w)."""
    return F.interpolate(mask, size=like.shape[2:], mode="nearest")


def masked_norm(x: Tensor, mask: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch norm whose statistics are those of visible positions; hidden ones stay 0. ``mask`` is of the size of
    ``x``.
    """
    visible = mask.expand(-1, 1, *x.shape[2:]).bool()[:, 0]
    rows = x.permute(0, 2, 3, 1)[visible]
    out = torch.zeros_like(x).permute(0, 2, 3, 1)
    out[visible] = F.batch_norm(
        rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum or 0.1, norm.eps
    ).to(out.dtype)
    return out.permute(0, 3, 1, 2)


def masked_sequence(layers: nn.Sequential, x: Tensor, mask: Tensor) -> Tensor:
    """Layers of `quantize.models.student.sequence` on visible positions alone. Raises TypeError for other layers."""
    for layer in layers:
        if isinstance(layer, ConvBNReLU):
            y = cast(nn.Conv2d, layer[0])(x)
            x = torch.relu(masked_norm(y, at(mask, y), cast(nn.BatchNorm2d, layer[1])))
        elif isinstance(layer, nn.MaxPool2d):
            x = layer(x)
            x = x * at(mask, x)
        else:
            raise TypeError(f"SparK needs dense convolutions and pooling, but got {type(layer).__name__}")
    return x


class SparK(nn.Module):
    """The backbone of ``student`` with a decoder behind it; ``forward`` gives the loss of a batch of views.

    Examples:
        >>> from quantize.models import build_student
        >>> method = SparK(build_student("edgeface-n"))
        >>> mask = random_mask(2, 3, 4, 0.6, torch.Generator().manual_seed(0))
        >>> method(torch.randn(2, 3, 96, 128), mask).shape
        torch.Size([])
    """

    def __init__(self, student: Student, width: int = 64) -> None:
        super().__init__()
        self.student = student
        channels = [student.architecture.neck, student.architecture.neck, _channels(student.stage32)]
        self.hidden = nn.ParameterList(nn.Parameter(torch.randn(1, c, 1, 1) * 0.02) for c in channels)
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.mix = nn.ModuleList(ConvBNReLU(width, width) for _ in channels)
        self.pixels = nn.Conv2d(width, 3 * 8 * 8, 1)

    def features(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """The backbone's levels at strides 8, 16 and 32, 0 where a patch is hidden."""
        s = self.student
        c8 = masked_sequence(s.stage8, masked_sequence(s.stem, x * at(mask, x), mask), mask)
        c16 = masked_sequence(s.stage16, c8, mask)
        return [c8, c16, masked_sequence(s.stage32, c16, mask)]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``x`` (n, 3, h, w), sides multiples of 32; ``mask`` (n, 1, h/32, w/32), 1 where visible."""
        levels = self.features(x, mask)
        y: Tensor | None = None
        for level, hidden, project, mix in reversed(
            list(zip(levels, self.hidden, self.project, self.mix, strict=True))
        ):
            m = at(mask, level)
            filled = project(level * m + hidden * (1 - m))
            y = mix(filled if y is None else filled + F.interpolate(y, scale_factor=2.0, mode="nearest"))
        assert y is not None
        return reconstruction_loss(F.pixel_shuffle(self.pixels(y), 8), x, mask)


def _channels(stage: nn.Sequential) -> int:
    convs = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
    return convs[-1].out_channels


def reconstruction_loss(pred: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error on hidden patches; the pixels of each patch have mean 0 and variance 1."""

    def patches(t: Tensor) -> Tensor:
        return F.unfold(t.float(), PATCH, stride=PATCH).transpose(1, 2)

    target = patches(x)
    target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    hidden = mask.flatten(1) == 0
    return (patches(pred)[hidden] - target[hidden]).square().mean()
