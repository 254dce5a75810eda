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
from quantize.teachers.yunet_layers import BOX, CHANNELS, CLS, KPS, OBJ, YuNetLayers
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

    ``hints``: weight of the features before the pyramid; ``features``: of those of the pyramid; ``heads``: of what the
    detector's heads make of the latter. Adapters start from noise, where the student has as many channels as YuNet from
    the identity: until ``attached`` is set only they learn, and the student does not.
    """

    def __init__(self, student: Student, file: Path, hints: float, features: float, heads: float) -> None:
        super().__init__()
        self.student, self.hints, self.features, self.heads = student, hints, features, heads
        self.detector = YuNetLayers(file)
        self.adapters = _adapters([student.config.neck] * len(STRIDES))
        self.hint_adapters = _adapters(student.backbone_widths if hints else [])
        self.attached = False

    @property
    def helpers(self) -> nn.ModuleList:
        """What learns besides the student, and is thrown away."""
        return nn.ModuleList([*self.adapters, *self.hint_adapters])

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        backbone = self.student.backbone(x)
        levels = self.student.neck(backbone)
        with torch.no_grad():
            hints = self.detector.features(x)
            wanted = self.detector.neck(hints)
            answers = self.detector.predict(wanted).float()
        adapted = self._adapted(self.adapters, levels)
        loss = self.features * _apart(adapted, wanted)
        if self.hints:
            loss = loss + self.hints * _apart(self._adapted(self.hint_adapters, backbone), hints)
        return self.student.predict(levels), loss + self.heads * heads_apart(
            self.detector.predict(adapted).float(), answers
        )

    def _adapted(self, adapters: nn.ModuleList, levels: Sequence[Tensor]) -> list[Tensor]:
        seen = levels if self.attached else [level.detach() for level in levels]
        return [torch.relu(adapter(level)) for adapter, level in zip(adapters, seen, strict=True)]


def _adapters(channels: Sequence[int]) -> nn.ModuleList:
    """1x1 convolutions to YuNet's channels; the identity where there are as many."""
    adapters = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in channels)
    for adapter in adapters:
        if adapter.weight.shape[0] == adapter.weight.shape[1]:  # type: ignore[union-attr,index]
            nn.init.dirac_(adapter.weight)  # type: ignore[arg-type]
            nn.init.zeros_(adapter.bias)  # type: ignore[arg-type]
    return adapters


def _apart(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    return features_apart([s.float() for s in student], [t.float() for t in teacher])
