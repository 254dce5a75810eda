"""Time between frames, from their time stamps or from a nominal rate."""

from __future__ import annotations

from edgeface.errors import must_be

__all__ = ["FrameClock"]

# Steps are kept within these: two frames of one time stamp must not divide by zero, and after a long gap the motion of
# before says nothing.
_SHORTEST_S = 1e-3
_LONGEST_S = 1.0


class FrameClock:
    """Turns time stamps into steps.

    Args:
        fps: frames a second where there are no time stamps.

    Raises:
        InvalidInputError: `fps` is not positive.
    """

    def __init__(self, fps: float) -> None:
        if not 0 < fps < 1e6:
            raise must_be("fps", "above 0 frames a second", fps)
        self._nominal_ns = round(1e9 / fps)
        self._stamped: bool | None = None
        #: Nanoseconds; of the last frame.
        self.now = 0

    def advance(self, timestamp_ns: int | None) -> float:
        """Go on to a frame and return the seconds to it from the last one, between 1 ms and 1 s.

        Raises:
            InvalidInputError: the time stamp lies before the last one.
        """
        if timestamp_ns is None or self._stamped is False:
            self._stamped = False  # a clock that is missing once is not trusted again
            self.now += self._nominal_ns
            return self._nominal_ns / 1e9
        if self._stamped is None:
            self._stamped = True
            self.now = timestamp_ns
            return self._nominal_ns / 1e9
        if timestamp_ns < self.now:
            raise must_be(
                "timestamp_ns", f"at least the last frame's {self.now} (Tracker.reset() begins anew)", timestamp_ns
            )
        step = (timestamp_ns - self.now) / 1e9
        self.now = timestamp_ns
        return min(max(step, _SHORTEST_S), _LONGEST_S)

    def reset(self) -> None:
        """Take any next time stamp."""
        self._stamped = None
