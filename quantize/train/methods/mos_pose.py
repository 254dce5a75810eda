"""The pose loss of MOS (arXiv 2110.10953), after Hopenet (Ruiz et al. 2018, arXiv 1710.00925).

Beside the rotation's six numbers a cell tells yaw, pitch and roll as 66 bins of 3° each. With p the softmax over
the bins of an angle,

    L = cross-entropy(p, bin of the angle) + α · (3 · Σ i·p_i − 99 − angle)²,

a mean over the angles within 99°. The bins are told from the features that the student's heads read. They are there
while it trains and no part of it: what is exported has the weights that it has without them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.models import STRIDES, Network
from quantize.train.assignment import flatten

BINS, WIDTH, LIMIT = 66, 3.0, 99.0
"""Bins of an angle, degrees of a bin, and the angle at which they end."""
ALPHA = 0.02
"""Weight of a squared degree; the paper does not tell its own. 14° off weigh what knowing nothing does in the
cross-entropy."""
POLE = 1e-5


def angles(rotation: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees, (..., 3), of rotations (..., 3, 3): `edgeface.angles.rotation_to_angles` on a
    device.
    """
    r = rotation
    cosine = torch.hypot(r[..., 0, 0], r[..., 0, 1])
    pole = cosine < POLE
    yaw = torch.atan2(r[..., 0, 2], cosine)
    pitch = torch.atan2(r[..., 1, 2], r[..., 2, 2]).masked_fill(pole, 0)
    roll = torch.where(pole, torch.atan2(r[..., 1, 0], r[..., 1, 1]), torch.atan2(-r[..., 0, 1], r[..., 0, 0]))
    first = torch.stack([yaw, pitch, roll], -1).rad2deg()
    half = torch.full_like(first, 180).copysign(first)
    twin = torch.cat([(half - first)[..., :1], (first - half)[..., 1:]], -1)
    swap = ~pole & (twin[..., 1:].abs().sum(-1) < first[..., 1:].abs().sum(-1))
    return torch.where(swap[..., None], twin, first)


def expectation(logits: Tensor) -> Tensor:
    """Degrees, (...), that logits (..., 66) say."""
    return logits.softmax(-1) @ torch.arange(BINS, dtype=logits.dtype, device=logits.device) * WIDTH - LIMIT


def pose_loss(logits: Tensor, degrees: Tensor) -> Tensor:
    """The loss of each face, (n,), from ``logits`` (n, 3, 66) and ``degrees`` (n, 3); 0 where no angle is within
    99°.

    Examples:
        >>> sure = 50 * F.one_hot(torch.tensor([[33, 34, 65]]), BINS).float()
        >>> pose_loss(sure, torch.tensor([[0.0, 5.0, 120.0]]))  # 0° is told; 5° as 3°; 120° does not count
        tensor([0.0400])
    """
    told = degrees.abs() < LIMIT
    degrees = degrees.where(told, torch.zeros_like(degrees))
    bins = ((degrees + LIMIT) / WIDTH).long().clamp(0, BINS - 1)
    entropy = F.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none").view_as(degrees)
    each = entropy + ALPHA * (expectation(logits) - degrees).square()
    return (each * told).sum(-1) / told.sum(-1).clamp(min=1)


class PoseBins(nn.Module):
    """A linear layer a level from the features of its cells to 3 × 66 bins; ``weight`` is the loss's among those of
    the tasks.
    """

    def __init__(self, student: Network, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.levels = nn.ModuleList(nn.Linear(head.in_channels, 3 * BINS) for head in student.heads)  # type: ignore[arg-type]
        self._features: list[Tensor] = [torch.zeros(0)] * len(STRIDES)

    def watch(self, student: Network) -> None:
        """From now on remembers what the heads of ``student`` read."""

        def remember(level: int) -> None:
            def keep(head: nn.Module, given: tuple[Tensor]) -> None:
                self._features[level] = given[0]

            student.heads[level].register_forward_pre_hook(keep)

        for level in range(len(STRIDES)):
            remember(level)

    def forward(self, image: Tensor, cell: Tensor, stride: Tensor) -> Tensor:
        """Logits (n, 3, 66) of cells of the last batch: numbers of their images and cells, and their strides, each
        (n,).
        """
        features = flatten(tuple(self._features))[image, cell].float()
        every = torch.stack([level(features) for level in self.levels], 1)
        which = (stride / STRIDES[0]).log2().long()
        return every[torch.arange(len(cell), device=cell.device), which].unflatten(-1, (3, BINS))
