"""How far a jerk of the camera took all faces from where they were expected, before it is known which is which."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.tracking.camera import centres

__all__ = ["common_shift"]

# How much larger or smaller a face may have become for a shift to explain where it is, how far off it may be in its
# heights, and how many faces propose shifts.
_AS_LARGE: Final = 1.5
_EXPLAINS: Final = 0.3
_VOTERS: Final = 5
# Of a jerk no prediction holds but by chance. Where more do, the others are of faces that are missing, and a shift that
# explains them too is chance.
_HOLD: Final = 0.25


def common_shift(predicted: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a jerk of the camera added to all predictions, found before it is known which face is which.

    Of the ways from any prediction to any detection the one on which most others find a detection too.

    Args:
        predicted: (n, 4) boxes.
        found: (m, 4) boxes.

    Returns:
        (2,) pixels; 0 where more than a quarter of the predictions hold, and where nothing explains two faces and two
        thirds of them.

    Examples:
        >>> boxes = np.array([[0, 0, 20, 20], [200, 50, 230, 80]], np.float32)
        >>> common_shift(boxes, boxes[::-1] + 40)
        array([40., 40.])
    """
    nothing, fewer = np.zeros(2), min(len(predicted), len(found))
    if fewer < 2:
        return nothing
    height, height_now = (np.maximum(b[:, 3] - b[:, 1], 1.0) for b in (predicted, found))
    ways = (centres(found)[None] - centres(predicted)[:, None]).astype(np.float32)
    ratio = height_now[None] / height[:, None]
    possible = (ratio > 1 / _AS_LARGE) & (ratio < _AS_LARGE)

    def explained(shifts: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(k, n, m): which pairs each of k shifts explains."""
        x, y = (ways[None, ..., i] - shifts[:, None, None, i] for i in (0, 1))
        return np.asarray(possible & (x * x + y * y < (_EXPLAINS * height[:, None]) ** 2))

    def count(pairs: NDArray[np.bool_]) -> NDArray[np.intp]:
        return np.asarray(np.minimum(pairs.any(2).sum(1), pairs.any(1).sum(1)), np.intp)

    if count(explained(nothing[None].astype(np.float32)))[0] > _HOLD * fewer:
        return nothing
    largest = np.argsort(-height)[:_VOTERS]
    shifts = ways[largest][possible[largest]]
    if not len(shifts):
        return nothing
    shifts = shifts[np.argsort(np.linalg.norm(shifts, axis=1), kind="stable")]
    pairs = explained(shifts)
    votes = count(pairs)
    best = int(votes.argmax())  # the shortest of those that explain most
    if votes[best] < max(2, 2 / 3 * fewer):
        return nothing
    return np.asarray(np.median(ways[pairs[best]], axis=0), np.float64)
