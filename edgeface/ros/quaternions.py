"""Rotation matrices as ROS writes rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edgeface.errors import must_be

__all__ = ["quaternion"]


def quaternion(rotation: ArrayLike) -> tuple[float, float, float, float]:
    """Unit quaternion of a rotation matrix.

    The component that is largest is computed first (Shepperd, J. Guidance and Control 1978): exact for every angle.

    Args:
        rotation: (3, 3).

    Returns:
        x, y, z, w (the order of ``geometry_msgs/Quaternion``), with w >= 0.

    Raises:
        InvalidInputError: not a finite (3, 3) array.

    Examples:
        >>> quaternion(np.eye(3))
        (0.0, 0.0, 0.0, 1.0)
    """
    r = np.asarray(rotation, np.float64)
    if r.shape != (3, 3) or not np.isfinite(r).all():
        raise must_be("rotation", "a finite array of shape (3, 3)", r.shape)
    squares = np.array([1 + 2 * r[i, i] - np.trace(r) for i in range(3)] + [1 + np.trace(r)])
    i = int(squares.argmax())
    q = np.zeros(4)
    q[i] = squares[i]
    if i == 3:
        q[:3] = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[j], q[k], q[3] = r[i, j] + r[j, i], r[i, k] + r[k, i], r[k, j] - r[j, k]
    q /= np.linalg.norm(q)
    x, y, z, w = (q if q[3] >= 0 else -q).tolist()
    return x, y, z, w
