"""Follow boxes from one frame to the next by sparse optical flow (Lucas & Kanade 1981, pyramidal, from OpenCV)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.frame import Frame
from edgeface.pixels import to_bgr_with_transform

__all__ = ["FlowFollower"]

# Longest side of the grey picture: a face of 1/10 of the frame is still 32 pixels wide in it.
_SIDE: Final = 320
# Points a face, in a grid over the middle of its box, where there is skin and not background.
_GRID: Final = 5
_MIDDLE: Final = (0.2, 0.8)
_FEWEST: Final = 6
# Pixels; points that do not come back to where they began are lost (forward-backward check, Kalal et al. 2010).
_RETURN: Final = 1.0


class FlowFollower:
    """Remembers the last frame, small and grey."""

    def __init__(self) -> None:
        self._picture: NDArray[np.uint8] | None = None
        self._size = (0, 0)

    def reset(self) -> None:
        """Forget the last frame."""
        self._picture = None

    def remember(self, frame: Frame) -> None:
        """Take `frame` as the last one."""
        self._picture, self._size = _small_grey(frame)[0], frame.size

    def follow(self, frame: Frame, boxes: NDArray[np.float32]) -> list[NDArray[np.float32] | None]:
        """Where the boxes of the last frame are in this one, which becomes the last.

        Args:
            frame: the next frame.
            boxes: (n, 4) in the last one.

        Returns:
            One (4,) box each, or None where too few points could be followed.
        """
        last, last_size = self._picture, self._size
        picture, transform = _small_grey(frame)
        self._picture, self._size = picture, frame.size
        if last is None or last_size != frame.size or not len(boxes):
            return [None] * len(boxes)
        cv2 = opencv()

        steps = np.linspace(*_MIDDLE, _GRID)
        grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        scale = np.array([transform[0, 0], transform[1, 1]])
        corners, sides = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
        # pictures have their (0, 0) at a corner, OpenCV in the middle of a pixel
        points = ((corners + grid * sides) / scale - 0.5).astype(np.float32).reshape(-1, 1, 2)
        forward, found, _ = cv2.calcOpticalFlowPyrLK(last, picture, points, _NONE)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(picture, last, forward, _NONE)
        off = np.linalg.norm((back - points).reshape(-1, 2), axis=1)
        good = (found.ravel() == 1) & (returned.ravel() == 1) & (off < _RETURN)
        shape = (len(boxes), _GRID * _GRID)
        return [
            _moved(box, before, after, keep)
            for box, before, after, keep in zip(
                boxes,
                ((points.reshape(-1, 2) + 0.5) * scale).reshape(*shape, 2),
                ((forward.reshape(-1, 2) + 0.5) * scale).reshape(*shape, 2),
                good.reshape(shape),
                strict=True,
            )
        ]


_NONE: Any = None  # OpenCV's stubs want an array for the output that it makes itself


def _moved(
    box: NDArray[np.float32], before: NDArray[Any], after: NDArray[Any], keep: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """Shift and scale of a box by the median of its points and of their distances."""
    if keep.sum() < _FEWEST:
        return None
    before, after = before[keep], after[keep]
    middle_before, middle_after = np.median(before, axis=0), np.median(after, axis=0)
    spread = np.median(np.linalg.norm(before - middle_before, axis=1))
    scale = np.median(np.linalg.norm(after - middle_after, axis=1)) / max(float(spread), 1e-6)
    scale = float(np.clip(scale, 0.8, 1.25))  # nobody comes so much nearer within a frame
    corners = box.reshape(2, 2).astype(np.float64)
    return np.asarray(((corners - middle_before) * scale + middle_after).reshape(4), np.float32)


def _small_grey(frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    cv2 = opencv()

    shrink: Sequence[int] = [max(1, round(side * min(1.0, _SIDE / max(frame.size)))) for side in frame.size]
    picture, transform = to_bgr_with_transform(frame, size=(shrink[0], shrink[1]))
    grey: NDArray[np.uint8] = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    return grey, transform
