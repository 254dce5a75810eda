"""Where a box will be: a Kalman filter of constant velocity for each of its four numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoxMotion"]

# In heights of the face, so that near and far faces are treated alike; logarithms for the sizes, so that a steady zoom
# is a steady velocity. Standard deviations of what the detector reports, and of the acceleration a second.
_MEASURED = np.array([0.03, 0.03, 0.05, 0.05])
_ACCELERATION = np.array([6.0, 6.0, 3.0, 3.0])
_FIRST_VELOCITY = np.array([2.0, 2.0, 1.0, 1.0])
# A face that is no longer seen is taken to slow down over about this many seconds.
_COAST_S = 1.0


class BoxMotion:
    """Position and velocity of one box: centre x, centre y, log width, log height.

    Args:
        box: (4,) x1 y1 x2 y2, finite and at least a pixel wide and high.
    """

    def __init__(self, box: NDArray[np.float32]) -> None:
        self.state = _measured(box)
        self.velocity = np.zeros(4)
        unit = self._unit()
        self._p00 = (_MEASURED * unit) ** 2
        self._p01 = np.zeros(4)
        self._p11 = (_FIRST_VELOCITY * unit) ** 2

    @property
    def box(self) -> NDArray[np.float32]:
        """(4,) x1 y1 x2 y2."""
        x, y = self.state[:2]
        w, h = np.exp(np.clip(self.state[2:], -1, 12)) / 2
        return np.array([x - w, y - h, x + w, y + h], np.float32)

    def predict(self, dt: float, *, coasting: bool = False) -> None:
        """Move on by `dt` seconds; `coasting` slows down, for a face that was not seen in the last frame."""
        unit = self._unit()
        self.state = self.state + self.velocity * dt
        q = (_ACCELERATION * unit) ** 2
        self._p00 = self._p00 + 2 * dt * self._p01 + dt * dt * self._p11 + q * dt**4 / 4
        self._p01 = self._p01 + dt * self._p11 + q * dt**3 / 2
        self._p11 = self._p11 + q * dt * dt
        if coasting:
            self.velocity = self.velocity * np.exp(-dt / _COAST_S)

    def correct(self, box: NDArray[np.float32], *, trust: float = 1.0) -> None:
        """Take in a measured box; `trust` below 1 for one that is less exact than a detection."""
        noise = (_MEASURED * self._unit() / trust) ** 2
        gain0, gain1 = self._p00 / (self._p00 + noise), self._p01 / (self._p00 + noise)
        error = _measured(box) - self.state
        self.state = self.state + gain0 * error
        self.velocity = self.velocity + gain1 * error
        self._p11 = self._p11 - gain1 * self._p01
        self._p00 = (1 - gain0) * self._p00
        self._p01 = (1 - gain0) * self._p01

    def _unit(self) -> NDArray[np.float64]:
        height = float(np.exp(np.clip(self.state[3], 0, 12)))
        return np.array([height, height, 1.0, 1.0])


def _measured(box: NDArray[np.float32]) -> NDArray[np.float64]:
    x1, y1, x2, y2 = (float(v) for v in box)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, np.log(max(x2 - x1, 1.0)), np.log(max(y2 - y1, 1.0))])
