"""How the camera moved from one frame to the next, from faces alone: what most of them do alike is the camera's doing.

Costs a few small arrays a frame and no look at the pixels.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CameraMotion", "camera_motion", "centres", "lone_motion", "travelled"]

# In heights of a face: how far a face may be from where the camera's motion takes it, and how far apart two faces have
# to be for a zoom to show between them.
_AGREES: Final = 0.15
_APART: Final = 2.0
# By how much one side of a face that is wholly seen may change more than the other, as logarithms.
_ONE_SIDED: Final = 0.05


class CameraMotion(NamedTuple):
    """Where things that stand still went: ``new = scale * old + shift``, in pixels.

    Attributes:
        scale: above 1 when the camera came nearer.
        shift: (2,).
    """

    scale: float
    shift: NDArray[np.float64]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """How far what was at (x, y) went."""
        return (self.scale - 1) * x + float(self.shift[0]), (self.scale - 1) * y + float(self.shift[1])


def camera_motion(before: NDArray[np.float32], after: NDArray[np.float32]) -> CameraMotion | None:
    """Medians over faces and over pairs of them (as Theil and Sen's slope), so that one who walks does not count.

    Args:
        before: (n, 4) boxes in the last frame.
        after: (n, 4) boxes of the same faces in this one.

    Returns:
        None where fewer than two faces, or fewer than two thirds of them, agree.

    Examples:
        >>> boxes = np.array([[0, 0, 20, 20], [200, 50, 230, 80]], np.float32)
        >>> camera_motion(boxes, boxes + 7).shift
        array([7., 7.])
    """
    if len(before) < 2:
        return None
    old, new = centres(before), centres(after)
    height = np.maximum(before[:, 3] - before[:, 1], 1.0).astype(np.float64)
    i, j = np.triu_indices(len(old), 1)
    apart, apart_now = (np.linalg.norm(c[i] - c[j], axis=1) for c in (old, new))
    far = apart > _APART * (height[i] + height[j])
    scale = float(np.median(apart_now[far] / apart[far])) if far.any() else 1.0
    shift = np.median(new - scale * old, axis=0)
    agree = np.linalg.norm(new - scale * old - shift, axis=1) < _AGREES * height
    if agree.sum() < max(2, 2 / 3 * len(old)):
        return None
    return CameraMotion(scale, np.asarray(shift, np.float64))


def lone_motion(before: NDArray[np.float32], after: NDArray[np.float32]) -> CameraMotion | None:
    """The camera's motion as a single face that stands still shows it; of a zoom it shows nothing.

    Args:
        before: (4,) its box in the last frame.
        after: (4,) in this one.

    Returns:
        None where one side changed more than the other: a part of the face is hidden, or it turns.

    Examples:
        >>> lone_motion(np.float32([0, 0, 20, 20]), np.float32([7, 7, 27, 27])).shift
        array([7., 7.])
    """
    width, height = np.log(np.maximum(after[2:] - after[:2], 1.0) / np.maximum(before[2:] - before[:2], 1.0))
    if abs(width - height) > _ONE_SIDED:
        return None
    return CameraMotion(1.0, centres(after[None])[0] - centres(before[None])[0])


def travelled(camera: CameraMotion, boxes: NDArray[np.float32]) -> float:
    """How far the camera's motion takes faces, in their heights: the median of them.

    Examples:
        >>> travelled(CameraMotion(1.0, np.array([0.0, 8.0])), np.float32([[0, 0, 20, 40]]))
        0.2
    """
    ways = [math.hypot(*camera.at(x, y)) for x, y in centres(boxes).tolist()]
    return float(np.median(ways / np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)))


def centres(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2) of (n, 4) boxes."""
    return (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2
