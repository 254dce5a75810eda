"""Smoothing of the 68 points of tracked faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.faces import Faces
from edgeface.tracking.smoothing import Smoothing

__all__ = ["PointsSmoother"]

_SPEED_CUTOFF: Final = 4.0  # Hz: of the points' speeds; a blink takes a tenth of a second
_FORGOTTEN_S: Final = 0.5  # a face that was not described for longer begins anew


class PointsSmoother:
    """One-Euro filters of each point of each track. A point's own speed decides, so that eyelids are not held back.

    Args:
        settings: `points_cutoff` and `points_beta` are used; None for no smoothing.
    """

    def __init__(self, settings: Smoothing | None) -> None:
        self._settings = settings
        self._tracks: dict[int, _State] = {}

    def update(self, faces: Faces, now_ns: int) -> Faces:
        """The faces with smoothed `points68` and `points3d`.

        Args:
            faces: with `track_ids`; rows that are not described stay as they are.
            now_ns: time of the frame in nanoseconds.
        """
        if self._settings is None or faces.track_ids is None or not faces.described.any():
            return faces
        points, space = faces.points68.copy(), faces.points3d.copy()
        for i in np.flatnonzero(faces.described):
            track_id = int(faces.track_ids[i])
            # pixels and face widths, all in face widths
            width = _width(faces.points68[i], faces.points3d[i])
            measured = np.concatenate([faces.points68[i] / width, faces.points3d[i]], 1).astype(np.float64)
            state = self._tracks.get(track_id)
            dt = np.inf if state is None else (now_ns - state.now_ns) / 1e9
            if state is None or dt > _FORGOTTEN_S or dt < 0:
                self._tracks[track_id] = _State(measured, now_ns, width)
                continue
            state.rescale(width)
            state.update(measured, max(dt, 1e-3), now_ns, self._settings)
            points[i], space[i] = state.smooth[:, :2] * width, state.smooth[:, 2:]
        return replace(faces, points68=points, points3d=space)

    def keep(self, track_ids: Iterable[int]) -> None:
        """Forget all other tracks."""
        wanted = set(track_ids)
        self._tracks = {track_id: state for track_id, state in self._tracks.items() if track_id in wanted}


def _width(points: NDArray[np.float32], space: NDArray[np.float32]) -> float:
    """Pixels of a face width: how far the points lie from their mean, in both units."""
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum() / max(float((space[:, :2] ** 2).sum()), 1e-6)))


class _State:
    """Of one track: (68, 5) x, y of the frame and x, y, z of the head, in face widths."""

    def __init__(self, measured: NDArray[np.float64], now_ns: int, width: float) -> None:
        self.smooth = self.last = measured
        self.speed = np.zeros_like(measured)
        self.now_ns, self.width = now_ns, width

    def rescale(self, width: float) -> None:
        """To pixels of a face that is now `width` pixels wide."""
        for array in (self.smooth, self.last):
            array[:, :2] *= self.width / width
        self.width = width

    def update(self, measured: NDArray[np.float64], dt: float, now_ns: int, settings: Smoothing) -> None:
        self.speed = self.speed + _weight(_SPEED_CUTOFF, dt) * ((measured - self.last) / dt - self.speed)
        fast = np.linalg.norm(self.speed[:, :2], axis=1, keepdims=True)
        weight = _weight(settings.points_cutoff + settings.points_beta * fast, dt)
        self.smooth = self.smooth + weight * (measured - self.smooth)
        self.last, self.now_ns = measured, now_ns


def _weight(cutoff: NDArray[np.float64] | float, dt: float) -> NDArray[np.float64]:
    """Share of the new value in a low-pass of first order."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * dt)))
