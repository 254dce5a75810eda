"""Square crops around faces, zero-padded, and the ArcFace alignment."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: Where InsightFace's ArcFace expects the five landmarks in a 112x112 crop.
ARCFACE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def square_crop(
    image: NDArray[np.uint8], box: NDArray[Any], size: int, scale: float = 1.0, shift_y: float = 0.0
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The square of side ``scale``·max(w, h) around the box, moved down by ``shift_y``·max(w, h), as (size, size, 3).

    Also returns the (2, 3) affine that takes crop pixels back to the photo.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    longest = max(x2 - x1, y2 - y1, 1e-3)
    side = longest * scale
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2 + shift_y * longest
    k = side / size
    back = np.array([[k, 0, left], [0, k, top]])
    # pixel centres sit at half coordinates in our convention and at whole ones in OpenCV's
    to_photo = np.array([[k, 0, left + k / 2 - 0.5], [0, k, top + k / 2 - 0.5]])
    if k > 2:  # a plain bilinear look-up would alias
        f = 1 / (k / 1.5)
        small = cv2.resize(image, None, fx=f, fy=f, interpolation=cv2.INTER_AREA)
        fx, fy = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
        to_photo = np.array([[k * fx, 0, (left + k / 2) * fx - 0.5], [0, k * fy, (top + k / 2) * fy - 0.5]])
        image = np.asarray(small, np.uint8)
    crop = cv2.warpAffine(image, to_photo, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(crop, np.uint8), back


def similarity(src: NDArray[Any], dst: NDArray[Any]) -> NDArray[np.float64]:
    """The (2, 3) similarity that takes ``src`` points to ``dst`` with least squares (Umeyama 1991)."""
    s, d = np.asarray(src, float), np.asarray(dst, float)
    sm, dm = s.mean(0), d.mean(0)
    a = (s - sm)[:, 0] + 1j * (s - sm)[:, 1]
    b = (d - dm)[:, 0] + 1j * (d - dm)[:, 1]
    z = (np.conj(a) @ b) / max(float((np.conj(a) @ a).real), 1e-9)
    m = np.array([[z.real, -z.imag], [z.imag, z.real]])
    return np.c_[m, dm - m @ sm]


def align(image: NDArray[np.uint8], points: NDArray[Any], size: int = 112) -> NDArray[np.uint8]:
    """The ArcFace-aligned crop (size, size, 3) of the face with five ``points`` (5, 2)."""
    m = similarity(np.asarray(points) - 0.5, ARCFACE * (size / 112) - 0.5)
    return np.asarray(cv2.warpAffine(image, m, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
