"""Where heads are, in metres: the mean face of adults fitted to a face's points by the camera's perspective.

How large a head is cannot be seen in a picture: the distance is as wrong as the face's width differs from the mean
face's. Of adults the distance of the eyes spreads by 6 % (1 sigma); a child's head is smaller, so that it seems
farther away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.errors import must_be
from edgeface.numerals import is_number

if TYPE_CHECKING:
    from edgeface.faces import Faces

__all__ = ["EYE_SPREAD", "Positions", "camera_matrix", "locate", "locate_by_rays", "rotation_spread"]

#: Relative standard deviation of the distance of adults' eyes: 3.7 mm of 63 mm.
EYE_SPREAD: Final = 0.06

#: Points of the 68 that neither speech nor a smile moves: brows, nose, eyes. The jaw of drawn points slides as the head
#: turns.
_RIGID: Final = tuple(range(17, 48))
#: |yaw| in degrees -> standard deviation of the first network's rotation about each axis, 1.25 times the model card's
#: mean error.
_TURNS: Final = ((15.0, 45.0, 80.0), (3.7, 6.1, 15.0))
_FIVE_SIGMA: Final = 0.03  # of a landmark's place, in face widths
_POINT_SIGMA: Final = 0.015  # of a point's, where its own spread says less: faces differ from the mean face
_ROUNDS: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """Of n faces, in the optical frame of the camera as it is mounted (x right, y down, z forward).

    Attributes:
        points: (n, 3) float64, the middle between the eyes, in metres.
        covariances: (n, 3, 3) float64, square metres: what the fit leaves open, and how much heads differ in size.
        rotations: (n, 3, 3) float64, head to that frame. Unlike `Faces.camera_rotations` they say where heads point in
            space: who looks into the lens from the picture's edge looks along the line of sight, not along the axis.
        from_points: (n,) bools: whether the 68 points were used; if not, the five landmarks were.

    A row is NaN where no head fits the points.
    """

    points: NDArray[np.float64]
    covariances: NDArray[np.float64]
    rotations: NDArray[np.float64]
    from_points: NDArray[np.bool_]

    @property
    def directions(self) -> NDArray[np.float64]:
        """(n, 3) unit vectors, which way noses point: the ray from `points` is where the head (not the eyes) looks."""
        return -self.rotations[:, :, 2]

    @property
    def distances(self) -> NDArray[np.float64]:
        """(n,) metres from the camera."""
        return np.asarray(np.linalg.norm(self.points, axis=1))

    @property
    def spreads(self) -> NDArray[np.float64]:
        """(n,) metres, one standard deviation of `distances`."""
        towards = self.points / self.distances[:, None]
        return np.asarray(np.sqrt(np.einsum("ni,nij,nj->n", towards, self.covariances, towards)))

    def closest_approach(self, target: ArrayLike = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
        """How far the heads' rays pass by a point.

        Args:
            target: (3,) metres in the same frame; the camera itself if left out.

        Returns:
            (n,) metres; the distance to the head itself where it looks away.
        """
        try:
            to = np.asarray(target, np.float64).reshape(3) - self.points
        except (TypeError, ValueError):
            raise must_be("target", "three numbers", repr(target)) from None
        ahead = (to * self.directions).sum(1).clip(0)
        return np.asarray(np.linalg.norm(to - ahead[:, None] * self.directions, axis=1))


def camera_matrix(
    size: tuple[int, int], degrees: float, axis: Literal["horizontal", "vertical", "diagonal"] = "horizontal"
) -> NDArray[np.float64]:
    """The matrix of a camera that is only known by its field of view: square pixels, its axis in the middle.

    Args:
        size: (width, height) of the frame in pixels.
        degrees: field of view, as the data sheet says.
        axis: which one it is: "horizontal", "vertical" or "diagonal".

    Returns:
        (3, 3) float64 as OpenCV and ROS have it: the top left pixel has its centre at (0, 0).

    Raises:
        InvalidInputError: a value out of range.

    Examples:
        >>> camera_matrix((640, 480), 90)
        array([[320. ,   0. , 319.5],
               [  0. , 320. , 239.5],
               [  0. ,   0. ,   1. ]])
    """
    from edgeface.frame import checked_size

    width, height = checked_size(size)
    if not is_number(degrees) or not 0 < degrees < 180:
        raise must_be("degrees", "between 0 and 180", repr(degrees))
    spans = {"horizontal": float(width), "vertical": float(height), "diagonal": math.hypot(width, height)}
    if axis not in spans:
        raise must_be("axis", f"one of {', '.join(spans)}", repr(axis))
    focal = round(spans[axis] / 2 / math.tan(math.radians(float(degrees)) / 2), 9)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def rotation_spread(yaw: float) -> float:
    """Standard deviation of a head's rotation about each axis in radians, at a yaw in degrees, by the model card."""
    return float(np.radians(np.interp(abs(yaw), *_TURNS)))


