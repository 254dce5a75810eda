"""What a student learns from a detector that is not one of ours: its features, and what its heads make of the
student's.

The detector's levels and the student's cover the same cells, but its outputs follow other rules (which cells answer
for a face, what the score means), so that answers cannot be compared one by one without contradicting the labels. A
1x1 convolution a level takes the student's features to the detector's instead, where they are compared twice: directly
(Romero et al. 2015, "FitNets", arXiv 1412.6550) and through the detector's own frozen heads (Wang et al. 2024,
"CrossKD", arXiv 2306.11369). The student's heads learn from labels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.model import STRIDES, Student
from quantize.teachers.yunet_layers import BOX, CLS, KPS, OBJ, YuNetLayers
from quantize.train.distill import CONFIDENT
from quantize.train.losses import quality_focal


def features_apart(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The mean over levels of ‖student − teacher‖² / ‖teacher‖²: 1 for a student that says nothing."""
    parts = [(s - t).pow(2).mean() / t.pow(2).mean().clamp(min=1e-6) for s, t in zip(student, teacher, strict=True)]
    return torch.stack(parts).mean()


def heads_apart(student: Tensor, teacher: Tensor) -> Tensor:
    """Scalar loss between raw outputs (n, p, 16) of the detector's heads: quality focal loss of obj, of cls where the
    teacher's obj is high (elsewhere it was never trained), over the sum of scores; smooth L1 of box and points at
    confident cells.
    """
    cls, obj = teacher[..., CLS].sigmoid(), teacher[..., OBJ].sigmoid()
    score = (cls * obj).sqrt()
    faces = quality_focal(student[..., OBJ], obj) + obj * quality_focal(student[..., CLS], cls)
    weight = torch.where(score > CONFIDENT, score, torch.zeros_like(score))
    apart = sum(
        (
            F.smooth_l1_loss(student[..., part], teacher[..., part], reduction="none", beta=0.1).mean(-1)
            for part in (BOX, KPS)
        ),
        torch.zeros_like(score),
    )
    return faces.sum() / score.sum().clamp(min=1) + (apart * weight).sum() / weight.sum().clamp(min=1)


class Mimic(nn.Module):
    """A student beside a frozen YuNet: ``forward`` gives the student's outputs and the weighted loss (scalar).

    ``adapters`` start from noise: until ``attached`` is set only they learn, and the student does not.
    """

    def __init__(self, student: Student, file: Path, features: float, heads: float) -> None:
        super().__init__()
        self.student, self.features, self.heads = student, features, heads
        self.detector = YuNetLayers(file)
        self.adapters = nn.ModuleList(nn.Conv2d(student.config.neck, 64, 1) for _ in STRIDES)
        self.attached = False

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        levels = self.student.pyramid(x)
        with torch.no_grad():
            wanted = self.detector.pyramid(x)
            answers = self.detector.predict(wanted).float()
        seen = levels if self.attached else [level.detach() for level in levels]
        adapted = [torch.relu(adapter(level)) for adapter, level in zip(self.adapters, seen, strict=True)]
        loss = self.features * features_apart([a.float() for a in adapted], [w.float() for w in wanted])
        return self.student.predict(levels), loss + self.heads * heads_apart(
            self.detector.predict(adapted).float(), answers
        )
