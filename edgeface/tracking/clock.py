"""Time between frames, from their time stamps or from a nominal rate."""

from __future__ import annotations

from typing import Final

from edgeface.errors import must_be
from edgeface.numerals import is_number
from edgeface.stamps import checked_stamp

__all__ = ["FrameClock", "Timeline"]

# Steps are kept within these: two frames of one time stamp must not divide by zero, and after a long gap the motion of
# before says nothing.
_SHORTEST_S: Final = 1e-3
_LONGEST_S: Final = 1.0
# A stamp that lies back by no more is of a frame out of order; one that lies back by more is of another clock.
_DISORDER_NS: Final = 200_000_000


class FrameClock:
    """Turns time stamps into steps on a time line of its own, which always rises.

    Args:
        fps: frames a second where there are no time stamps.

    Raises:
        InvalidInputError: `fps` is not positive.
    """

    def __init__(self, fps: float) -> None:
        if not is_number(fps) or not 1e-6 < fps < 1e6:
            raise must_be("fps", "above 0 frames a second", repr(fps))
        #: Nanoseconds between frames without time stamps.
        self.nominal_ns = round(1e9 / fps)
        #: Nanoseconds; of the last frame, on the clock's own line.
        self.now = 0
        self._stamp: int | None = None
        self._offset = 0  # from stamps to the own line

    def is_another(self, timestamp_ns: int | None) -> bool:
        """Whether a time stamp lies so far back that it must be of another clock, or of one that was set back."""
        return timestamp_ns is not None and self._stamp is not None and self._stamp - timestamp_ns > _DISORDER_NS

    def advance(self, timestamp_ns: int | None) -> float:
        """Go on to a frame and return the seconds to it from the last one, between 1 ms and 1 s.

        Frames without a stamp, and with the one of the last frame, are counted by the nominal rate.

        Raises:
            InvalidInputError: the time stamp lies before the last one, or is no integer of nanoseconds.
        """
        stamp = checked_stamp(timestamp_ns)
        step = self.nominal_ns
        if stamp is not None and self._stamp is not None:
            if stamp < self._stamp:
                raise must_be(
                    "timestamp_ns",
                    f"at least the last frame's {self._stamp} ns, in order (Tracker.reset() begins anew)",
                    stamp,
                )
            if stamp > self._stamp:
                ahead = stamp + self._offset - self.now
                step = ahead if ahead > 0 else stamp - self._stamp
        self.now += step
        if stamp is not None and stamp != self._stamp:
            self._stamp, self._offset = stamp, self.now - stamp
        return min(max(step / 1e9, _SHORTEST_S), _LONGEST_S)

    def reset(self) -> None:
        """Take any next time stamp."""
        self._stamp = None


class Timeline:
    """The times of a stream's frames, as its tracker can use them whatever the source says.

    A frame that comes late by up to 0.2 s, in the order of decoding for example, counts as of the last frame's time.
    Frames of a live source that gives no stamps count as of their arrival, so that an outage is seen.

    Args:
        live: whether the source gives frames as time goes by.

    Examples:
        >>> timeline = Timeline(live=False)
        >>> [timeline.time_of(stamp, 0.0) for stamp in (0, 66_000_000, 33_000_000, 99_000_000)]
        [0, 66000000, 66000000, 99000000]
    """

    def __init__(self, live: bool) -> None:
        self._live = live
        self._last: int | None = None

    def time_of(self, timestamp_ns: int | None, arrived_s: float) -> int | None:
        """Nanoseconds of a frame with this stamp that arrived at this time of ``time.monotonic``; None to count it."""
        if timestamp_ns is None:
            return round(arrived_s * 1e9) if self._live and self._last is None else None
        if self._last is None or timestamp_ns > self._last or self._last - timestamp_ns > _DISORDER_NS:
            self._last = timestamp_ns
        return self._last
