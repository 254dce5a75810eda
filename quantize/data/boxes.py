"""Boxes as (n, 4) arrays, xyxy pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def iou_matrix(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """IoU of every box of ``a`` (n, 4) with every box of ``b`` (m, 4): (n, m).

    Examples:
        >>> iou_matrix(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3)
        array([[0.333, 0.   ]])
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (high - low).clip(0).prod(-1)
    area_a, area_b = ((z[:, 2:] - z[:, :2]).clip(0).prod(-1) for z in (a, b))
    return np.asarray(inter / (area_a[:, None] + area_b[None] - inter + 1e-9))


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes (n, 4) that stay, by falling score."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][iou_matrix(boxes[order[:1]], boxes[order[1:]])[0] <= iou]
    return np.array(kept, np.intp)
