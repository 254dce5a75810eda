"""Rotations of heads: 300W-LP angles to matrices of the optical frame (docs/bundle.md), and means on SO(3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.angles import angles_to_rotation


def rotation_from_300wlp(yaw: ArrayLike, pitch: ArrayLike, roll: ArrayLike) -> NDArray[np.float64]:
    """``edgeface.angles.angles_to_rotation`` of three arrays: degrees in, (..., 3, 3) out, head to optical frame."""
    return angles_to_rotation(np.stack(np.broadcast_arrays(yaw, pitch, roll), -1))


def mean_rotation(rotations: NDArray[Any], weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """The chordal L2 mean of (n, 3, 3) rotations (Hartley et al. 2013): the weighted sum, projected back to SO(3) by
    SVD.
    """
    w = np.ones(len(rotations)) if weights is None else np.asarray(weights, float)
    u, _, vt = np.linalg.svd(np.einsum("n,nij->ij", w, rotations))
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def mirrored(rotation: NDArray[Any]) -> NDArray[Any]:
    """The rotation of the horizontally mirrored picture: M R M with M = diag(−1, 1, 1), which negates yaw and roll."""
    m = np.array([-1.0, 1, 1], rotation.dtype)
    return np.asarray(rotation * m[:, None] * m[None, :])


def geodesic_degrees(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Angle between rotations (..., 3, 3), degrees."""
    trace = np.einsum("...ij,...ij->...", a, b)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
