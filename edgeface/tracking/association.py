"""Which detection belongs to which track: overlap and landmarks, nothing that identifies a person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["match", "similarity"]

# Mean distance of the landmarks, in sizes of the face, at which their similarity has fallen to 1/e.
_LANDMARK_SCALE = 0.3


def similarity(
    boxes: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    other_boxes: NDArray[np.float32],
    other_landmarks: NDArray[np.float32],
    reach: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How alike each of n predicted faces and m detected ones are, 0 to 1: the mean of IoU and closeness of landmarks.

    Args:
        boxes: (n, 4) as predicted.
        landmarks: (n, 5, 2) as predicted.
        other_boxes: (m, 4).
        other_landmarks: (m, 5, 2).
        reach: (n,) at least 1; what the distance of landmarks is divided by, for predictions that have grown uncertain.

    Returns:
        (n, m); 0 where one box is more than twice as large as the other.
    """
    low = np.maximum(boxes[:, None, :2], other_boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], other_boxes[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(-1)
    area, other_area = _area(boxes)[:, None], _area(other_boxes)[None]
    iou = inter / np.maximum(area + other_area - inter, 1e-9)
    size = np.sqrt(np.maximum(area, other_area))
    distance = np.linalg.norm(landmarks[:, None] - other_landmarks[None], axis=-1).mean(-1) / np.maximum(size, 1e-9)
    closeness = np.exp(-((distance / (_LANDMARK_SCALE * reach[:, None])) ** 2))
    ratio = np.sqrt(np.maximum(area, 1e-9) / np.maximum(other_area, 1e-9))
    alike = np.where((ratio > 0.5) & (ratio < 2), (iou + closeness) / 2, 0.0)
    return np.asarray(np.nan_to_num(alike), np.float64)


def match(alike: NDArray[np.float64], threshold: float) -> list[tuple[int, int]]:
    """Pair rows with columns, the most alike first, each at most once, none below `threshold`.

    Examples:
        >>> match(np.array([[0.9, 0.8], [0.8, 0.1]]), 0.2)
        [(0, 0)]
    """
    pairs = []
    left = alike.copy()
    while left.size:
        row, column = (int(i) for i in np.unravel_index(int(left.argmax()), left.shape))
        if left[row, column] < threshold:
            break
        pairs.append((row, column))
        left[row] = left[:, column] = -np.inf
    return pairs


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1), np.float64)
