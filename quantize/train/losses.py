"""The losses of one batch. Every term is a mean over the cells it concerns, so that the weights do not depend on batch
or picture size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.config import LossOptions
from quantize.models import BOX, LANDMARKS, QUALITY, ROTATION, SCORE
from quantize.train.assignment import Grid, assign, decode_boxes, flatten, pair_iou
from quantize.train.focal import quality_focal
from quantize.train.methods.kd_loss import Guides, kd_points_loss
from quantize.train.methods.mimic import Look, Mimic
from quantize.train.methods.mos import SMALL
from quantize.train.methods.mos_pose import LIMIT, PoseBins, angles, pose_loss

RESOLVED = 40.0  # pixels of a face's side from which on its points and rotation count in full
TASKS = ("score", "box", "points", "rotation", "quality")


@dataclass
class Batch:
    """Targets of n views, padded to m faces: ``box`` (n, m, 4), ``points`` (n, m, 5, 2), ``rotation`` (n, m, 3, 3),
    ``quality`` (n, m), NaN where unknown; ``confidence`` (n, m) of the boxes, 0 to 1; ``limit`` (n, m): the height in
    pixels below which a find in an ignore region is ignored; ``real`` (n, m) and ``ignore`` (n, m) bool (padding is
    neither); ``number`` (n,) int64, negative for a view shown again.
    """

    box: Tensor
    points: Tensor
    rotation: Tensor
    quality: Tensor
    confidence: Tensor
    limit: Tensor
    real: Tensor
    ignore: Tensor
    number: Tensor


def eiou(pred: Tensor, target: Tensor) -> Tensor:
    """EIoU loss (Zhang et al. 2021, arXiv 2101.08158), per box: 1 − IoU, plus squared distances of centres, widths and
    heights over the hull's.
    """
    hull = torch.maximum(pred[..., 2:], target[..., 2:]) - torch.minimum(pred[..., :2], target[..., :2])
    square = hull.pow(2) + 1e-7
    apart = (pred[..., :2] + pred[..., 2:] - target[..., :2] - target[..., 2:]) / 2
    size = (pred[..., 2:] - pred[..., :2]) - (target[..., 2:] - target[..., :2])
    return 1 - pair_iou(pred, target) + apart.pow(2).sum(-1) / square.sum(-1) + (size.pow(2) / square).sum(-1)


def rotation_from_6d(x: Tensor) -> Tensor:
    """(..., 6) to (..., 3, 3) by Gram–Schmidt on the two first columns (Zhou et al. 2019, arXiv 1812.07035)."""
    a = F.normalize(x[..., :3], dim=-1, eps=1e-6)
    b = F.normalize(x[..., 3:] - (a * x[..., 3:]).sum(-1, keepdim=True) * a, dim=-1, eps=1e-6)
    return torch.stack([a, b, torch.linalg.cross(a, b)], -1)


def chordal(pred: Tensor, target: Tensor) -> Tensor:
    """‖R − R'‖_F / √2 = 2·sin(θ/2), the geodesic angle θ in radians nearly, with a gradient that does not fade at 0."""
    return ((pred - target).pow(2).sum((-1, -2)) / 2 + 1e-6).sqrt()


def points_loss(pred: Tensor, target: Tensor, side: Tensor) -> Tensor:
    """Smooth L1 of five points over the face's side, linear beyond 2 % of it: ``pred``, ``target`` (..., 5, 2)
    pixels, ``side`` (...).
    """
    return F.smooth_l1_loss(
        pred / side[..., None, None], target / side[..., None, None], reduction="none", beta=0.02
    ).mean((-1, -2))


