"""Where heads are, in metres, for a camera that may distort: what a ROS message needs of `edgeface.positions`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeface.faces import Faces
from edgeface.positions import locate_by_rays, rotation_spread
from edgeface.ros.camera import Camera

__all__ = ["Head", "head_positions"]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One head, in the optical frame of the camera as it is mounted (x right, y down, z forward).

    Attributes:
        position: (3,) metres, of the point midway between the eyes.
        covariance: (3, 3) square metres: of the position.
        rotation: (3, 3), head to optical frame. Unlike `Face.camera_rotation` it says where the head points in space:
            who looks into the lens from the picture's edge looks along the line of sight, not along the optical axis.
        spread: standard deviation of the rotation about each axis, in radians.
    """

    position: NDArray[np.float64]
    covariance: NDArray[np.float64]
    rotation: NDArray[np.float64]
    spread: float


def head_positions(faces: Faces, camera: Camera) -> list[Head | None]:
    """Where the heads are: `Faces.positions` without distortion.

    Args:
        faces: of one frame, in pixels of the camera's image.
        camera: its calibration.

    Returns:
        One head a face; None where the points contradict the rotation (a mirror image, a face behind the camera).

    Examples:
        >>> camera = Camera([[600, 0, 320], [0, 600, 240], [0, 0, 1]], size=(640, 480))
        >>> head_positions(Faces.empty((640, 480)), camera)
        []
    """
    found = locate_by_rays(faces, camera.normalized, camera.focal)
    parts = zip(found.points, found.covariances, found.rotations, faces.angles[:, 0], strict=True)
    return [
        Head(point, covariance, rotation, rotation_spread(float(yaw))) if np.isfinite(point).all() else None
        for point, covariance, rotation, yaw in parts
    ]
