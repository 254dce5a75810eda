"""Video files and network streams: FFmpeg, through OpenCV."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from edgeface.errors import must_be
from edgeface.frame import Frame
from edgeface.sources.capture import CaptureSource

__all__ = ["NetworkSource", "VideoSource"]


class VideoSource(CaptureSource):
    """A video file. Every frame is given, stamped with its time in the file, upright if the file says how.

    Args:
        path: of the file.
        loop: begin again at the end; time stamps go on.
    """

    live = False

    def __init__(self, path: str | os.PathLike[str], *, loop: bool = False) -> None:
        super().__init__()
        self.name = os.fspath(path)
        self._loop = loop
        self._passed_ms = self._last_ms = 0.0

    def _make(self) -> Any:
        import cv2

        self._passed_ms = self._last_ms = 0.0
        return cv2.VideoCapture(self.name)

    def _ended(self) -> Frame | None:
        import cv2

        if not self._loop or not self._count:
            return None
        # a step of one frame, by the file's own rate
        rate = float(self._capture.get(cv2.CAP_PROP_FPS)) or 30.0
        self._capture.release()
        self._capture = cv2.VideoCapture(self.name)
        self._passed_ms = self._last_ms + 1000 / rate
        self._count = 0
        return self.read() if self._capture.isOpened() else None

    def _position_ms(self) -> float:
        self._last_ms = self._passed_ms + super()._position_ms()
        return self._last_ms


class NetworkSource(CaptureSource):
    """An RTSP, RTMP, HTTP (MJPEG) or UDP stream.

    Args:
        address: as FFmpeg takes it.
        transport: "tcp" or "udp", of RTSP. UDP is a little earlier, TCP loses nothing.
        timeout: seconds to wait for the connection and for each frame.

    Raises:
        InvalidInputError: an argument out of range.
    """

    live = True

    def __init__(self, address: str, *, transport: str = "tcp", timeout: float = 5.0) -> None:
        super().__init__()
        if transport not in ("tcp", "udp"):
            raise must_be("transport", "tcp or udp", repr(transport))
        if not timeout > 0:
            raise must_be("timeout", "above 0 seconds", timeout)
        self.name = address
        self._transport = transport
        self._timeout_ms = max(1, round(timeout * 1000))

    def _make(self) -> Any:
        import cv2

        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._timeout_ms]
        with _ffmpeg_options(f"rtsp_transport;{self._transport}|fflags;nobuffer"):
            return cv2.VideoCapture(self.name, cv2.CAP_FFMPEG, limits)


_OPTIONS: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_opening = threading.Condition()
_users = 0


@contextmanager
def _ffmpeg_options(options: str) -> Iterator[None]:
    """FFmpeg's options can be given to OpenCV by an environment variable only: set while streams are opened that
    want the same, since the next may want others. What the user has set there stays.
    """
    global _users  # noqa: PLW0603 - the environment is global too
    with _opening:
        _opening.wait_for(lambda: not _users or os.environ.get(_OPTIONS) == options)
        mine = _users > 0 or _OPTIONS not in os.environ
        if mine:
            os.environ[_OPTIONS] = options
            _users += 1
    try:
        yield
    finally:
        if mine:
            with _opening:
                _users -= 1
                if not _users:
                    os.environ.pop(_OPTIONS, None)
                _opening.notify_all()
