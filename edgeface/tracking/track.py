"""One tracked face: its motion, its smoothed shape, its best shot."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.faces import Face, Faces
from edgeface.frame import Frame
from edgeface.tracking.best_shot import BestShot, rank, take
from edgeface.tracking.camera import CameraMotion
from edgeface.tracking.motion import BoxMotion
from edgeface.tracking.smoothing import FaceSmoother, Smoothing

__all__ = ["Track"]

# A better shot has to be this much better: copying a crop at every flicker of the score costs more than it brings.
_BETTER_BY: Final = 0.02
# How far from its prediction a face is looked for: by the motion model's uncertainty (large where the velocity is not
# known yet, or the last detection is long ago), for an unseen face more every second, and at most so far.
_SPREAD: Final = 6.0
_DRIFT: Final = 2.0
_FARTHEST: Final = 4.0


class Track:
    """Mutable state of one track; `Tracker` decides, this remembers.

    Args:
        face: the first detection.
        now: time of its frame in nanoseconds.
        smoothing: None for none.
    """

    def __init__(self, face: Face, now: int, smoothing: Smoothing | None) -> None:
        self.track_id = 0
        self.face = face
        self.motion = BoxMotion(face.box)
        self.hits = 1
        self.missed = False
        self.first_seen = self.last_seen = now
        self.best: BestShot | None = None
        self._smoother = None if smoothing is None else FaceSmoother(smoothing, *_measured(face))
        self.points, self.rotation = _measured(face)
        self._smoothed_at = now

    @property
    def confirmed(self) -> bool:
        """Whether it is reported and has an id."""
        return self.track_id > 0

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """(5, 2): the last ones, moved with the predicted box."""
        old, new = self.face.box, self.motion.box
        scale = (new[2:] - new[:2]) / np.maximum(old[2:] - old[:2], 1e-6)
        return np.asarray((self.face.landmarks - old[:2]) * scale + new[:2], np.float32)

    def confirm(self, track_id: int) -> None:
        """Begin to report it."""
        self.track_id = track_id

    def reach(self, now: int) -> float:
        """How far from its prediction the face may be, at least 1 (see `association.similarity`)."""
        drift = _DRIFT * (now - self.last_seen) / 1e9 if self.missed else 0.0
        return min(1.0 + _SPREAD * self.motion.uncertainty + drift, _FARTHEST)

    def predict(self, dt: float) -> None:
        """Move on by `dt` seconds without a measurement."""
        before = self.motion.box
        self.motion.predict(dt, coasting=self.missed)
        self._move(before)

    def shift(self, box: NDArray[np.float32]) -> None:
        """Take in a box that was followed, not detected."""
        before = self.motion.box
        self.motion.correct(box, trust=0.5)
        self._move(before)

    def ride(self, camera: CameraMotion, dt: float) -> None:
        """Take in how the camera moved."""
        before = self.motion.box
        self.motion.ride(camera, dt, seen=not self.missed)
        if self.missed:
            self._move(before)

    def correct(self, face: Face, now: int) -> None:
        """Take in a detection."""
        returned = self.missed
        self.motion.correct(face.box)
        self.face = face
        self.hits += 1
        self.missed = False
        self.last_seen = now
        points, rotation = _measured(face)
        if self._smoother is None:
            self.points, self.rotation = points, rotation
        elif returned:  # nothing is known of the way between: begin anew where it is
            self._smoother = FaceSmoother(self._smoother.settings, points, rotation)
            self.points, self.rotation = points, rotation
        else:
            self._smoother.update(points, rotation, max((now - self._smoothed_at) / 1e9, 1e-3))
            self.points, self.rotation = self._smoother.points, self._smoother.rotation
        self._smoothed_at = now

    def miss(self) -> None:
        """Not found in a frame that was searched."""
        if not self.missed:
            self.motion.lose()
        self.missed = True

    def consider(self, face: Face, faces: Faces, frame: Frame | None) -> None:
        """Keep the face's picture if it is the best so far."""
        value = rank(face, faces.size)
        if self.best is None or value > self.best.rank + _BETTER_BY:
            self.best = take(self.track_id, face, value, frame, (faces.timestamp_ns, faces.sequence))

    def _move(self, before: NDArray[np.float32]) -> None:
        """Carry the reported points along with the predicted box, from where they were reported last."""
        left, top, right, bottom = before.tolist()
        x1, y1, x2, y2 = self.motion.box.tolist()
        scale = (y2 - y1) / max(bottom - top, 1e-6)
        about, centre = np.array([left + right, top + bottom]) / 2, np.array([x1 + x2, y1 + y2]) / 2
        self.points = (self.points - about) * scale + centre


def _measured(face: Face) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = np.concatenate([face.box.reshape(2, 2), face.landmarks]).astype(np.float64)
    return points, face.rotation.astype(np.float64)
