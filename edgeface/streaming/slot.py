"""Where the capture thread leaves frames, and the other side takes them."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from edgeface.frame import Frame

__all__ = ["FrameSlot", "Taken"]


class Taken(NamedTuple):
    """A frame, when it arrived (`time.monotonic`), and how many were replaced since the last one was taken."""

    frame: Frame
    arrived: float
    dropped: int


class FrameSlot:
    """Holds the latest frame only, or, for sources that do not run away, a few of them while the writer waits.

    Args:
        latest: a new frame replaces one that nobody took.
    """

    def __init__(self, latest: bool) -> None:
        self._latest = latest
        self._frames: deque[tuple[Frame, float]] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._closed = False

    def put(self, frame: Frame) -> bool:
        """Leave a frame; False once `close` was called. Waits for room unless the latest wins.

        Returns:
            Whether it was taken in.
        """
        with self._changed:
            if self._latest:
                self._dropped += len(self._frames)
                self._frames.clear()
            else:
                self._changed.wait_for(lambda: self._closed or len(self._frames) < 2)
            if self._closed:
                return False
            self._frames.append((frame, time.monotonic()))
            self._changed.notify_all()
            return True

    def take(self, timeout: float | None) -> Taken | None:
        """Wait for a frame; None after `timeout` seconds, or at once when none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frames, timeout)
            if not self._frames:
                return None
            frame, arrived = self._frames.popleft()
            dropped, self._dropped = self._dropped, 0
            self._changed.notify_all()
            return Taken(frame, arrived, dropped)

    @property
    def exhausted(self) -> bool:
        """Whether `take` will give no more."""
        with self._changed:
            return self._closed and not self._frames

    def close(self, *, discard: bool) -> None:
        """No more frames will come; `discard` those that are there."""
        with self._changed:
            self._closed = True
            if discard:
                self._frames.clear()
            self._changed.notify_all()
