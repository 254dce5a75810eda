"""The crop rule: from five landmarks, a rotation and a box to the square that the network sees.

The crop is a similarity: roll is removed, the side follows the head's size rather than the box, and the centre is a
point inside the head, so that a profile lies where a frontal face does.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.points.mean_face import face_width, five_of, mean_face

#: Side of the crop, in face widths.
MARGIN = 1.5
#: What lies in the middle of the crop: head frame, metres.
CENTRE = (0.0, 0.015, -0.02)
#: √(width · height) of a detector's box, metres on a mean face, and how far its scale may be from what it says.
BOX_SIDE, CLAMP = 0.16, (0.6, 1.6)


def weak_perspective(
    points: NDArray[Any], shape: NDArray[Any], scale: float | None = None
) -> tuple[float, NDArray[np.float64]]:
    """Scale and shift of ``points`` (n, 2) ≈ scale · ``shape`` (n, 2) + shift, least squares; of a given scale too."""
    p, q = np.asarray(points, float), np.asarray(shape, float)
    pc, qc = p - p.mean(0), q - q.mean(0)
    s = float((pc * qc).sum() / max(float((qc**2).sum()), 1e-12)) if scale is None else scale
    return s, p.mean(0) - s * q.mean(0)


def face_crop(
    points: NDArray[Any], rotation: NDArray[Any], box: NDArray[Any], size: int = 112, margin: float = MARGIN
) -> NDArray[np.float64]:
    """The (2, 3) matrix from photo pixels to pixels of the crop.

    Args:
        points: (5, 2) landmarks, photo pixels.
        rotation: (3, 3) head to optical frame.
        box: (4,) xyxy, photo pixels.
        size: side of the crop in its own pixels.
        margin: side of the crop in face widths.
    """
    r, b = np.asarray(rotation, float), np.asarray(box, float)
    projected = five_of(mean_face()) @ r[:2].T
    said = float(np.sqrt(max((b[2] - b[0]) * (b[3] - b[1]), 1e-6))) / BOX_SIDE
    scale = weak_perspective(points, projected)[0]
    scale, shift = weak_perspective(points, projected, float(np.clip(scale, CLAMP[0] * said, CLAMP[1] * said)))
    centre = scale * (r[:2] @ CENTRE) + shift
    return square(centre, margin * scale * face_width(), down_angle(r), size)


def down_angle(rotation: NDArray[Any]) -> float:
    """The direction of the head's down axis in the picture, radians from straight down, clockwise positive."""
    return float(np.arctan2(-rotation[0][1], rotation[1][1]))


def square(centre: NDArray[Any], side: float, angle: float, size: int) -> NDArray[np.float64]:
    """The (2, 3) matrix that takes the square of ``side`` around ``centre``, turned by ``angle``, to (size, size)."""
    c, s, k = np.cos(angle), np.sin(angle), size / side
    m = k * np.array([[c, s], [-s, c]])
    return np.c_[m, size / 2 - m @ np.asarray(centre, float)]


def sample_crop(image: NDArray[np.uint8], matrix: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The crop (size, size, 3) of ``image`` (h, w, 3) by the ``matrix`` of `face_crop`: bilinear, after averaging over
    areas where it shrinks by more than 2; grey (128) outside of the photo.
    """
    m = np.array(matrix, float)
    h, w = image.shape[:2]
    corners = (np.array([[0, 0], [size, 0], [0, size], [size, size]]) - m[:, 2]) @ np.linalg.inv(m[:, :2]).T
    lo = np.floor(corners.min(0) - 4).astype(int).clip(0)
    hi = np.minimum(np.ceil(corners.max(0) + 4).astype(int), [w, h])
    if (hi - lo < 2).any():
        return np.full((size, size, 3), 128, np.uint8)
    part = image[lo[1] : hi[1], lo[0] : hi[0]]
    m[:, 2] += m[:, :2] @ lo
    shrink = 1 / float(np.sqrt(abs(np.linalg.det(m[:, :2]))))
    if shrink > 2:
        target = (max(2, round(part.shape[1] / shrink)), max(2, round(part.shape[0] / shrink)))
        m[:, :2] = m[:, :2] @ np.diag([part.shape[1] / target[0], part.shape[0] / target[1]])
        part = np.asarray(cv2.resize(part, target, interpolation=cv2.INTER_AREA), np.uint8)
    m[:, 2] += m[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from pixel centres
    crop = cv2.warpAffine(part, m, (size, size), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
    return np.asarray(crop, np.uint8)


def carried(points: NDArray[Any], matrix: NDArray[Any], size: int) -> NDArray[np.float64]:
    """``points`` (n, 2) of the photo in crop sides from the crop's centre."""
    return (np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]) / size - 0.5
