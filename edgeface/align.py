"""Face crops, plain and aligned: what goes into a recogniser, a log or an enrolment."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface._opencv import opencv
from edgeface.errors import must_be
from edgeface.faces import Face
from edgeface.frame import MAX_SIDE, Frame, as_frame
from edgeface.numerals import is_number
from edgeface.pixels import to_bgr_with_transform
from edgeface.turns import turn_picture

__all__ = ["ALIGNED_POINTS", "align_transform", "aligned_crop", "face_crop"]

#: Where the five landmarks lie in an aligned 112x112 crop, in continuous pixel coordinates (origin: corner of the top
#: left pixel). The arrangement that ArcFace and its successors are trained on; most open recognisers expect it.
ALIGNED_POINTS: Final = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) + 0.5
)


def align_transform(landmarks: ArrayLike, size: int = 112) -> NDArray[np.float64]:
    """Similarity (turn, scale, shift) that takes the five landmarks to their places in an aligned crop.

    Least squares over the five points (Umeyama 1991, in two dimensions a linear system).

    Args:
        landmarks: (5, 2) pixels, order of `edgeface.faces.LANDMARK_NAMES`.
        size: side of the crop in pixels.

    Returns:
        (2, 3) float64 M with ``crop_xy = M @ [x, y, 1]``.

    Raises:
        InvalidInputError: not five finite points, all of them in one place, or a size that is no whole number of
            pixels.

    Examples:
        >>> align_transform(ALIGNED_POINTS).round(6)
        array([[ 1., -0.,  0.],
               [ 0.,  1.,  0.]])
    """
    size = _side("size", size)
    try:
        points = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError):
        raise must_be("landmarks", "a finite array of shape (5, 2)", repr(landmarks)) from None
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise must_be("landmarks", "a finite array of shape (5, 2)", f"{points.shape}")
    target = ALIGNED_POINTS * (size / 112)
    p, q = points - points.mean(0), target - target.mean(0)
    with np.errstate(over="ignore"):
        spread = float((p**2).sum())
    if not 1e-6 <= spread < np.inf:
        got = "one place" if spread < 1e-6 else "places too far apart for float64"
        raise must_be("landmarks", "five points in different places", got)
    a = float((p * q).sum()) / spread
    b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, target.mean(0) - turn @ points.mean(0)])


def aligned_crop(
    frame: Frame | NDArray[np.uint8], landmarks: ArrayLike, size: int = 112, *, color: str | None = None
) -> NDArray[np.uint8]:
    """Cut a face out of a frame, upright and with its landmarks at their standard places.

    Args:
        frame: a `Frame` of any format, or an array as `FaceEngine.detect` takes it; only the part around the face is
            converted.
        landmarks: (5, 2) in pixels of the frame as given.
        size: side of the crop in pixels.
        color: of an array, required.

    Returns:
        (size, size, 3) uint8, BGR; black where the frame ends. The landmarks make it upright, whatever the rotation.

    Raises:
        InvalidInputError: as `align_transform`, or an array without its colour.
        RuntimeUnavailableError: OpenCV is not installed.

    Examples:
        >>> crop = aligned_crop(image, faces.landmarks[0], color="bgr")     # doctest: +SKIP
    """
    cv2 = opencv()

    frame = as_frame(frame, color)
    matrix = align_transform(landmarks, size)
    # the square of the crop, seen in the frame
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = inverse @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    limit = np.array(frame.size, np.float64)
    low = np.clip(np.floor(corners.min(1)) - 1, 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(1)) + 1, 0, limit).astype(int)
    if (high <= low).any():
        return np.zeros((size, size, 3), np.uint8)
    # warpAffine samples single pixels: what would shrink by two or more is averaged first
    shrink = max(1, int(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
    width, height = (-(-int(side) // shrink) for side in high - low)
    picture, back = to_bgr_with_transform(
        frame, roi=(int(low[0]), int(low[1]), int(high[0]), int(high[1])), size=(width, height)
    )
    whole = matrix @ np.vstack([back, [0, 0, 1]])
    whole[:, 2] += whole[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV's pixel (0, 0) has its centre there, ours its corner
    return np.asarray(cv2.warpAffine(picture, whole, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def face_crop(
    frame: Frame | NDArray[np.uint8],
    face: Face,
    *,
    margin: float = 0.3,
    max_side: int = 512,
    color: str | None = None,
) -> NDArray[np.uint8]:
    """The part of a frame around a face, turned upright by the rotation that the face's frame was told.

    Args:
        frame: a `Frame` of any format, or an array as `FaceEngine.detect` takes it.
        face: found in it.
        margin: added on every side, as a fraction of the box.
        max_side: larger crops are shrunk to this.
        color: of an array, required.

    Returns:
        (h, w, 3) uint8, BGR; empty (0, 0, 3) for a box that lies outside the frame.

    Raises:
        InvalidInputError: an array without its colour, a negative margin, or a side that is no whole number of pixels.
    """
    frame = as_frame(frame, color)
    max_side = _side("max_side", max_side)
    if not is_number(margin) or not 0 <= margin < np.inf:
        raise must_be("margin", "a finite number of at least 0", repr(margin))
    x1, y1, x2, y2 = (float(v) for v in face.box)
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    edges = np.array([x1 - dx, y1 - dy, x2 + dx, y2 + dy])
    if not np.isfinite(edges).all():
        return np.zeros((0, 0, 3), np.uint8)
    width, height = frame.size
    left, top = max(0, int(np.floor(min(edges[0], width)))), max(0, int(np.floor(min(edges[1], height))))
    right, bottom = min(width, int(np.ceil(max(edges[2], 0)))), min(height, int(np.ceil(max(edges[3], 0))))
    if right <= left or bottom <= top:
        return np.zeros((0, 0, 3), np.uint8)
    scale = min(1.0, max_side / max(right - left, bottom - top))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    crop = to_bgr_with_transform(frame, roi=(left, top, right, bottom), size=size)[0]
    return turn_picture(crop, face.frame_rotation)


def _side(name: str, side: object) -> int:
    if isinstance(side, bool) or not isinstance(side, (int, np.integer)) or not 1 <= side <= MAX_SIDE:
        raise must_be(name, f"a whole number of pixels from 1 to {MAX_SIDE}", repr(side))
    return int(side)
