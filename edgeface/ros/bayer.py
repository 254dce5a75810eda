"""Raw mosaics as colour sensors give them (``bayer_rggb8`` and the like), without image_proc."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.errors import must_be

__all__ = ["BAYER", "demosaic"]

#: Encoding -> OpenCV's conversion, which it names after the second row's second and third pixel.
BAYER: Final = {
    "bayer_rggb8": "COLOR_BayerBG2BGR",
    "bayer_bggr8": "COLOR_BayerRG2BGR",
    "bayer_gbrg8": "COLOR_BayerGR2BGR",
    "bayer_grbg8": "COLOR_BayerGB2BGR",
}


def demosaic(mosaic: NDArray[np.uint8], encoding: str) -> NDArray[np.uint8]:
    """A colour picture of a mosaic, bilinear.

    Args:
        mosaic: (h, w) uint8, one colour a pixel.
        encoding: ``bayer_`` and the first two rows' first two pixels, such as ``bayer_rggb8``.

    Returns:
        (h, w, 3) uint8, BGR.

    Raises:
        InvalidInputError: another encoding, or fewer than two rows or columns.
    """
    if encoding not in BAYER:
        raise must_be("Bayer encoding", f"one of {', '.join(BAYER)}", repr(encoding))
    if mosaic.ndim != 2 or min(mosaic.shape) < 2:
        raise must_be("Bayer mosaic", "of at least 2x2 pixels", mosaic.shape)
    cv2 = opencv()
    picture = cv2.cvtColor(np.ascontiguousarray(mosaic), getattr(cv2, BAYER[encoding]))
    return np.asarray(picture, np.uint8)
