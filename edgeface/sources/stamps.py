"""Time stamps of files: what containers say is often missing, in decoding order, or nonsense."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["RisingStamps"]

# No recording pauses for longer; a larger step is a damaged stamp, which must not shift all that follow.
_LONGEST_STEP_MS: Final = 24 * 3600e3
_SLOWEST_FPS, _FASTEST_FPS = 0.01, 1000.0
_USUAL_FPS: Final = 30.0


class RisingStamps:
    """Finite, rising time stamps: a container's where they can be, frames counted at its rate where they cannot.

    Args:
        fps: frames a second of the container; 30 is taken for a rate that cannot be true.

    Examples:
        >>> stamps = RisingStamps(fps=10)
        >>> [stamps.next(ms) for ms in (0.0, 100.0, float("nan"), 0.0, 400.0)]
        [0, 100000000, 200000000, 300000000, 400000000]
    """

    def __init__(self, fps: float) -> None:
        self._step_ms = 1000 / (fps if _SLOWEST_FPS <= fps <= _FASTEST_FPS else _USUAL_FPS)
        self._last_ms: float | None = None
        self._shift_ms: float | None = None

    def next(self, position_ms: float) -> int:
        """The stamp of the next frame.

        Args:
            position_ms: what the container says, in milliseconds; any number.

        Returns:
            Nanoseconds, at least 0, greater than the last one.
        """
        if self._shift_ms is None and math.isfinite(position_ms) and abs(position_ms) < _LONGEST_STEP_MS:
            # the first one that can be believed: before 0, or where frames were counted already, it is moved
            start = 0.0 if self._last_ms is None else self._last_ms + self._step_ms
            self._shift_ms = max(0.0, start - position_ms)
        at = position_ms + (self._shift_ms or 0.0)
        before = -math.inf if self._last_ms is None else self._last_ms
        counted = 0.0 if self._last_ms is None else self._last_ms + self._step_ms
        if not (math.isfinite(at) and max(before + 1e-3, 0.0) <= at <= counted + _LONGEST_STEP_MS):
            at = counted
        self._last_ms = at
        return round(at * 1e6)

    def restart(self) -> None:
        """The container begins again (a loop): its positions do, the stamps go on."""
        self._shift_ms = None
