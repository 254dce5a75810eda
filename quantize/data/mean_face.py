"""Rotations from 68 labelled points: a mean 3D face fitted to the photos themselves, and pose by scaled orthography.

No licence-bound mesh is needed: with a teacher's rotations the mean face is a linear least-squares problem (Tomasi and
Kanade 1992, with known motion). Only the 51 inner points take part; the jaw line slides over the head as it turns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.pose import mean_rotation
from quantize.data.sample import Sample

INNER = slice(17, 68)
MIN_FACES = 50  # fewer do not make a mean


def fit_mean_face(points: NDArray[Any], rotations: NDArray[Any], rounds: int = 4) -> NDArray[np.float64]:
    """The (m, 3) centred shape whose projections fit ``points`` (n, m, 2) best, given ``rotations`` (n, 3, 3) of the
    optical frame. Its size is arbitrary: one in the root mean square of a projection.
    """
    x = points - points.mean(1, keepdims=True)
    scale = np.sqrt((x**2).sum((1, 2)) / x.shape[1])
    r2 = rotations[:, :2]
    shape = np.zeros((points.shape[1], 3))
    for _ in range(rounds):
        left = np.einsum("nki,nkj->ij", r2, r2)
        right = np.einsum("nki,nmk->im", r2, x / scale[:, None, None])
        shape = np.linalg.solve(left, right).T
        projected = np.einsum("nki,mi->nmk", r2, shape)
        scale = (x * projected).sum((1, 2)) / (projected**2).sum((1, 2))
    return shape


def rotation_from_points(points: NDArray[Any], shape: NDArray[Any]) -> NDArray[np.float64]:
    """Head-to-camera rotation (3, 3) of ``points`` (m, 2) pixels by scaled orthography; ``shape`` (m, 3) is centred."""
    x = points - points.mean(0)
    affine = np.linalg.lstsq(shape, x, rcond=None)[0].T  # (2, 3)
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    first, second = u @ vt
    return np.stack([first, second, np.cross(first, second)])


def refine_rotations(samples: list[Sample], weight: float = 1.0, teachers: float = 2.0) -> int:
    """Averages each face's teacher rotation (of weight ``teachers``) with the one of its 68 labelled points, in place.

    Returns how many faces it was; 0 where fewer than ``MIN_FACES`` have both.
    """
    faces = [f for s in samples for f in s.faces if f.rotation is not None and f.extra.get("points68") and not f.ignore]
    if len(faces) < MIN_FACES:
        return 0
    points = np.array([f.extra["points68"] for f in faces], float)[:, INNER]
    shape = fit_mean_face(points, np.array([f.rotation for f in faces], float))
    for face, p in zip(faces, points, strict=True):
        assert face.rotation is not None
        both = np.stack([face.rotation.astype(float), rotation_from_points(p, shape)])
        face.rotation = mean_rotation(both, [teachers, weight]).astype(np.float32)
    return len(faces)
