"""Blinks, shut eyes and yawns of tracked faces, as events with times.

They say what a face did, not why: whether somebody is tired, or fit to drive, cannot be told from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeface._compat import StrEnum
from edgeface.errors import must_be
from edgeface.faces import COVER_NAMES, Face, Faces
from edgeface.numerals import is_number
from edgeface.tracking.clock import FrameClock

__all__ = ["EventKind", "EventSettings", "FaceEvent", "FaceEvents"]

_EYES: Final = (slice(36, 42), slice(42, 48))  # of the 68 points, the person's right and left
_MOUTH: Final = slice(48, 68)
_UNSEEN_S: Final = 0.5  # a face that is not described for longer ends what it was doing
_EYES_COVER, _SUNGLASSES, _MOUTH_COVER, _MASK = map(COVER_NAMES.index, ("eyes", "sunglasses", "mouth", "mask"))


class EventKind(StrEnum):
    """What a face did."""

    BLINK = "blink"
    EYES_SHUT = "eyes_shut"
    YAWN = "yawn"


@dataclass(frozen=True, slots=True)
class EventSettings:
    """When something begins and ends. A state begins beyond one threshold and ends beyond the other, so that openness
    that trembles around one of them is one event.

    Attributes:
        eyes_shut: openness of the eyes below which they are shut,
        eyes_open: and above which they are open again.
        blink_s: eyes that are shut for at most so many seconds have blinked; longer is `EventKind.EYES_SHUT`.
        mouth_wide: openness of the mouth above which a yawn may begin,
        mouth_closed: and below which it ends.
        yawn_s: a mouth that is wide open for fewer seconds has not yawned: it spoke, or laughed.
        visible: least mean visibility of an eye's or the mouth's points; what is less visible says nothing.
        covered: probability from which an eye or a mouth counts as covered, and says nothing.

    Raises:
        InvalidInputError: a threshold outside 0 to 1, or a pair in the wrong order; seconds that are not positive.
    """

    eyes_shut: float = 0.35
    eyes_open: float = 0.5
    blink_s: float = 0.5
    mouth_wide: float = 0.6
    mouth_closed: float = 0.4
    yawn_s: float = 1.5
    visible: float = 0.5
    covered: float = 0.5

    def __post_init__(self) -> None:
        for name in ("eyes_shut", "eyes_open", "mouth_wide", "mouth_closed", "visible", "covered"):
            if not is_number(getattr(self, name)) or not 0 <= getattr(self, name) <= 1:
                raise must_be(name, "from 0 to 1", repr(getattr(self, name)))
        for name in ("blink_s", "yawn_s"):
            if not is_number(getattr(self, name)) or not 0 < getattr(self, name) < np.inf:
                raise must_be(name, "above 0 seconds", repr(getattr(self, name)))
        if self.eyes_shut > self.eyes_open:
            raise must_be("eyes_shut", f"at most eyes_open ({self.eyes_open})", self.eyes_shut)
        if self.mouth_closed > self.mouth_wide:
            raise must_be("mouth_closed", f"at most mouth_wide ({self.mouth_wide})", self.mouth_closed)


@dataclass(frozen=True, slots=True)
class FaceEvent:
    """Something that a face did.

    Attributes:
        kind: what.
        track_id: who.
        start_ns: time of the first frame of it, in nanoseconds, on the clock of the time stamps.
        end_ns: time of the first frame after it; None while it lasts.
    """

    kind: EventKind
    track_id: int
    start_ns: int
    end_ns: int | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it lasts."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9


class FaceEvents:
    """Watches the tracked faces of one camera.

    A blink is told when the eyes open again. Shut eyes and a yawn are told twice: once they have lasted long enough
    (`end_ns` None), and when they end. A blink takes 0.1 to 0.4 seconds: frames that are farther apart miss some.

    Args:
        settings: thresholds and times.
        fps: of frames without time stamps.

    Examples:
        >>> events = FaceEvents()
        >>> for image in video:                                                     # doctest: +SKIP
        ...     for event in events.update(engine.track(image, color="bgr")):
        ...         print(event.track_id, event.kind, event.seconds)
    """

    def __init__(self, settings: EventSettings = EventSettings(), *, fps: float = 30.0) -> None:
        if not isinstance(settings, EventSettings):
            raise must_be("settings", "EventSettings", repr(settings))
        self._settings = settings
        self._clock = FrameClock(fps)
        self._offset = 0  # from the clock's line to the stamps
        self._tracks: dict[int, _Watched] = {}

    def update(self, faces: Faces) -> list[FaceEvent]:
        """Take in the next frame.

        Args:
            faces: of `FaceEngine.track` with `points`; faces without an id, and those that are not described, are not
                looked at. Frames whose stamps lie back by more than 0.2 s begin anew.

        Returns:
            What began to count, or ended, with this frame.

        Raises:
            InvalidInputError: a time stamp up to 0.2 s before the last one.
        """
        if self._clock.is_another(faces.timestamp_ns):
            self._clock.reset()
            self._tracks.clear()
        self._clock.advance(faces.timestamp_ns)
        if faces.timestamp_ns is not None:
            self._offset = faces.timestamp_ns - self._clock.now
        now = self._clock.now + self._offset
        told: list[FaceEvent] = []
        for face in faces:
            if face.track_id is not None and face.points68 is not None:
                watched = self._tracks.setdefault(face.track_id, _Watched(face.track_id, now))
                told += watched.update(face, now, self._settings)
        for watched in [w for w in self._tracks.values() if (now - w.seen_ns) / 1e9 > _UNSEEN_S]:
            told += watched.end()
            del self._tracks[watched.track_id]
        return told


class _Lasting:
    """A state with hysteresis, and since when it lasts."""

    def __init__(self) -> None:
        self.since: int | None = None
        self.told = False

    def follow(self, value: float | None, now: int, begins: bool, ends: bool) -> tuple[int, int] | None:
        """Go on to the next value; when it began and ended, where it ended now.

        A value of None says nothing: whether the state goes on cannot be known, so that it is forgotten.
        """
        if value is None:
            self.since, self.told = None, False
            return None
        if self.since is None:
            if begins:
                self.since, self.told = now, False
            return None
        if not ends:
            return None
        ended, self.since = (self.since, now), None
        return ended

    def lasts(self, now: int) -> float:
        """Seconds; 0 where it does not."""
        return 0.0 if self.since is None else (now - self.since) / 1e9


class _Watched:
    """What one track is doing."""

    def __init__(self, track_id: int, now: int) -> None:
        self.track_id, self.seen_ns = track_id, now
        self._eyes, self._mouth = _Lasting(), _Lasting()

    def update(self, face: Face, now: int, settings: EventSettings) -> list[FaceEvent]:
        self.seen_ns = now
        told = []
        openness = _eyes_of(face, settings)
        open_wide, shut = _beyond(openness, settings.eyes_open), _beyond(openness, settings.eyes_shut, below=True)
        ended = self._eyes.follow(openness, now, begins=shut, ends=open_wide)
        if ended is not None:
            brief = not self._eyes.told and (ended[1] - ended[0]) / 1e9 <= settings.blink_s
            told.append(FaceEvent(EventKind.BLINK if brief else EventKind.EYES_SHUT, self.track_id, *ended))
        elif not self._eyes.told and self._eyes.lasts(now) > settings.blink_s:
            told.append(self._begun(EventKind.EYES_SHUT, self._eyes))
        openness = _mouth_of(face, settings)
        wide, closed = _beyond(openness, settings.mouth_wide), _beyond(openness, settings.mouth_closed, below=True)
        ended = self._mouth.follow(openness, now, begins=wide, ends=closed)
        if ended is not None:
            if self._mouth.told or (ended[1] - ended[0]) / 1e9 >= settings.yawn_s:
                told.append(FaceEvent(EventKind.YAWN, self.track_id, *ended))
        elif not self._mouth.told and self._mouth.lasts(now) >= settings.yawn_s:
            told.append(self._begun(EventKind.YAWN, self._mouth))
        return told

    def end(self) -> list[FaceEvent]:
        """The face is gone: what was told to last ended when the face was last seen."""
        states = ((EventKind.EYES_SHUT, self._eyes), (EventKind.YAWN, self._mouth))
        return [
            FaceEvent(kind, self.track_id, state.since, self.seen_ns)
            for kind, state in states
            if state.since is not None and state.told
        ]

    def _begun(self, kind: EventKind, state: _Lasting) -> FaceEvent:
        assert state.since is not None
        state.told = True
        return FaceEvent(kind, self.track_id, state.since, None)


def _beyond(value: float | None, threshold: float, *, below: bool = False) -> bool:
    return value is not None and (value < threshold if below else value > threshold)


def _eyes_of(face: Face, settings: EventSettings) -> float | None:
    """Mean openness of the eyes that can be seen; None where none can."""
    assert face.eyes_open is not None
    assert face.visibility is not None
    assert face.cover is not None
    if max(face.cover[_EYES_COVER], face.cover[_SUNGLASSES]) >= settings.covered:
        return None
    seen = [k for k, points in enumerate(_EYES) if face.visibility[points].mean() >= settings.visible]
    return float(face.eyes_open[seen].mean()) if seen else None


def _mouth_of(face: Face, settings: EventSettings) -> float | None:
    """Openness of the mouth; None where it cannot be seen."""
    assert face.visibility is not None
    assert face.cover is not None
    if max(face.cover[_MOUTH_COVER], face.cover[_MASK]) >= settings.covered:
        return None
    return face.mouth_open if face.visibility[_MOUTH].mean() >= settings.visible else None
