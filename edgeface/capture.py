"""Guided capture: from a live picture to a few good shots of one face, with what the person has to do meanwhile.

A state machine without camera, window or clock of its own: it is given the faces of frame after frame, and says what
to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._compat import StrEnum
from edgeface.errors import must_be
from edgeface.faces import Face, Faces
from edgeface.frame import Frame, as_frame
from edgeface.gate import QualityGate, Reason
from edgeface.numerals import is_number
from edgeface.tracking.best_shot import BestShot, rank, take
from edgeface.tracking.clock import FrameClock

__all__ = ["CaptureState", "CaptureStep", "GuidedCapture", "Hold"]

_LOST_S: Final = 1.0  # a face that is away for longer is another


class CaptureState(StrEnum):
    """How far a capture is."""

    SEARCHING = "searching"
    HOLD_STILL = "hold_still"
    COLLECTING = "collecting"
    DONE = "done"


class Hold(StrEnum):
    """What holds a capture back beside the gate's reasons."""

    NO_FACE = "no_face"
    MOVING = "moving"

    @property
    def advice(self) -> str:
        """What the person in front of the camera can do."""
        return "look into the camera" if self is Hold.NO_FACE else "hold still"


@dataclass(frozen=True, slots=True, eq=False)
class CaptureStep:
    """Where a capture is after a frame.

    Attributes:
        state: of the capture.
        held_by: what holds it back, the first of the gate's reasons or a `Hold`; None where nothing does.
        progress: share of the shots that are taken, 0 to 1.
        face: who is looked at; None where nobody is.
        shots: taken so far, the best first.
    """

    state: CaptureState
    held_by: Reason | Hold | None
    progress: float
    face: Face | None
    shots: tuple[BestShot, ...]

    @property
    def advice(self) -> str | None:
        """What to show to the person; None where they have nothing to do."""
        return None if self.held_by is None else self.held_by.advice


