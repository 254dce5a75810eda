"""What the pixels of a face say: light, contrast, sharpness.

Measured on the aligned crop, so that sizes are comparable.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.align import aligned_crop
from edgeface.errors import InvalidInputError
from edgeface.faces import Face
from edgeface.frame import Frame, as_frame

__all__ = ["FACE_COLUMNS", "FACE_ROWS", "Appearance", "measure_appearance"]

# The part of the aligned 112x112 crop from the brows to the chin: no hair, hardly any background.
FACE_ROWS: Final = slice(30, 104)
FACE_COLUMNS: Final = slice(22, 90)
# Grey levels at the ends of the scale, where shading is lost.
_BLACK: Final = 32
_WHITE: Final = 240
# Grey levels; below this contrast the ratio of detail to contrast is noise.
_LEAST_CONTRAST: Final = 5.0
# Radius of the blur that separates detail from shading, in pixels of the crop.
_DETAIL_SIGMA: Final = 1.0


class Appearance(NamedTuple):
    """Attributes:
    brightness: mean grey level of the face, 0 to 255.
    contrast: standard deviation of the grey levels.
    sharpness: standard deviation of the fine detail (what a Gaussian blur of one pixel removes) over `contrast`; near
        0.04 for a badly blurred face, 0.1 and more for a sharp one.
    dark: share of pixels that are almost black.
    bright: share of pixels that are almost white.
    """

    brightness: float
    contrast: float
    sharpness: float
    dark: float
    bright: float


def measure_appearance(frame: Frame | NDArray[np.uint8], face: Face, *, color: str | None = None) -> Appearance | None:
    """Measure one face; None if its landmarks are unusable.

    Args:
        frame: a `Frame`, or an array as `FaceEngine.detect` takes it.
        face: found in it.
        color: of an array, required.

    Raises:
        InvalidInputError: an array without its colour.

    Examples:
        >>> measure_appearance(image, faces[0], color="bgr").sharpness     # doctest: +SKIP
    """
    cv2 = opencv()

    frame = as_frame(frame, color)
    try:
        crop = aligned_crop(frame, face.landmarks)
    except InvalidInputError:
        return None
    grey: NDArray[Any] = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.float32)
    soft: NDArray[Any] = np.asarray(cv2.GaussianBlur(grey, (0, 0), _DETAIL_SIGMA), np.float32)
    skin, detail = grey[FACE_ROWS, FACE_COLUMNS], (grey - soft)[FACE_ROWS, FACE_COLUMNS]
    contrast = float(skin.std())
    return Appearance(
        brightness=float(skin.mean()),
        contrast=contrast,
        sharpness=float(detail.std()) / max(contrast, _LEAST_CONTRAST),
        dark=float((skin < _BLACK).mean()),
        bright=float((skin > _WHITE).mean()),
    )
