"""What a student learns from a detector that is not one of ours: its features, and what its heads make of the
student's.

The detector's levels and the student's cover the same cells, but its outputs follow other rules (which cells answer
for a face, what the score means). So a 1x1 convolution a level takes the student's features to the detector's, where
they are compared twice: directly (Romero et al. 2015, "FitNets", arXiv 1412.6550) and through the detector's own frozen
heads (Wang et al. 2024, "CrossKD", arXiv 2306.11369), which contradicts no label. The student's own scores and boxes
may be compared with the detector's besides (Hinton et al. 2015, arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from quantize.model import BOX as STUDENT_BOX
from quantize.model import SCORE as STUDENT_SCORE
from quantize.model import STRIDES, Student
from quantize.teachers.yunet_layers import BOX, CHANNELS, CLS, KPS, OBJ, YuNetLayers
from quantize.train.assign import Grid, flatten
from quantize.train.distill import apart_at_faces
from quantize.train.enlarged import enlarged_answers, score_of
from quantize.train.losses import Batch, covered, quality_focal
from quantize.train.mirror import both_ways, mirrored_answers

SILENT = -12.0
"""Logit of a place where there is no face."""
AROUND = 1.5
"""Strides around a box in which the detector may speak of it: of a small face it does so at cells beside the box."""


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
    score = score_of(teacher)
    faces = quality_focal(student[..., OBJ], obj) + obj * quality_focal(student[..., CLS], cls)
    parts = ((student[..., p], teacher[..., p]) for p in (BOX, KPS))
    return faces.sum() / score.sum().clamp(min=1) + apart_at_faces(score, *parts)


def answers_apart(student: Tensor, teacher: Tensor) -> Tensor:
    """Scalar loss between a student's raw outputs (n, p, 22) and the detector's (n, p, 16): quality focal loss towards
    the detector's score over the sum of scores, smooth L1 of the box at confident cells. A score of NaN says nothing.
    """
    score = score_of(teacher)
    known = ~score.isnan()
    score = score.masked_fill(~known, 0)  # counted out below: picking the known would make an accelerator wait
    # the student's boxes are around the centre of a cell, the detector's around its top left corner
    box = teacher[..., BOX] - teacher.new_tensor([0.5, 0.5, 0.0, 0.0])
    faces = quality_focal(student[..., STUDENT_SCORE], score) * known
    return faces.sum() / score.sum().clamp(min=1) + apart_at_faces(score, (student[..., STUDENT_BOX], box))


def boxes_apart(student: Tensor, teacher: Tensor) -> Tensor:
    """Scalar loss between the boxes of a student's raw outputs (n, p, 22) and the detector's (n, p, 16), relative to
    the latter's sides: smooth L1 of (Δx / w, Δy / h, Δ ln w, Δ ln h), which weighs a box of 8 pixels as much as one of
    80 of the same overlap. A mean over cells by obj, the detector's guess of how well its box lies.
    """
    apart = student[..., STUDENT_BOX] - (teacher[..., BOX] - teacher.new_tensor([0.5, 0.5, 0.0, 0.0]))
    middle = apart[..., :2] / teacher[..., BOX][..., 2:].exp()
    relative = torch.cat([middle, apart[..., 2:]], -1)
    return apart_at_faces(teacher[..., OBJ].sigmoid(), (relative, torch.zeros_like(relative)))


def silenced(answers: Tensor, batch: Batch, height: int, width: int) -> Tensor:
    """The detector's raw outputs (n, p, 16) for views of ``height`` x ``width`` pixels, with a score of nearly 0 where
    labels have no face, and of NaN, with which nothing is said, where they leave it open: a student is not to learn its
    mistakes. Boxes and obj stay.
    """
    grid = Grid.of(height, width, answers.device)
    face, open_place = (covered(grid, batch.box, which, AROUND) for which in (batch.real, batch.ignore))
    answers = answers.clone()
    answers[..., CLS] = answers[..., CLS].masked_fill(~face, SILENT).masked_fill(open_place & ~face, torch.nan)
    return answers


class Mimic(nn.Module):
    """A student beside a frozen YuNet: ``forward`` gives the student's outputs and how far apart the two are, a scalar
    for each key of ``weights``. ``total`` is their weighted sum.

    ``weights``: ``hints`` for the features before the pyramid, ``features`` for those of the pyramid, ``heads`` for
    what the detector's heads make of the latter, ``answers`` for the student's own scores and boxes, and ``boxes``,
    which may be left out, for the boxes once more, relative to their sides. What has a weight of 0 is not worked out,
    and has no adapters (the features' serve ``heads`` too). These start from noise, where the student has as many
    channels as YuNet from the identity: until ``attached`` is set only they learn, and the student does not.

    ``enlarge``: answers are those to the view at twice its size, see `quantize.train.enlarged`. ``mirror``: they are
    those to the view and to its mirror image together, see `quantize.train.mirror`. Answers that are known already, or
    were made better, may be given to ``forward``, if nothing but them is compared.
    """

    def __init__(
        self, student: Student, file: Path, weights: dict[str, float], enlarge: bool = False, mirror: bool = False
    ) -> None:
        super().__init__()
        self.student, self.weights, self.enlarge, self.mirror = student, weights, enlarge, mirror
        self.detector = YuNetLayers(file)
        self.beyond = bool(weights["features"] or weights["heads"])  # of the pyramid: more than answers
        self.adapters = _adapters([student.config.neck] * len(STRIDES) if self.beyond else [])
        self.hint_adapters = _adapters(student.backbone_widths if weights["hints"] else [])
        self.attached = False

    @property
    def helpers(self) -> nn.ModuleList:
        """What learns besides the student, and is thrown away."""
        return nn.ModuleList([*self.adapters, *self.hint_adapters])

    def forward(self, x: Tensor, answers: Tensor | None = None) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        backbone = self.student.backbone(x)
        levels = self.student.neck(backbone)
        if answers is None:
            hints, wanted, plain, answers = self.look(x)
        apart = {}
        if self.beyond:
            adapted = self._adapted(self.adapters, levels)
            apart["features"] = _apart(adapted, wanted)
            apart["heads"] = heads_apart(self.detector.predict(adapted).float(), plain)
        if self.weights["hints"]:
            apart["hints"] = _apart(self._adapted(self.hint_adapters, backbone), hints)
        outputs = self.student.predict(levels)
        if self.weights["answers"] and self.attached:
            raw = flatten(outputs).float()
            apart["answers"] = answers_apart(raw, answers)
            if self.weights.get("boxes"):
                apart["boxes"] = boxes_apart(raw, answers)
        return outputs, apart

    @torch.no_grad()
    def look(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """The detector's features before and behind its pyramid, its raw outputs (n, p, 16), and those that the
        student's answers are compared with: the same unless ``enlarge`` or ``mirror`` is set.
        """
        hints = self.detector.features(x)
        wanted = self.detector.neck(hints)
        plain = self.detector.predict(wanted).float()
        answers = plain
        if self.weights["answers"]:
            answers = self._answers(x, plain)
            if self.mirror:
                other = x.flip(3)
                back = self._answers(other, self.detector.predict(self.detector.pyramid(other)).float())
                answers = both_ways(answers, mirrored_answers(back, *x.shape[2:]))
        return hints, wanted, plain, answers

    def _answers(self, x: Tensor, plain: Tensor) -> Tensor:
        return enlarged_answers(self.detector, x, plain) if self.enlarge else plain

    def total(self, apart: dict[str, Tensor]) -> Tensor:
        return sum((self.weights[name] * value for name, value in apart.items()), torch.zeros(()))

    def _adapted(self, adapters: nn.ModuleList, levels: Sequence[Tensor]) -> list[Tensor]:
        seen = levels if self.attached else [level.detach() for level in levels]
        return [torch.relu(adapter(level)) for adapter, level in zip(adapters, seen, strict=True)]


def _adapters(channels: Sequence[int]) -> nn.ModuleList:
    """1x1 convolutions to YuNet's channels; the identity where there are as many."""
    adapters = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in channels)
    for adapter in adapters:
        if adapter.weight.shape[0] == adapter.weight.shape[1]:  # type: ignore[index]
            nn.init.dirac_(adapter.weight)  # type: ignore[arg-type]
            nn.init.zeros_(adapter.bias)  # type: ignore[arg-type]
    return adapters


def _apart(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    return features_apart([s.float() for s in student], [t.float() for t in teacher])
