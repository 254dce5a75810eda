"""Something to look at where there is no camera: heads that move, turn, shrink and leave the picture."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import SourceError
from edgeface.frame import Frame
from edgeface.sources.base import Source

__all__ = ["CollageSource", "portraits_path"]

_SIZE: Final = (640, 480)
_FPS: Final = 25.0
# Of a head in the picture of portraits, which lie side by side.
_SIDE: Final = 224


class _Mover(NamedTuple):
    """A head: which, where it moves about, how large it is, how it tilts; and whether it is out of focus."""

    head: int
    centre: tuple[float, float]
    reach: tuple[float, float]
    period_s: float
    scale: float
    tilt: float
    mirrored: bool
    soft: float


# A large good one, one that tilts, a small one, one out of focus that leaves the picture on the right.
_MOVERS: Final = (
    _Mover(0, (170, 190), (40, 20), 9.0, 1.1, 8.0, False, 0.0),
    _Mover(1, (430, 130), (50, 20), 7.0, 0.75, 45.0, True, 0.0),
    _Mover(3, (330, 390), (220, 30), 12.0, 0.35, 5.0, False, 0.0),
    _Mover(2, (560, 340), (110, 30), 10.0, 0.8, 5.0, True, 4.0),
)


def portraits_path() -> Path:
    """Six heads side by side (public domain): beside this module once installed, else in the checkout."""
    installed = Path(__file__).with_name("portraits.jpg")
    return installed if installed.is_file() else Path(__file__).parents[2] / "examples" / "portraits.jpg"


class CollageSource(Source):
    """Four people who move, as a camera would give them: live, 640x480, 25 frames a second.

    Examples:
        >>> with CollageSource() as source:                                          # doctest: +SKIP
        ...     faces = engine.detect(source.read())
    """

    name = "the moving collage"
    live = True

    def __init__(self) -> None:
        self._heads: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self._ground = np.zeros((0, 0, 3), np.float32)
        self._began, self._count = 0.0, 0

    def open(self) -> None:
        from edgeface.images import read_image

        path = portraits_path()
        if not path.is_file():
            raise SourceError(f"the collage must have its portraits, but got no {path}: install edgeface again")
        portraits = read_image(path)
        self._heads = [_head(portraits, mover) for mover in _MOVERS]
        shade = np.linspace(150, 90, _SIZE[1], dtype=np.float32)[:, None, None]
        self._ground = np.broadcast_to(shade * np.array([1, 0.95, 0.9], np.float32), (_SIZE[1], _SIZE[0], 3)).copy()
        self._began, self._count = time.monotonic(), 0

    def read(self) -> Frame | None:
        if not self._heads:
            raise SourceError("source must be open, but got the moving collage closed")
        number, self._count = self._count, self._count + 1
        self.cancelled.wait(max(0.0, self._began + number / _FPS - time.monotonic()))
        picture = self.picture(number / _FPS)
        return Frame.from_array(picture, "bgr", timestamp_ns=time.monotonic_ns(), sequence=number)

    def picture(self, seconds: float) -> NDArray[np.uint8]:
        """(480, 640, 3) uint8 BGR: what is seen after so many seconds."""
        canvas = self._ground.copy()
        for mover, (head, mask) in zip(_MOVERS, self._heads, strict=True):
            _paste(canvas, mover, head, mask, seconds)
        return np.asarray(np.clip(canvas + 0.5, 0, 255), np.uint8)

    def close(self) -> None:
        self._heads = []


def _head(portraits: NDArray[np.uint8], mover: _Mover) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The head at the size of a mover, and its soft edge."""
    import cv2

    cut: Any = portraits[:, mover.head * _SIDE : (mover.head + 1) * _SIDE].astype(np.float32)
    side = round(_SIDE * mover.scale)
    cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if mover.scale < 1 else cv2.INTER_CUBIC)
    if mover.mirrored:
        cut = cut[:, ::-1]
    if mover.soft:
        cut = cv2.GaussianBlur(cut, (0, 0), mover.soft)
    rows, columns = np.mgrid[:side, :side]
    distance = np.hypot(columns - (side - 1) / 2, rows - (side - 1) / 2) / (side / 2)
    return np.ascontiguousarray(cut, np.float32), np.clip((1 - distance) / 0.12, 0, 1).astype(np.float32)


def _paste(
    canvas: NDArray[np.float32],
    mover: _Mover,
    head: NDArray[np.float32],
    mask: NDArray[np.float32],
    seconds: float,
) -> None:
    import cv2

    phase = 2 * math.pi * seconds / mover.period_s
    x = mover.centre[0] + mover.reach[0] * math.sin(phase)
    y = mover.centre[1] + mover.reach[1] * math.sin(2 * phase)
    side = head.shape[0]
    # OpenCV turns counter-clockwise
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), -mover.tilt * math.sin(phase), 1.0)
    left, top = math.floor(x - side / 2), math.floor(y - side / 2)
    matrix[:, 2] += np.array([x - side / 2 - left, y - side / 2 - top])
    size = (side + 1, side + 1)
    turned, alpha = (cv2.warpAffine(part, matrix, size, flags=cv2.INTER_LINEAR) for part in (head, mask))
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(canvas.shape[1], left + side + 1), min(canvas.shape[0], top + side + 1)
    if x1 >= x2 or y1 >= y2:
        return
    part = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    weight = alpha[part][..., None]
    canvas[y1:y2, x1:x2] += weight * (turned[part] - canvas[y1:y2, x1:x2])
