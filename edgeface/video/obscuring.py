"""Make faces in a picture unrecognisable."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.pictures import check_picture

__all__ = ["METHODS", "grown", "obscure"]

#: How a face can be covered.
METHODS: Final = ("pixelate", "blur")

# Of the longer side of what is covered: what is left are 7 by 7 colours, some 4 by 4 of them inside the face.
_CELLS: Final = 7


def obscure(
    image: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    *,
    method: str = "pixelate",
    margin: float = 0.3,
    inplace: bool = False,
) -> NDArray[np.uint8]:
    """Cover each box with a few large squares (pixelate) or with soft colours (blur).

    Both keep at most 7 by 7 colours of a box, whatever its size. This is no guarantee of anonymity: a face that was not
    detected stays as it is, and clothes, voices and places tell who somebody is.

    Args:
        image: (h, w, 3) uint8.
        boxes: (n, 4), x1 y1 x2 y2 in pixels; what lies outside the picture is ignored.
        method: "pixelate" or "blur".
        margin: of a box's longer side that is covered too, on each side: hair, ears and chin.
        inplace: change `image` instead of a copy.

    Returns:
        (h, w, 3) uint8.

    Raises:
        InvalidInputError: not such a picture, boxes of another shape, an unknown method, or a negative margin.

    Examples:
        >>> picture = np.arange(100 * 100 * 3, dtype=np.uint8).reshape(100, 100, 3)
        >>> covered = obscure(picture, np.array([[20, 20, 60, 60]]))
        >>> bool((covered[20:60, 20:60] == picture[20:60, 20:60]).all()), bool((covered[80:] == picture[80:]).all())
        (False, True)
    """
    import cv2

    check_picture(image)
    if method not in METHODS:
        raise must_be("method", " or ".join(METHODS), repr(method))
    canvas = image if inplace else image.copy()
    height, width = image.shape[:2]
    for left, top, right, bottom in grown(boxes, margin).tolist():
        x1, y1 = max(0, math.floor(left)), max(0, math.floor(top))
        x2, y2 = min(width, math.ceil(right)), min(height, math.ceil(bottom))
        if x1 >= x2 or y1 >= y2:
            continue
        part = canvas[y1:y2, x1:x2]
        cell = max(right - left, bottom - top) / _CELLS
        few = max(1, round((x2 - x1) / cell)), max(1, round((y2 - y1) / cell))
        small = cv2.resize(part, few, interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if method == "pixelate" else cv2.INTER_CUBIC
        canvas[y1:y2, x1:x2] = cv2.resize(small, (x2 - x1, y2 - y1), interpolation=how)
    return canvas


def grown(boxes: NDArray[np.floating], margin: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, 4) boxes with `margin` of their longer side added on each side."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape == (0,):  # an empty list
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise must_be("boxes", "finite numbers of shape (n, 4)", boxes.shape)
    if not np.all(np.asarray(margin) >= 0):
        raise must_be("margin", "0 or more", margin)
    by = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0.0) * margin
    return np.asarray(boxes + by[:, None] * np.array([-1, -1, 1, 1]), np.float64)
