"""What counts as a picture where one is drawn on, written or covered."""

from __future__ import annotations

import numpy as np

from edgeface.errors import must_be

__all__ = ["check_picture"]


def check_picture(image: object, *, grey: bool = False) -> None:
    """Refuse what OpenCV would meet with an error of its own, or write as something else.

    Args:
        image: (h, w, 3) uint8 of at least one pixel.
        grey: whether (h, w) will do, too.

    Raises:
        InvalidInputError: not such a picture.

    Examples:
        >>> check_picture(np.zeros((480, 640, 3), np.uint8))
    """
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0:
        if image.ndim == 3 and image.shape[2] == 3:
            return
        if grey and image.ndim == 2:
            return
    got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise must_be("image", f"a uint8 array of shape (h, w, 3){' or (h, w)' * grey}, h and w above 0", got)
