"""Pictures out of frames of any format: what drawing, crops and browsers need.

The core converts; OpenCV is not needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeface import _core
from edgeface.frame import Frame, as_frame, checked_roi, checked_size

__all__ = ["to_bgr", "to_bgr_with_transform"]


def to_bgr(
    frame: Frame | NDArray[np.uint8],
    *,
    roi: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    color: str | None = None,
) -> NDArray[np.uint8]:
    """A part of a frame as a BGR picture, turned as the frame is (its `rotation` is not applied).

    Args:
        frame: a `Frame` of any format, or an array as `FaceEngine.detect` takes it.
        roi: (x1, y1, x2, y2) in whole pixels, inside the frame; all of it if None. `Frame.roi` is ignored.
        size: (width, height) of the picture; that of the region if None. Shrinking averages pixels, and the aspect is
            not kept.
        color: of an array, required.

    Returns:
        (height, width, 3) uint8, BGR, newly allocated.

    Raises:
        InvalidInputError: `roi` or `size` is out of range.

    Examples:
        >>> frame = Frame.from_array(np.zeros((720, 640), np.uint8), "nv12")
        >>> to_bgr(frame, size=(320, 240)).shape
        (240, 320, 3)
    """
    return to_bgr_with_transform(as_frame(frame, color), roi=roi, size=size)[0]


def to_bgr_with_transform(
    frame: Frame, *, roi: tuple[int, int, int, int] | None = None, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Like `to_bgr`, with the (2, 3) affine A for which ``frame_xy = A @ [picture_x, picture_y, 1]``."""
    x1, y1, x2, y2 = (0, 0, *frame.size) if roi is None else checked_roi(roi, frame.size)
    width, height = (x2 - x1, y2 - y1) if size is None else checked_size(size)
    picture = np.empty((height, width, 3), np.uint8)
    transform = _core.preprocess(
        frame.planes,
        frame.color,
        frame.width,
        frame.height,
        picture,
        layout="NHWC",
        color="bgr",
        fit="stretch",
        crop=(x1, y1, x2 - x1, y2 - y1),
        matrix=frame.matrix,
        range=frame.range,
        scale=1 / 128,
        zero_point=128,  # so that a stored value is the pixel itself
        filter="area",
    )
    return picture, transform
