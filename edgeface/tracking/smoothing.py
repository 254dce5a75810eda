"""One-Euro filters (Casiez, Roussel, Vogel, CHI 2012): still when a face is still, quick when it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.tracking.so3 import from_vector, to_vector

__all__ = ["FaceSmoother", "Smoothing"]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How strongly tracks are smoothed. Lower cut-offs are calmer and later; higher betas follow fast motion sooner.

    Attributes:
        points_cutoff: Hz, of a still face's box and landmarks.
        points_beta: Hz more for each face size a second.
        pose_cutoff: Hz, of a still head's rotation.
        pose_beta: Hz more for each degree a second.

    Raises:
        InvalidInputError: a cut-off that is not positive or a negative beta.
    """

    points_cutoff: float = 1.5
    points_beta: float = 10.0
    pose_cutoff: float = 1.5
    pose_beta: float = 0.08

    def __post_init__(self) -> None:
        for name in ("points_cutoff", "pose_cutoff"):
            if not getattr(self, name) > 0:
                raise must_be(name, "above 0 Hz", getattr(self, name))
        for name in ("points_beta", "pose_beta"):
            if not getattr(self, name) >= 0:
                raise must_be(name, "0 or more", getattr(self, name))


# Hz: of the speed, by which the filter judges how fast things move
_SPEED_CUTOFF = 1.5


def _weight(cutoff: float, dt: float) -> float:
    """Share of the new value in a low-pass of first order."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * dt))


class FaceSmoother:
    """Filters one face: (7, 2) points (two corners of the box, five landmarks) and a rotation."""

    def __init__(self, settings: Smoothing, points: NDArray[np.float64], rotation: NDArray[np.float64]) -> None:
        self.settings = settings
        self.points = points
        self.rotation = rotation
        self._last_points, self._last_rotation = points, rotation
        self._shift = np.zeros(2)  # face sizes a second
        self._turn = np.zeros(3)  # radians a second

    def update(self, points: NDArray[np.float64], rotation: NDArray[np.float64], dt: float) -> None:
        """Take in the next measurement, `dt` seconds after the last."""
        size = max(1.0, float(np.sqrt(np.prod(np.maximum(points[1] - points[0], 1.0)))))
        # the speed of the face as a whole: all points are then filtered alike, and the face keeps its shape
        speed_weight = _weight(_SPEED_CUTOFF, dt)
        shift = (points - self._last_points).mean(0) / (size * dt)
        growth = (points[1] - points[0] - self._last_points[1] + self._last_points[0]) / (size * dt)
        self._shift = self._shift + speed_weight * (shift - self._shift)
        speed = float(np.linalg.norm(self._shift)) + 0.5 * float(np.abs(growth).max()) * speed_weight
        weight = _weight(self.settings.points_cutoff + self.settings.points_beta * speed, dt)
        self.points = self.points + weight * (points - self.points)
        self._last_points = points

        turn = to_vector(self._last_rotation.T @ rotation) / dt
        self._turn = self._turn + speed_weight * (turn - self._turn)
        degrees = float(np.degrees(np.linalg.norm(self._turn)))
        weight = _weight(self.settings.pose_cutoff + self.settings.pose_beta * degrees, dt)
        self.rotation = self.rotation @ from_vector(weight * to_vector(self.rotation.T @ rotation))
        self._last_rotation = rotation
