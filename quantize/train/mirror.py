"""Views in a mirror, and what a detector says of a view together with what it says of its mirror image.

Nothing about faces is other in a mirror, but a detector's answers are: of the same face it gives another score and
another box. What both looks say together is nearer to the truth than either, has no side to which its boxes lie, and
serves the view and its mirror image as well ("Both looks" in docs/training-notes.md). A teacher's answers to several
transforms of an unlabelled picture are brought together as in Radosavovic et al. 2018, "Data Distillation: Towards
Omni-Supervised Learning", arXiv 1712.04440.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quantize.data.sample import MIRROR_POINTS
from quantize.model import STRIDES
from quantize.teachers.yunet_layers import BOX, CLS, KPS, OBJ
from quantize.train.enlarged import score_of
from quantize.train.losses import Batch


def mirrored_batch(batch: Batch, width: int) -> Batch:
    """Targets of views of ``width`` pixels as of their mirror images."""
    box = batch.box.clone()
    box[..., 0::2] = width - batch.box[..., [2, 0]]
    points = batch.points[..., MIRROR_POINTS, :].clone()
    points[..., 0] = width - points[..., 0]
    m = batch.rotation.new_tensor([-1.0, 1, 1])
    rotation = batch.rotation * m[:, None] * m  # M R M, see quantize.data.pose.mirrored
    return Batch(box, points, rotation, batch.quality, batch.real, batch.ignore, batch.number)


def mirrored_answers(raw: Tensor, height: int, width: int) -> Tensor:
    """A detector's raw outputs (n, p, 16) for views of ``height`` x ``width`` pixels as for their mirror images."""
    sizes = [(height // s, width // s) for s in STRIDES]
    levels = torch.split(raw, [h * w for h, w in sizes], 1)
    flipped = [level.unflatten(1, size).flip(2).flatten(1, 2) for level, size in zip(levels, sizes, strict=True)]
    out = torch.cat(flipped, 1)
    out[..., BOX.start] = 1 - out[..., BOX.start]  # from the other corner of the cell
    points = out[..., KPS].unflatten(-1, (5, 2))[..., MIRROR_POINTS, :].clone()
    points[..., 0] = 1 - points[..., 0]
    out[..., KPS] = points.flatten(-2)
    return out


def both_ways(one: Tensor, other: Tensor) -> Tensor:
    """What two looks (..., 16) say together: scores and obj are means, box and points means by score."""
    looks = torch.stack([one, other])
    score = score_of(looks)
    share = (score / score.sum(0).clamp(min=1e-9))[..., None]
    answer = (looks * share).sum(0)
    obj = looks[..., OBJ].sigmoid().mean(0)
    answer[..., OBJ] = torch.logit(obj, eps=1e-6)
    answer[..., CLS] = torch.logit(score.mean(0).square() / obj.clamp(min=1e-9), eps=1e-6)  # so that score is the mean
    return answer