def locate(faces: Faces, matrix: ArrayLike) -> Positions:
    """See `edgeface.faces.Faces.positions`."""
    k = _checked(matrix)
    return locate_by_rays(faces, lambda points: _rays(points, k), math.sqrt(k[0, 0] * k[1, 1]))


def locate_by_rays(
    faces: Faces, rays_of: Callable[[NDArray[np.float32]], NDArray[np.float64]], focal: float
) -> Positions:
    """The same for any camera.

    Args:
        faces: of one frame.
        rays_of: from points (m, 2) in edgeface's pixels to x / z and y / z of their rays, (m, 2).
        focal: pixels; how long an error of a point is in rays.
    """
    n = len(faces)
    found = Positions(np.full((n, 3), np.nan), np.full((n, 3, 3), np.nan), np.full((n, 3, 3), np.nan), faces.described)
    rotations = faces.camera_rotations.astype(np.float64)
    model = _mean_face()
    width = float(model[16, 0] - model[0, 0])
    five = np.array([model[36:42].mean(0), model[42:48].mean(0), model[30], model[48], model[54]])
    for i in range(n):
        scale = _pixels_a_metre(faces.landmarks[i].astype(np.float64), five, rotations[i])
        if scale is None:
            continue
        if found.from_points[i]:
            points, shape = faces.points68[i, _RIGID, :], model[list(_RIGID)]
            sigma = np.hypot(faces.points_spread[i, _RIGID].astype(np.float64), _POINT_SIGMA * width * scale)
            weights = np.asarray(faces.visibility[i, _RIGID].astype(np.float64).clip(0.05) / sigma**2, np.float64)
        else:
            points, shape = faces.landmarks[i], five
            weights = np.full(5, (_FIVE_SIGMA * width * scale) ** -2)
        rays, middle = rays_of(points), rays_of(faces.landmarks[i]).mean(0)
        if not (np.isfinite(rays).all() and np.isfinite(middle).all()):
            continue
        rotation = _line_of_sight(np.append(middle, 1.0)) @ rotations[i]
        start = np.append(rays.mean(0), 1.0) * focal / scale - rotation @ shape.mean(0)
        spread = rotation_spread(float(faces.angles[i, 0]))
        fitted = _fit(rays, shape, rotation, start, weights * focal**2, spread)
        if fitted is None:
            continue
        rotation, position, covariance = fitted
        found.points[i] = position
        found.covariances[i] = covariance + EYE_SPREAD**2 * np.outer(position, position)
        found.rotations[i] = rotation
    return found


def _mean_face() -> NDArray[np.float64]:
    from edgeface import _core

    return _core.mean_face().astype(np.float64)


def _checked(matrix: ArrayLike) -> NDArray[np.float64]:
    wanted = "a 3x3 camera matrix [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with positive fx and fy"
    try:
        k = np.asarray(matrix, np.float64)
        k = k.reshape(3, 3) if k.size == 9 else k
    except (TypeError, ValueError):
        raise must_be("camera_matrix", wanted, repr(matrix)) from None
    if k.shape != (3, 3) or not np.isfinite(k).all():
        raise must_be("camera_matrix", wanted, f"shape {k.shape}" if k.shape != (3, 3) else k.tolist())
    if not (k[0, 0] > 0 and k[1, 1] > 0 and k[2].tolist() == [0, 0, 1] and k[1, 0] == 0):
        raise must_be("camera_matrix", wanted, k.tolist())
    return k


