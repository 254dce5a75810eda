"""Where a box will be: a Kalman filter of constant velocity for each of its four numbers.

Plain floats: for four numbers NumPy's calls would cost ten times the arithmetic, and this runs for every face and
frame.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.tracking.camera import CameraMotion
from edgeface.tracking.recent import Recent

__all__ = ["BoxMotion"]

# Standard deviations of what the detector reports, of the acceleration a second, and of the velocity at first sight:
# of the centre in heights of the face, so that near and far faces are treated alike; of the sizes as logarithms, so
# that a steady zoom is a steady velocity.
_MEASURED: Final = (0.03, 0.03, 0.05, 0.05)
_ACCELERATION: Final = (30.0, 30.0, 3.0, 3.0)
_FIRST_VELOCITY: Final = (8.0, 8.0, 2.0, 2.0)
# A face that is no longer seen is taken to slow down over about this many seconds.
_COAST_S: Final = 1.0
# Over about this many seconds it is remembered how a face moved of its own, and its shape.
_REMEMBERED_S: Final = 0.5
# By how much more one side has become shorter than the other of a face that something has begun to hide, as logarithms.
_HIDDEN: Final = 0.1
# In heights of the face a second; who walks makes five.
_STANDS: Final = 0.5
_LARGEST: Final = 12.0  # log of pixels


class BoxMotion:
    """Position and velocity of one box: centre x, centre y, log width, log height.

    Args:
        box: (4,) x1 y1 x2 y2, finite.
    """

    def __init__(self, box: NDArray[np.float32]) -> None:
        self._state = _measured(box)
        self._velocity = [0.0] * 4
        self._camera = [0.0] * 2  # what of the velocity is the camera's
        self._rode = False  # whether the camera's part has ever been known
        self._recent = Recent(_REMEMBERED_S)
        units = self._units()
        # the covariance of each number and its velocity
        self._p00 = [(s * u) ** 2 for s, u in zip(_MEASURED, units, strict=True)]
        self._p01 = [0.0] * 4
        self._p11 = [(s * u) ** 2 for s, u in zip(_FIRST_VELOCITY, units, strict=True)]
        self._box = self._make_box()

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) x1 y1 x2 y2."""
        return self._box

    @property
    def uncertainty(self) -> float:
        """Standard deviation of the predicted centre, in heights of the face."""
        return math.sqrt(max(self._p00[0], self._p00[1])) / self._units()[0]

    @property
    def stands(self) -> bool:
        """Whether it has not moved of its own lately."""
        _, x, y, *_ = self._usual()
        return math.hypot(x, y) < _STANDS * self._units()[0]

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(2,) pixels a second of the centre."""
        return np.array(self._velocity[:2])

    def predict(self, dt: float, *, coasting: bool = False) -> None:
        """Move on by `dt` seconds; `coasting` slows down, for a face that was not seen in the last frame."""
        slower = math.exp(-dt / _COAST_S) if coasting else 1.0
        if not coasting:
            self._remember(dt)
        for i, unit in enumerate(self._units()):
            self._state[i] += self._velocity[i] * dt
            self._velocity[i] *= slower
            if i < 2:
                self._camera[i] *= slower
            q = (_ACCELERATION[i] * unit) ** 2
            self._p00[i] += 2 * dt * self._p01[i] + dt * dt * self._p11[i] + q * dt**4 / 4
            self._p01[i] += dt * self._p11[i] + q * dt**3 / 2
            self._p11[i] += q * dt * dt
        self._box = self._make_box()

    def correct(self, box: NDArray[np.float32], *, trust: float = 1.0) -> None:
        """Take in a measured box; `trust` below 1 for one that is less exact than a detection."""
        for i, (unit, measured) in enumerate(zip(self._units(), _measured(box), strict=True)):
            total = self._p00[i] + (_MEASURED[i] * unit / trust) ** 2
            gain0, gain1 = self._p00[i] / total, self._p01[i] / total
            error = measured - self._state[i]
            self._state[i] += gain0 * error
            self._velocity[i] += gain1 * error
            self._p11[i] -= gain1 * self._p01[i]
            self._p00[i] *= 1 - gain0
            self._p01[i] *= 1 - gain0
        self._box = self._make_box()

    def lose(self) -> None:
        """The face is no longer seen: it goes on as it did lately, not as it seemed to in the last moment.

        Of who goes behind something less and less is seen, so that the box shrinks and slows down or turns back. Where
        the camera's part of its motion is not known it may as well have turned back with the camera: then only if it
        has shrunk.
        """
        aspect, *own = self._usual()
        missing = aspect - (self._state[2] - self._state[3])
        if not self._rode and abs(missing) < _HIDDEN:
            return
        usual = [v + camera for v, camera in zip(own, (*self._camera, 0.0, 0.0), strict=True)]
        axis = 0 if missing > 0 else 1
        seen = math.exp(self._state[2 + axis])
        self._state[2 + axis] += abs(missing)
        hidden = math.exp(self._state[2 + axis]) - seen
        # what is seen moves away from what hides the rest
        self._state[axis] -= math.copysign(hidden / 2, self._velocity[axis] - usual[axis])
        self._velocity = usual
        self._box = self._make_box()

    def ride(self, camera: CameraMotion, dt: float, *, seen: bool) -> None:
        """Learn how the camera moved in the last step; a face that was not seen is carried along.

        Its own velocity slows down as before, the camera's is what the camera does now.
        """
        self._rode = True
        x, y = self._state[:2]
        for i, moved in enumerate(camera.at(x - self._velocity[0] * dt, y - self._velocity[1] * dt)):
            change = moved / dt - self._camera[i]
            self._camera[i] += change
            if not seen:
                self._state[i] += change * dt
                self._velocity[i] += change
        if not seen:
            grown = min(max(math.log(max(camera.scale, 0.1)), -0.2), 0.2)
            for i in (2, 3):
                self._state[i] += grown - self._velocity[i] * dt
                self._velocity[i] = 0.0
            self._box = self._make_box()

    def _remember(self, dt: float) -> None:
        x, y, width, height = self._velocity
        own = (x - self._camera[0], y - self._camera[1], width, height)
        known = 1 - self._p11[0] / (_FIRST_VELOCITY[0] * self._units()[0]) ** 2  # of the velocity; nothing at first
        self._recent.add((self._state[2] - self._state[3], *own), dt, max(known, 0.0))

    def _usual(self) -> list[float]:
        """Logarithm of width over height, then what of each velocity is its own, as they were lately."""
        return self._recent.means or [self._state[2] - self._state[3], 0.0, 0.0, 0.0, 0.0]

    def _units(self) -> tuple[float, float, float, float]:
        height = math.exp(min(max(self._state[3], 0.0), _LARGEST))
        return height, height, 1.0, 1.0

    def _make_box(self) -> NDArray[np.float32]:
        x, y = self._state[:2]
        w, h = (math.exp(min(max(side, -1.0), _LARGEST)) / 2 for side in self._state[2:])
        return np.array([x - w, y - h, x + w, y + h], np.float32)


def _measured(box: NDArray[np.float32]) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [(x1 + x2) / 2, (y1 + y2) / 2, math.log(max(x2 - x1, 1.0)), math.log(max(y2 - y1, 1.0))]
