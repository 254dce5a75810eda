"""Rotation matrices and rotation vectors, for smoothing on the rotations themselves (angles jump, matrices do not)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_vector", "to_vector"]


def to_vector(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rotation matrix to its (3,) rotation vector: the axis times the angle in radians, 0 to π."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = float(np.linalg.norm(skew)) / 2, (float(np.trace(rotation)) - 1) / 2
    angle = float(np.arctan2(sine, cosine))
    if sine > 1e-6:
        return np.asarray(skew * (angle / (2 * sine)), np.float64)
    if cosine > 0:
        return np.asarray(skew / 2, np.float64)
    # half a turn: the axis is the column of R + 1 that is longest
    columns = rotation + np.eye(3)
    axis = columns[:, int(np.argmax(np.diag(columns)))]
    return np.asarray(axis / np.linalg.norm(axis) * angle, np.float64)


def from_vector(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) rotation vector to its (3, 3) rotation matrix (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-8:
        return np.asarray(np.eye(3) + cross, np.float64)
    turned = np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * (cross @ cross)
    return np.asarray(turned, np.float64)
