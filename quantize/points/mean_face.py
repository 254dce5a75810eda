"""The mean face of the core, and the whole mesh behind it: MediaPipe's canonical face model (Apache-2.0).

``face_mesh.npz`` holds the model's own vertices (cm; y up, z to the viewer) and triangles, as published.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface import _core

#: The vertex of the mesh behind each iBUG point.
# fmt: off
VERTICES = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91, 78, 82, 13, 312, 308, 317, 14, 87,  # mouth
)
#: Which of the 68 points each is in a mirror.
MIRROR = (
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
    27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)
# fmt: on


@cache
def mean_face() -> NDArray[np.float64]:
    """The core's 68 points (68, 3): metres, head frame of `edgeface.angles`, origin between the eyes."""
    return np.asarray(_core.mean_face(), np.float64)


@cache
def mesh() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (468, 3) of the whole face, in the frame of `mean_face`, and triangles (898, 3)."""
    with np.load(Path(__file__).with_name("face_mesh.npz")) as stored:
        vertices = stored["vertices"].astype(float) * [1, -1, -1]
        triangles = stored["triangles"].astype(np.int64)
    middle = five_of(vertices[list(VERTICES)])[:2].mean(0)
    return (vertices - middle) * (face_width() / np.ptp(vertices[[VERTICES[0], VERTICES[16]], 0])), triangles


def five_of(points: NDArray[Any]) -> NDArray[Any]:
    """The five landmarks (..., 5, d) of 68 points (..., 68, d)."""
    p = np.asarray(points)
    eyes = [p[..., a:b, :].mean(-2) for a, b in ((36, 42), (42, 48))]
    return np.stack([*eyes, p[..., 30, :], p[..., 48, :], p[..., 54, :]], -2)


def face_width() -> float:
    """Distance of the jaw's ends, metres: the unit of ``points3d``."""
    return float(np.ptp(mean_face()[[0, 16], 0]))
