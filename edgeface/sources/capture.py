"""What the sources behind OpenCV's ``VideoCapture`` have in common."""

from __future__ import annotations

import abc
import time
from typing import Any

import numpy as np

from edgeface._opencv import silenced
from edgeface.errors import ImageError, SourceError
from edgeface.frame import Frame
from edgeface.sources.base import Source

__all__ = ["CaptureSource"]


class CaptureSource(Source):
    """Opens a ``cv2.VideoCapture`` and turns what it gives into frames."""

    def __init__(self) -> None:
        self._capture: Any = None
        self._count = 0

    @property
    def _hint(self) -> str:
        """For the error of an opening that fails."""
        return ""

    @abc.abstractmethod
    def _make(self) -> Any:
        """A new ``cv2.VideoCapture``, opened or not."""

    def open(self) -> None:
        self.close()
        try:
            with silenced():
                self._capture = self._make()
            if not self._capture.isOpened():
                raise SourceError(f"source must be one that OpenCV can open, but got {self.name}{self._hint}")
            self._opened()
        except BaseException:
            self.close()
            raise
        self._count = 0

    def read(self) -> Frame | None:
        if self._capture is None:
            raise SourceError(f"source must be open, but got {self.name} closed")
        if not self._capture.grab():
            return self._ended()
        stamp = self._stamp()
        good, picture = self._capture.retrieve()
        number, self._count = self._count, self._count + 1
        if not good or picture is None or picture.size == 0:
            raise ImageError(f"frame {number} of {self.name} must be decodable, but got nothing")
        return self._frame(picture, timestamp_ns=stamp, sequence=number)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _frame(self, picture: np.ndarray[Any, np.dtype[Any]], **stamps: Any) -> Frame:
        return Frame.from_array(picture, "gray" if picture.ndim == 2 else "bgr", **stamps)

    def _ended(self) -> Frame | None:
        """No further frame: the end of a file, the loss of anything else."""
        if self.live:
            raise SourceError(f"source must go on giving frames, but got none from {self.name}")
        return None

    def _opened(self) -> None:
        """Look at what was opened; raise what is wrong with it."""

    def _stamp(self) -> int:
        """Nanoseconds of the frame that was just grabbed."""
        return time.monotonic_ns()
