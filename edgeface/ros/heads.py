"""Where heads are, in metres: five points and a rotation, seen by a calibrated camera.

A camera alone cannot tell a small head nearby from a large one further away. The distance therefore assumes the mean
adult face, and its uncertainty is mostly that of people's sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.faces import Face, Faces
from edgeface.ros.camera import Camera

__all__ = ["MEAN_FACE", "Head", "head_positions", "rotation_spread"]

#: (5, 3) metres, head coordinates (x to the person's left, y down, z to the back), the origin midway between the eyes:
#: MediaPipe's canonical face model (Apache-2.0), scaled to 63 mm from eye to eye.
MEAN_FACE: Final = np.array(
    [[-31.5, 0, 0], [31.5, 0, 0], [0, 37.25, -37.81], [-24.32, 69.09, -6.21], [24.32, 69.09, -6.21]]
) * [1e-3, 1e-3, 1e-3]
#: One standard deviation of adults' eye distance, 3.7 mm of 63 mm (Dodgson, "Variation and extrema of human
#: interpupillary distance", 2004).
_SIZES: Final = 0.059
#: Of a landmark's x or y, as a share of the box: 1.25 times less than the mean distance in the model card.
_POINT_SPREAD: Final = 0.028
#: |yaw| in degrees -> standard deviation of a rotation about each axis, 1.25 times the model card's mean error.
_TURNS: Final = ((15.0, 45.0, 80.0), (3.7, 6.1, 15.0))
_STEPS: Final = 6
_NEAREST_M: Final = 0.05


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
    """Where the heads are.

    The mean face is turned as the network says, placed by its apparent size, and then moved until its five points fall
    on the landmarks (least squares). The covariance is that of the landmarks' and the rotation's errors carried
    through this fit, plus people's sizes along the line of sight.

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
    return [_head(face, camera) for face in faces]


def rotation_spread(face: Face) -> float:
    """Standard deviation of the head's rotation about each axis in radians, by the model card's errors at its yaw."""
    return float(np.radians(np.interp(abs(face.yaw), *_TURNS)))


def _head(face: Face, camera: Camera) -> Head | None:
    rays = camera.normalized(face.landmarks)
    if not np.isfinite(rays).all():
        return None
    aim = _turn_to(rays.mean(axis=0))  # a camera that looks at the face -> the camera as it is mounted
    turned = np.concatenate([rays, np.ones((5, 1))], 1) @ aim
    if not (turned[:, 2] > 0).all():
        return None
    seen = turned[:, :2] / turned[:, 2:]
    # what the network says of a face is what it looks like, so it holds for a camera that looks at it
    rotation = face.camera_rotation.astype(np.float64)
    model = MEAN_FACE @ rotation.T
    place = _by_size(seen, model)
    if place is None:
        return None
    for _ in range(_STEPS):
        points = model + place
        if points[:, 2].min() < _NEAREST_M:
            return None
        missed = (seen - points[:, :2] / points[:, 2:]).ravel()
        place = place + np.linalg.lstsq(_slopes(points), missed, rcond=None)[0]
    points = model + place
    if not np.isfinite(place).all() or points[:, 2].min() < _NEAREST_M:
        return None
    spread = rotation_spread(face)
    slopes = _slopes(points)
    fit = np.linalg.pinv(slopes)
    by_points = fit * (_POINT_SPREAD * np.sqrt(max(1.0, face.width * face.height)) / camera.focal)
    by_turn = fit @ np.einsum("nij,njk->nik", slopes.reshape(5, 2, 3), _crosses(model)).reshape(10, 3) * spread
    by_size = _SIZES * place
    covariance = by_points @ by_points.T + by_turn @ by_turn.T + np.outer(by_size, by_size)
    return Head(aim @ place, aim @ covariance @ aim.T, aim @ rotation, spread)


def _turn_to(point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): the shortest turn of the optical axis to the ray through a point at distance 1."""
    x, y, z = np.append(point, 1) / np.sqrt(point @ point + 1)
    return np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), x], [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]]
    )


def _by_size(seen: NDArray[np.float64], model: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(3,) where the model looks as large as what is seen, as if the face were flat; None if it would be mirrored."""
    flat = model[:, :2] - model[:, :2].mean(axis=0)
    scale = float((flat * (seen - seen.mean(axis=0))).sum() / max(1e-12, (flat * flat).sum()))
    if not scale > 0:
        return None
    x, y = seen.mean(axis=0) / scale - model[:, :2].mean(axis=0)
    return np.array([x, y, 1 / scale - model[:, 2].mean()])


def _slopes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(10, 3): how the five points' x and y move with their place."""
    x, y, z = points.T
    rows = np.zeros((5, 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1 / z
    rows[:, 0, 2], rows[:, 1, 2] = -x / z**2, -y / z**2
    return rows.reshape(10, 3)


def _crosses(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5, 3, 3): how points move with a small turn about the origin."""
    x, y, z = points.T
    zero = np.zeros_like(x)
    return np.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]]).transpose(2, 0, 1)
