"""Which cells answer for which face: SimOTA (Ge et al. 2021, arXiv 2107.08430) over the three levels, batched, with a
preference for scale.

A cell may answer for a face when its centre lies in the box or within ``RADIUS`` strides of the box's centre. Its
cost is the score loss plus three times the box loss plus a price for a level whose stride does not suit the face's
size. Each face takes as many cells as its ten best IoUs sum to, at least one; a cell that two faces want goes to the
cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quantize.models import STRIDES

RADIUS = 1.5
FAR = 1e5


@dataclass
class Grid:
    """Cells of all levels: ``centre`` (p, 2) pixels, ``stride`` (p,)."""

    centre: Tensor
    stride: Tensor

    @staticmethod
    def of(height: int, width: int, device: torch.device) -> Grid:
        centres, strides = [], []
        for s in STRIDES:
            y, x = torch.meshgrid(
                torch.arange(height // s, device=device), torch.arange(width // s, device=device), indexing="ij"
            )
            centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * s)
            strides.append(torch.full((len(centres[-1]),), float(s), device=device))
        return Grid(torch.cat(centres), torch.cat(strides))


def flatten(outputs: tuple[Tensor, ...]) -> Tensor:
    """(n, c, h/s, w/s) of each level to (n, p, c), row-major, strides ascending."""
    return torch.cat([o.flatten(2).transpose(1, 2) for o in outputs], 1)


def decode_boxes(raw: Tensor, grid: Grid) -> Tensor:
    """Channels 2–5, (..., p, 4), to xyxy pixels."""
    centre = grid.centre + raw[..., :2] * grid.stride[:, None]
    half = raw[..., 2:].clamp(-6, 6).exp() * grid.stride[:, None] / 2
    return torch.cat([centre - half, centre + half], -1)


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes that correspond, (..., 4) each."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return inter / (area - inter + 1e-9)


@torch.no_grad()
def assign(logits: Tensor, boxes: Tensor, grid: Grid, faces: Tensor, real: Tensor) -> Tensor:
    """The face index of each cell, (n, p) int64, −1 for none.

    ``logits`` (n, p); ``boxes`` (n, p, 4) predicted; ``faces`` (n, m, 4) labelled, padded; ``real`` (n, m) bool:
    neither padding nor ignored.
    """
    n, m, _ = faces.shape
    p = logits.shape[1]
    if m == 0:
        return torch.full((n, p), -1, dtype=torch.long, device=logits.device)
    x, y = grid.centre[:, 0], grid.centre[:, 1]
    x1, y1, x2, y2 = faces[..., None].unbind(2)  # each (n, m, 1)
    inside = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    near = ((x - cx).abs() < RADIUS * grid.stride) & ((y - cy).abs() < RADIUS * grid.stride)
    allowed = (inside | near) & real[..., None]
    # few cells are allowed a face: costs are made for these pairs alone and put where they belong
    image, which, cell = pair = allowed.nonzero(as_tuple=True)
    box = faces[image, which]
    iou = pair_iou(boxes[image, cell], box)
    side = (box[:, 2:] - box[:, :2]).prod(-1).clamp(min=1).sqrt()
    off_scale = ((side / (grid.stride[cell] * 4)).log2().abs() - 1).clamp(min=0)
    # the score part of the cost is that of a positive: −log sigmoid
    price = (
        torch.nn.functional.softplus(-logits[image, cell])
        - 3 * (iou + 1e-6).log()
        + 2.0 * off_scale
        + 10.0 * (~(inside & near)[pair])
    )
    cost = boxes.new_full((n, m, p), FAR).index_put(pair, price)
    wanted = boxes.new_zeros((n, m, p)).index_put(pair, iou).topk(min(10, p), dim=2).values.sum(2).int().clamp(min=1)
    k = int(min(wanted.max().item(), p))
    values, cells = cost.topk(k, dim=2, largest=False)
    chosen = (torch.arange(k, device=cost.device) < wanted[..., None]) & (values < FAR)
    taken = torch.full_like(cost, FAR).scatter(2, cells, torch.where(chosen, values, torch.full_like(values, FAR)))
    best, face = taken.min(1)
    return torch.where(best < FAR, face, torch.full_like(face, -1))
