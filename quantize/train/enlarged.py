"""What a detector answers to a view enlarged twofold, at the cells of the view itself.

A detector finds twice as small faces in an enlarged picture, although nothing is in it that was not there before: at a
stride of 8 a face of 6 pixels is less than a cell, at 12 pixels it is a face. (YuNet at 320 px, on a third of
train/wider: AP of faces ≥16 px .577, with the same pixels enlarged to 640 px .769.) A student that is shown the larger
look's answers at the smaller size is asked for more than the detector itself finds there. Multi-resolution
distillation as in Qi et al. 2021, "Multi-scale Aligned Distillation for Low-Resolution Detection", arXiv 2109.06875.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from quantize.model import STRIDES
from quantize.teachers.yunet_layers import BOX, CLS, KPS, OBJ, YuNetLayers


def score_of(raw: Tensor) -> Tensor:
    """(..., 16) raw outputs to (...) scores: the root of the product of both sigmoids."""
    return (raw[..., CLS].sigmoid() * raw[..., OBJ].sigmoid()).sqrt()


def enlarged_answers(detector: YuNetLayers, x: Tensor, plain: Tensor) -> Tensor:
    """Raw outputs (n, p, 16) for the cells of ``x`` (n, 3, h, w), sides multiples of 32, by both looks.

    At stride 8 the enlarged look speaks, with the firmest of its cells there: four of its own stride 8, one of 16. At
    stride 16 the score is the mean of both looks, and box and points are the firmer one's. At stride 32 it is ``plain``
    (n, p, 16), the detector's outputs for ``x`` itself: enlarged, faces of that size are larger than it knows.
    """
    height, width = x.shape[2:]
    wide = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    # a processor's cache holds what two such views need, not what eight do: in half the time
    parts = [wide] if wide.is_cuda else wide.split(2)
    raw = torch.cat([detector.predict(detector.pyramid(part)) for part in parts]).float()
    fine, middle, coarse = _levels(raw, 2 * height, 2 * width)
    _, plain_middle, plain_coarse = _levels(plain, height, width)
    levels = [
        _firmest(torch.cat([_in_larger_cells(fine), middle[..., None, :]], -2)),
        _agreed(torch.stack([plain_middle, coarse], -2)),
        plain_coarse,
    ]
    return torch.cat([level.flatten(1, 2) for level in levels], 1)


def _levels(raw: Tensor, height: int, width: int) -> list[Tensor]:
    """(n, p, 16) to (n, height / s, width / s, 16) for each stride s."""
    sizes = [(height // s, width // s) for s in STRIDES]
    parts = torch.split(raw, [h * w for h, w in sizes], 1)
    return [part.unflatten(1, size) for part, size in zip(parts, sizes, strict=True)]


def _in_larger_cells(raw: Tensor) -> Tensor:
    """(n, 2h, 2w, 16) to (n, h, w, 4, 16): four cells each, seen from the corner of, and in, cells twice as large."""
    n, h, w, c = raw.shape
    cells = raw.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4, c).clone()
    corner = raw.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    middle, size = slice(BOX.start, BOX.start + 2), slice(BOX.start + 2, BOX.stop)
    cells[..., middle] = (cells[..., middle] + corner) / 2
    cells[..., size] -= math.log(2)
    cells[..., KPS] = (cells[..., KPS] + corner.repeat(1, 5)) / 2
    return cells


def _firmest(candidates: Tensor) -> Tensor:
    """(..., k, 16) to (..., 16): the one of the highest score."""
    best = score_of(candidates).argmax(-1)[..., None, None]
    return candidates.gather(-2, best.expand(*best.shape[:-1], candidates.shape[-1])).squeeze(-2)


def _agreed(looks: Tensor) -> Tensor:
    """(..., k, 16) to (..., 16): the firmest one with the mean of the scores."""
    answer = _firmest(looks)
    logit = torch.logit(score_of(looks).mean(-1), eps=1e-6)
    answer[..., CLS] = logit
    answer[..., OBJ] = logit
    return answer