class GuidedCapture:
    """Collects shots of the largest face while it passes a gate and holds still.

    searching → hold_still → collecting → done. A face that fails the gate leads back to searching, one that moves to
    hold_still; shots that were taken are kept while it is the same face. Another face begins anew: one with another
    track id, or, without ids, one elsewhere.

    Args:
        gate: that each shot passes; ``QualityGate.preset("enrol")`` if None.
        shots: how many to take.
        apart_s: seconds between shots, so that they differ.
        still_s: seconds for which the face holds still before the first.
        max_speed: of the face, in widths of its box a second, that still counts as still.
        fps: of frames without time stamps.

    Raises:
        InvalidInputError: a number out of range.

    Examples:
        >>> capture = GuidedCapture(shots=3)
        >>> for image in camera:                                                    # doctest: +SKIP
        ...     step = capture.update(engine.track(image, color="bgr"), image, color="bgr")
        ...     show(image, step.advice, step.progress)
        ...     if step.state is CaptureState.DONE:
        ...         enrol(step.shots[0].aligned)
        ...         break
    """

    def __init__(
        self,
        gate: QualityGate | None = None,
        *,
        shots: int = 3,
        apart_s: float = 0.3,
        still_s: float = 0.5,
        max_speed: float = 0.3,
        fps: float = 30.0,
    ) -> None:
        if gate is not None and not isinstance(gate, QualityGate):
            raise must_be("gate", "a QualityGate or None", repr(gate))
        if isinstance(shots, bool) or not isinstance(shots, int) or not 1 <= shots <= 100:
            raise must_be("shots", "an integer from 1 to 100", repr(shots))
        for name, value in (("apart_s", apart_s), ("still_s", still_s), ("max_speed", max_speed)):
            if not is_number(value) or not 0 <= value < np.inf:
                raise must_be(name, "0 or more", repr(value))
        self._gate = QualityGate.preset("enrol") if gate is None else gate
        self._wanted, self._apart_s, self._still_s, self._max_speed = shots, apart_s, still_s, max_speed
        self._clock = FrameClock(fps)
        self.reset()

    def reset(self) -> None:
        """Begin anew, for the next person."""
        self._clock.reset()
        self._shots: list[BestShot] = []
        self._last: Face | None = None
        self._seen = self._taken = 0
        self._still_since: int | None = None

    def update(
        self, faces: Faces, frame: Frame | NDArray[np.uint8] | None = None, color: str | None = None
    ) -> CaptureStep:
        """Go on by a frame.

        Args:
            faces: of `FaceEngine.track` or `detect`.
            frame: that they were found in: for the gate's tests of light and sharpness, and for the shots' crops.
            color: of a frame that is an array, required.

        Returns:
            What to show. Once done it stays done, whatever comes, until `reset`.

        Raises:
            InvalidInputError: a time stamp up to 0.2 s before the last frame's, an array without its colour, or a frame
                of another size than the faces' one.
        """
        rotated: dict[str, Any] = {} if isinstance(frame, Frame) else {"rotation": faces.rotation}
        seen = None if frame is None else as_frame(frame, color, **rotated)
        if len(self._shots) >= self._wanted:
            return self._step(CaptureState.DONE, None, self._last)
        if self._clock.is_another(faces.timestamp_ns):
            self.reset()
        dt = self._clock.advance(faces.timestamp_ns)
        now = self._clock.now
        usable = faces[np.isfinite(faces.boxes).all(1) & (faces.widths > 0)]
        if not len(usable):
            if self._last is not None and (now - self._seen) / 1e9 > _LOST_S:
                self._forget()
            self._still_since = None
            return self._step(CaptureState.SEARCHING, Hold.NO_FACE, None)
        face = usable[int(np.argmax(usable.widths * usable.heights))]
        if self._last is not None and not _same(self._last, face, (now - self._seen) / 1e9):
            self._forget()
        still = self._last is not None and _speed(self._last, face, dt) <= self._max_speed
        self._last, self._seen = face, now
        # all faces are the gate's: it may want one alone
        index = next(i for i in range(len(faces)) if np.array_equal(faces.boxes[i], face.box))
        report = self._gate.check(faces, seen)[index]
        if not report.passed:
            self._still_since = None
            return self._step(CaptureState.SEARCHING, report.reasons[0], face)
        if not still or self._still_since is None:
            self._still_since = now
        if (now - self._still_since) / 1e9 < self._still_s:
            return self._step(CaptureState.HOLD_STILL, Hold.MOVING, face)
        if not self._shots or (now - self._taken) / 1e9 >= self._apart_s:
            self._taken = now
            stamps = (faces.timestamp_ns, faces.sequence)
            self._shots.append(take(face.track_id or 0, face, rank(face, faces.size), seen, stamps))
        done = len(self._shots) >= self._wanted
        return self._step(CaptureState.DONE if done else CaptureState.COLLECTING, None, face)

    def _forget(self) -> None:
        self._shots.clear()
        self._last = None
        self._still_since = None

    def _step(self, state: CaptureState, held_by: Reason | Hold | None, face: Face | None) -> CaptureStep:
        shots = tuple(sorted(self._shots, key=lambda shot: -shot.rank))
        return CaptureStep(state, held_by, len(self._shots) / self._wanted, face, shots)


def _same(before: Face, face: Face, seconds: float) -> bool:
    """Whether two faces can be the same person's."""
    if before.track_id is not None and face.track_id is not None:
        return before.track_id == face.track_id
    apart = float(np.abs(_centre(face) - _centre(before)).max())
    return seconds <= _LOST_S and apart < max(before.width, face.width) * (0.5 + 2 * seconds)


def _speed(before: Face, face: Face, dt: float) -> float:
    """Of the face's middle and of its growth, in its widths a second."""
    moved = float(np.linalg.norm(_centre(face) - _centre(before)))
    return max(moved, abs(face.width - before.width)) / (max(face.width, 1e-6) * dt)


def _centre(face: Face) -> NDArray[np.float64]:
    return np.asarray((face.box[:2].astype(np.float64) + face.box[2:]) / 2)
