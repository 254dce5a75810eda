"""Boxes that belong together."""

from __future__ import annotations

import numpy as np


def matched(truth: np.ndarray, found: np.ndarray, least_iou: float) -> dict[int, int]:
    """Index in ``truth`` (n, 4) to index in ``found`` (m, 4), xyxy both: greedily, the best overlap first, each box
    once, none below ``least_iou``. A box of NaN belongs to nothing.
    """
    pairs: dict[int, int] = {}
    if not len(truth) or not len(found):
        return pairs
    low = np.maximum(truth[:, None, :2], found[None, :, :2])
    high = np.minimum(truth[:, None, 2:], found[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (truth, found)]
    iou = np.nan_to_num(inter / np.maximum(areas[0][:, None] + areas[1][None] - inter, 1e-9))
    while iou.max() >= least_iou:
        i, j = np.unravel_index(int(iou.argmax()), iou.shape)
        pairs[int(i)] = int(j)
        iou[i], iou[:, j] = 0, 0
    return pairs