def _rays(points: NDArray[np.float32], k: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 2) x / z and y / z of pixels."""
    seen = np.column_stack([points.astype(np.float64) - 0.5, np.ones(len(points))])  # OpenCV's is its centre
    return np.asarray(np.linalg.solve(k, seen.T), np.float64).T[:, :2]


def _pixels_a_metre(
    landmarks: NDArray[np.float64], five: NDArray[np.float64], rotation: NDArray[np.float64]
) -> float | None:
    """Scale of the landmarks by weak perspective; None where there is none."""
    q = (five @ rotation.T)[:, :2]
    p, q = landmarks - landmarks.mean(0), q - q.mean(0)
    scale = float((p * q).sum() / max(float((q * q).sum()), 1e-12))
    return scale if math.isfinite(scale) and scale > 1e-3 else None


def _line_of_sight(ray: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): the optical axis to the way that a face is seen.

    A network sees how a face is turned from whoever looks at it, not from the camera's axis: a head at the border of a
    wide picture that looks along the axis seems to look away.
    """
    from edgeface.tracking.so3 import from_vector

    x, y, z = ray / np.linalg.norm(ray)
    sine = math.hypot(x, y)
    return from_vector(np.array([-y, x, 0.0]) * (math.atan2(sine, z) / sine if sine > 1e-12 else 0.0))


def _fit(
    rays: NDArray[np.float64],
    shape: NDArray[np.float64],
    rotation: NDArray[np.float64],
    start: NDArray[np.float64],
    weights: NDArray[np.float64],
    spread: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Rotation, position and the position's covariance by Gauss-Newton, the rotation held near the one that is known.

    Args:
        rays: (m, 2) x / z and y / z of the points seen.
        shape: (m, 3) of the head, metres.
        rotation: (3, 3) head to camera, to begin with.
        start: (3,) metres.
        weights: (m,) one over the variance of a coordinate of `rays`.
        spread: radians, standard deviation of the rotation about each axis.
    """
    from edgeface.tracking.so3 import from_vector

    position, turn = start.copy(), np.zeros(3)
    current = rotation
    for _ in range(_ROUNDS):
        placed = shape @ current.T + position
        z = placed[:, 2]
        if not (z > 1e-3).all():
            return None
        error = (rays - placed[:, :2] / z[:, None]).reshape(-1)
        # of x / z and y / z by the place, then by the turn (about the camera's axes) and the position
        by_place = np.zeros((len(z), 2, 3))
        by_place[:, 0, 0] = by_place[:, 1, 1] = 1 / z
        by_place[:, :, 2] = -placed[:, :2] / (z**2)[:, None]
        turned = placed - position
        cross = np.zeros((len(z), 3, 3))
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = turned[:, 2], -turned[:, 1], turned[:, 0]
        cross[:, 1, 0], cross[:, 2, 0], cross[:, 2, 1] = -turned[:, 2], turned[:, 1], -turned[:, 0]
        jacobian = np.concatenate([by_place @ cross, by_place], 2).reshape(-1, 6)
        w = np.repeat(weights, 2)
        normal = jacobian.T @ (jacobian * w[:, None])
        prior = np.concatenate([np.full(3, spread**-2), np.zeros(3)])
        normal[np.diag_indices(6)] += prior
        right = jacobian.T @ (w * error) - prior * np.concatenate([turn, np.zeros(3)])
        try:
            step = np.linalg.solve(normal, right)
            covariance = np.asarray(np.linalg.inv(normal)[3:, 3:], np.float64)
        except np.linalg.LinAlgError:
            return None
        turn = turn + step[:3]
        current = from_vector(step[:3]) @ current
        # no step beyond the camera's plane
        position = position + step[3:] * min(1.0, 0.5 * position[2] / max(-float(step[5]), 1e-12))
        if not np.isfinite(position).all() or not position[2] > 0:
            return None
        if np.abs(step[3:]).max() < 1e-9 * position[2] and np.abs(step[:3]).max() < 1e-9:
            break
    return current, position, covariance
