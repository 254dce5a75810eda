"""Dense distillation: a student learns a frozen teacher's answer at every cell, not only at the cells that a label was
assigned to.

The teacher is another network of ours with the same heads (say edgeface-s for edgeface-n), so that its outputs
compare channel by channel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.model import BOX, LANDMARKS, ROTATION, SCORE
from quantize.train.assign import flatten
from quantize.train.losses import quality_focal

CONFIDENT = 0.3  # cells that the teacher holds for a face teach box, points and rotation too


def dense_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Scalar loss between raw outputs (n, p, 22): quality focal loss towards the teacher's scores, over the sum of
    these, and a smooth L1 of box, points and rotation at confident cells, weighted by the score.
    """
    score = teacher[..., SCORE].sigmoid()
    loss = quality_focal(student[..., SCORE], score).sum() / score.sum().clamp(min=1)
    return loss + apart_at_faces(score, *((student[..., p], teacher[..., p]) for p in (BOX, LANDMARKS, ROTATION)))


def apart_at_faces(score: Tensor, *parts: tuple[Tensor, Tensor]) -> Tensor:
    """Smooth L1 between student and teacher, (n, p, c) each, summed over ``parts``: a mean over confident cells,
    weighted by the teacher's ``score`` (n, p).
    """
    weight = torch.where(score > CONFIDENT, score, torch.zeros_like(score))
    apart = [F.smooth_l1_loss(s, t, reduction="none", beta=0.1).mean(-1) for s, t in parts]
    return (torch.stack(apart).sum(0) * weight).sum() / weight.sum().clamp(min=1)


class DenseTeacher(nn.Module):
    """The frozen teacher beside the student in a training step; ``weight`` multiplies the loss."""

    def __init__(self, teacher: nn.Module, weight: float) -> None:
        super().__init__()
        self.teacher, self.weight = teacher.eval().requires_grad_(False), weight

    def forward(self, x: Tensor, outputs: tuple[Tensor, ...]) -> Tensor:
        with torch.no_grad():
            wanted = flatten(self.teacher(x))
        return self.weight * dense_distillation(flatten(outputs), wanted)
