"""Photos turned in their plane before a detector sees them: what it makes of heads on their side and upside down.

Turns are quarters, so that no pixel is interpolated, and what was found is turned back: labels stay as they are, and a
figure differs from that of the upright photos by the turn alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeface.angles import angles_to_rotation, rotation_to_angles
from quantize.data.detections import Array, Found
from quantize.models.detector import Detector

TURNS = (0, 90, 180, 270)
TURNED = "turned"
"""What the rule of a detector of turned photos begins with."""


class TurnedDetector:
    """``detector`` on photos turned clockwise by ``degrees``, one of `TURNS`. Landmarks keep the names that the
    detector gave them.

    Examples:
        >>> TurnedDetector(spec.open(), 90).detect(image)  # doctest: +SKIP
    """

    def __init__(self, detector: Detector, degrees: int) -> None:
        """Raises ValueError where ``degrees`` is not one of `TURNS`."""
        if degrees not in TURNS:
            raise ValueError(f"turn must be one of {', '.join(map(str, TURNS))}, but got {degrees}")
        self.detector, self.degrees = detector, degrees
        self.name, self.rule = detector.name, f"{TURNED} {degrees}°, {detector.rule}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`: in pixels of the photo as it was given, upright."""
        found = self.detector.detect(np.ascontiguousarray(np.rot90(image, -self.degrees // 90)))
        return turn_back(found, self.degrees, image.shape[1], image.shape[0])


def turn_back(found: Found, degrees: int, width: int, height: int) -> Found:
    """What was found in a photo of (``width``, ``height``) after it was turned clockwise by ``degrees``, as of the
    photo before.
    """
    corners = _points_back(found.boxes.reshape(-1, 2, 2), degrees, width, height)
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    landmarks = None if found.landmarks is None else _points_back(found.landmarks, degrees, width, height)
    angles = None if found.angles is None else _angles_back(found.angles, degrees)
    return Found(boxes, found.scores, landmarks, angles, found.quality)


def _points_back(points: Array, degrees: int, width: int, height: int) -> Array:
    x, y = points[..., 0], points[..., 1]
    back = {0: (x, y), 90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}
    return np.stack(back[degrees], -1)


def _angles_back(angles: Array, degrees: int) -> Array:
    a = np.radians(degrees)
    back = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return rotation_to_angles(back @ angles_to_rotation(angles))
