"""The crop that the network sees: cut by the core, as on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface import _core

#: Side of the crop, in face widths. All drawn points of the training faces lie within 77 % of it.
MARGIN = 1.5


def weak_perspective(points: NDArray[Any], shape: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Scale and shift of ``points`` (n, 2) ≈ scale · ``shape`` (n, 2) + shift, by least squares."""
    p, q = np.asarray(points, float), np.asarray(shape, float)
    pc, qc = p - p.mean(0), q - q.mean(0)
    s = float((pc * qc).sum() / max(float((qc**2).sum()), 1e-12))
    return s, p.mean(0) - s * q.mean(0)


def face_crop(
    points: NDArray[Any], rotation: NDArray[Any], box: NDArray[Any], margin: float = MARGIN
) -> tuple[NDArray[np.float64], float]:
    """The core's crop of one face: a (2, 3) matrix from crop sides around the crop's centre to photo pixels, and the
    width of the face in pixels.

    ``points`` (5, 2) and ``box`` (4,) xyxy in photo pixels; ``rotation`` (3, 3) head to optical frame. NaN where no
    crop is possible.
    """
    matrices, widths = _core.face_crop(
        np.ascontiguousarray(points, np.float32)[None],
        np.ascontiguousarray(rotation, np.float32)[None],
        np.ascontiguousarray(box, np.float32)[None],
        margin=margin,
    )
    return np.asarray(matrices[0], np.float64), float(widths[0])


def sample_crop(image: NDArray[np.uint8], matrix: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The crop (size, size, 3) RGB of ``image``, BGR (h, w, 3); 128 outside of the photo."""
    out = np.empty((size, size, 3), np.uint8)
    h, w = image.shape[:2]
    pixels = np.ascontiguousarray(image)
    crop = np.ascontiguousarray(matrix)
    _core.preprocess_face([pixels], "bgr", w, h, out, crop, layout="NHWC", color="rgb", zero_point=128)
    return out


def carried(points: NDArray[Any], matrix: NDArray[Any]) -> NDArray[np.float64]:
    """``points`` (n, 2) of the photo in crop sides from the crop's centre."""
    return np.asarray(np.linalg.solve(matrix[:, :2], (np.asarray(points, float) - matrix[:, 2]).T).T)


def placed(points: NDArray[Any], matrix: NDArray[Any]) -> NDArray[np.float64]:
    """``points`` (n, 2) in crop sides as photo pixels."""
    return np.asarray(np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2])