class Losses(nn.Module):
    """All tasks of one batch. ``weights``: fixed factors; with ``uncertainty`` each task is also weighted by a learned
    exp(−s) (Kendall et al. 2018). ``pose``, ``mimic``: MOS's pose loss and a detector's part come on top.
    """

    def __init__(
        self,
        weights: LossOptions,
        uncertainty: bool = False,
        pose: PoseBins | None = None,
        mimic: Mimic | None = None,
    ) -> None:
        super().__init__()
        self.pose, self.mimic = pose, mimic
        self.weights = {t: float(getattr(weights, t)) for t in TASKS}
        self.false_positives = torch.zeros(0)
        """Of the last batch: the best score of a cell that should have been background, (n,)."""
        self.small_share = torch.zeros(())
        """Of the last batch: the share of the box loss that came from small faces, as MOS's feedback asks for."""
        self.log_variance = nn.Parameter(torch.zeros(len(TASKS)), requires_grad=uncertainty)

    def forward(
        self,
        outputs: tuple[Tensor, ...],
        batch: Batch,
        guides: Guides | None = None,
        look: Look | None = None,
        mimicry: float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total and each task's mean, without gradients and on the device, since an accelerator is waited for each
        time that a number is read. With ``guides`` the points learn from two teachers besides (KD-Loss);
        ``look`` is a detector's at the same views, ``mimicry`` the share of the mimic's weights that counts.
        """
        raw = flatten(outputs).float()
        n, p, _ = raw.shape
        height, width = outputs[0].shape[2] * 8, outputs[0].shape[3] * 8
        grid = Grid.of(height, width, raw.device)
        boxes = decode_boxes(raw[..., BOX], grid)
        face = assign(raw[..., SCORE].detach(), boxes.detach(), grid, batch.box, batch.real)
        positive = face >= 0
        count = positive.sum().clamp(min=1)
        image, cell = positive.nonzero(as_tuple=True)
        which = face[image, cell]
        pred, stride, centre = raw[image, cell], grid.stride[cell], grid.centre[cell]

        target_box = batch.box[image, which]
        target_score = torch.zeros(n, p, device=raw.device)
        overlap = pair_iou(boxes[image, cell], target_box).detach()
        sure = batch.confidence[image, which]  # a teacher's doubtful face pulls less
        target_score[image, cell] = overlap
        score = quality_focal(raw[..., SCORE], target_score)
        background = ~positive & ~covered(grid, boxes.detach(), batch)
        weight = background.to(score.dtype)
        weight[image, cell] = sure
        score = (score * weight).sum() / count
        self.false_positives = raw[..., SCORE].detach().sigmoid().masked_fill(~background, 0).amax(1)

        side = (target_box[:, 2:] - target_box[:, :2]).prod(-1).clamp(min=1).sqrt()
        box_loss = eiou(boxes[image, cell], target_box) * sure
        terms = {"score": score, "box": box_loss.sum() / count}
        small = (target_box[:, 3] - target_box[:, 1]) < SMALL * height
        self.small_share = box_loss.detach()[small].sum() / box_loss.detach().sum().clamp(min=1e-9)
        points = centre[:, None] + pred[:, LANDMARKS].reshape(-1, 5, 2) * stride[:, None, None]
        # of a face of a few pixels neither the points nor the direction can be told: it must not drown the others
        resolved = (side / RESOLVED).clamp(0.1, 1)
        terms["points"] = _known_mean(
            lambda k: (
                points_loss(points[k], batch.points[image, which][k], side[k])
                if guides is None
                else kd_points_loss(
                    points[k],
                    batch.points[image, which][k],
                    guides.tolerant[image, cell][k],
                    guides.tough[image, cell][k],
                    side[k],
                )
            ),
            ~batch.points[image, which].isnan().flatten(1).any(1),
            resolved,
        )
        target_rotation = batch.rotation[image, which]
        terms["rotation"] = _known_mean(
            lambda k: (
                chordal(rotation_from_6d(pred[k, ROTATION]), target_rotation[k])
                + 0.05 * (pred[k, ROTATION].reshape(-1, 2, 3).norm(dim=-1) - 1).pow(2).sum(-1)
            ),
            ~target_rotation.isnan().flatten(1).any(1),
            resolved,
        )
        target_quality = batch.quality[image, which]
        terms["quality"] = _known_mean(
            lambda k: F.binary_cross_entropy_with_logits(pred[k, QUALITY], target_quality[k], reduction="none"),
            ~target_quality.isnan(),
            torch.ones_like(side),
        )
        total = raw.new_zeros(())
        for i, task in enumerate(TASKS):
            term = terms[task] * self.weights[task]
            total = total + (
                term * (-self.log_variance[i]).exp() + self.log_variance[i] if self.log_variance.requires_grad else term
            )
        if self.pose is not None:
            degrees = angles(target_rotation)
            logits = self.pose(image, cell, stride)
            within = (degrees.abs() < LIMIT).any(1)  # never of an unknown rotation, whose angles are NaN
            terms["pose"] = _known_mean(lambda k: pose_loss(logits[k], degrees[k]), within, resolved)
            total = total + self.pose.weight * terms["pose"]
        if self.mimic is not None and look is not None:
            apart = self.mimic(look, raw, batch, grid)
            for name, value in apart.items():
                total = total + mimicry * self.mimic.weights[name] * value
            terms |= apart
        return total, {t: v.detach() for t, v in terms.items()} | {
            "positives": count / n,
            "iou": overlap.sum() / count,
        }


def covered(grid: Grid, boxes: Tensor, batch: Batch, strides: float = 0.5) -> Tensor:
    """Cells that are not background though no face is theirs, (n, p) bool: the centre lies in an ignore region (or
    within so many ``strides`` of it), and the predicted box (n, p, 4) is lower than the region's limit.
    """
    image, face = batch.ignore.nonzero(as_tuple=True)
    x, y, pad = grid.centre[:, 0], grid.centre[:, 1], grid.stride * strides
    x1, y1, x2, y2 = batch.box[image, face][..., None].unbind(1)
    inside = (x > x1 - pad) & (x < x2 + pad) & (y > y1 - pad) & (y < y2 + pad)
    inside &= (boxes[image, :, 3] - boxes[image, :, 1]) < batch.limit[image, face][:, None]
    return inside.new_zeros(len(batch.box), len(x)).index_put((image,), inside, accumulate=True)


def _known_mean(loss: Callable[[Tensor], Tensor], known: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of ``loss(indices)`` over the faces whose label is known; zero where there is none."""
    index = known.nonzero(as_tuple=True)[0]
    if not len(index):
        return torch.zeros((), device=known.device)
    return (loss(index) * weight[index]).sum() / weight[index].sum()
