"""A recording at the pace at which it was taken."""

from __future__ import annotations

import threading
import time

from edgeface.frame import Frame
from edgeface.sources.base import Source

__all__ = ["RealTimeSource"]


class RealTimeSource(Source):
    """Gives the frames of a file when their time stamps say, as a camera would; frames that come late are dropped.

    Args:
        source: whose frames have time stamps, such as a `VideoSource`.
    """

    live = True

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._shift_s: float | None = None

    @property
    def cancelled(self) -> threading.Event:
        return self._source.cancelled

    def open(self) -> None:
        self._source.open()
        self._shift_s = None

    def read(self) -> Frame | None:
        frame = self._source.read()
        if frame is not None and frame.timestamp_ns is not None:
            at = frame.timestamp_ns / 1e9
            now = time.monotonic()
            if self._shift_s is None:
                self._shift_s = now - at
            self.cancelled.wait(max(0.0, at + self._shift_s - now))
        return frame

    def close(self) -> None:
        self._source.close()
