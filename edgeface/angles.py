"""Head rotation ↔ yaw, pitch, roll in the convention of 300W-LP and AFLW2000.

A rotation matrix takes head coordinates to the optical frame of the upright picture (x right, y down, z forward) and is
the identity for an upright face that looks straight into the lens. The angles, in degrees, relate to it by
``R = Rx(-pitch) · Ry(yaw) · Rz(roll)``:

| the person                                                             | sign      |
|------------------------------------------------------------------------|-----------|
| turns the face to image-left (their own right)                         | yaw > 0   |
| looks up                                                               | pitch > 0 |
| tilts the head so that their left eye sinks (clockwise in the picture) | roll > 0  |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.errors import must_be

__all__ = ["angles_to_rotation", "rotation_to_angles"]

# Below this cosine of the yaw (0.0006° from the pole) pitch and roll turn about the same axis, and only their
# combination can be read from a float32 matrix.
_POLE = 1e-5


def angles_to_rotation(angles: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices of yaw, pitch, roll.

    Args:
        angles: (..., 3) yaw, pitch, roll in degrees.

    Returns:
        (..., 3, 3) float64, head to camera.

    Raises:
        InvalidInputError: the last axis is not 3 long.

    Examples:
        >>> angles_to_rotation([90, 0, 0]).round(3)[:, 2]  # where the back of the head points: to image-right
        array([1., 0., 0.])
    """
    a = np.asarray(angles, dtype=np.float64)
    if a.ndim == 0 or a.shape[-1] != 3:
        raise must_be("angles", "an array of shape (..., 3)", f"shape {a.shape}")
    yaw, pitch, roll = np.moveaxis(np.radians(a), -1, 0)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    rows = (
        (cy * cr, -cy * sr, sy),
        (cp * sr - sp * sy * cr, cp * cr + sp * sy * sr, sp * cy),
        (-sp * sr - cp * sy * cr, -sp * cr + cp * sy * sr, cp * cy),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_to_angles(rotations: ArrayLike) -> NDArray[np.float64]:
    """Yaw, pitch, roll of rotation matrices.

    Every rotation has two sets of angles, ``(yaw, pitch, roll)`` and its twin
    ``(±180° - yaw, pitch ± 180°, roll ± 180°)``; the one with the smaller ``|pitch| + |roll|`` is given, so that
    profiles beyond 90° stay continuous. Exactly at yaw = ±90°, where pitch and roll cannot be told apart, pitch is
    given as 0 and roll takes all of it.

    Args:
        rotations: (..., 3, 3) head to camera.

    Returns:
        (..., 3) float64, yaw, pitch, roll in degrees, each in [-180, 180].

    Raises:
        InvalidInputError: the last two axes are not 3 by 3.

    Examples:
        >>> rotation_to_angles(angles_to_rotation([110, 5, -3])).round(6).tolist()
        [110.0, 5.0, -3.0]
    """
    r = np.asarray(rotations, dtype=np.float64)
    if r.ndim < 2 or r.shape[-2:] != (3, 3):
        raise must_be("rotations", "an array of shape (..., 3, 3)", f"shape {r.shape}")
    cos_yaw = np.hypot(r[..., 0, 0], r[..., 0, 1])
    pole = cos_yaw < _POLE
    # asin(R02), but well conditioned near ±90° too
    yaw = np.degrees(np.arctan2(r[..., 0, 2], cos_yaw))
    pitch = np.degrees(np.arctan2(r[..., 1, 2], r[..., 2, 2]))
    roll = np.degrees(np.arctan2(-r[..., 0, 1], r[..., 0, 0]))
    pitch = np.where(pole, 0.0, pitch)
    roll = np.where(pole, np.degrees(np.arctan2(r[..., 1, 0], r[..., 1, 1])), roll)
    first = np.stack([yaw, pitch, roll], axis=-1)
    twin = np.stack([_beyond_pole(yaw), _half_turn(pitch), _half_turn(roll)], axis=-1)
    swap = ~pole & (np.abs(twin[..., 1:]).sum(-1) < np.abs(first[..., 1:]).sum(-1))
    return np.where(swap[..., None], twin, first)


def _half_turn(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angle half a turn away, in [-180, 180]."""
    return angle - np.copysign(180.0, angle)


def _beyond_pole(yaw: NDArray[np.float64]) -> NDArray[np.float64]:
    """The yaw on the other side of the pole: 180° - yaw to the left, -180° - yaw to the right."""
    return np.copysign(180.0, yaw) - yaw
