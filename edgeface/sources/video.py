"""Video files and network streams: FFmpeg, through OpenCV."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeface._opencv import opencv
from edgeface.errors import must_be
from edgeface.frame import Frame
from edgeface.sources.capture import CaptureSource
from edgeface.sources.redaction import hide_secrets
from edgeface.sources.stamps import RisingStamps

__all__ = ["NetworkSource", "VideoSource"]


class VideoSource(CaptureSource):
    """A video file. Every frame is given, upright if the file says how.

    Time stamps are the container's while they rise, and frames counted at its rate where they do not.

    Args:
        path: of the file.
        loop: begin again at the end; time stamps go on.
    """

    live = False

    def __init__(self, path: str | os.PathLike[str], *, loop: bool = False) -> None:
        super().__init__()
        self.name = os.fspath(path)
        self._loop = loop
        self._stamps = RisingStamps(0)
        self._some = False  # whether this round had a frame that could be decoded

    @property
    def _hint(self) -> str:
        there = "%" in self.name or Path(self.name).exists()  # a pattern such as shot%03d.jpg names many files
        return " (is it a video? for bare frames say their color and size)" if there else ": no such file"

    @property
    def fps(self) -> float:
        """Frames a second as the container says, while it is open; 0 if it does not."""
        return self._number("CAP_PROP_FPS")

    @property
    def frame_count(self) -> int | None:
        """Frames of the whole file as the container estimates, while it is open; None if it does not."""
        return round(self._number("CAP_PROP_FRAME_COUNT")) or None

    def _number(self, name: str) -> float:
        import cv2

        value = 0.0 if self._capture is None else float(self._capture.get(getattr(cv2, name)))
        return value if 0 < value < 1e12 else 0.0

    def _make(self) -> Any:
        cv2 = opencv()

        return cv2.VideoCapture(self.name)

    def _opened(self) -> None:
        cv2 = opencv()

        self._stamps = RisingStamps(float(self._capture.get(cv2.CAP_PROP_FPS)))
        self._some = False

    def _frame(self, picture: np.ndarray[Any, np.dtype[Any]], **stamps: Any) -> Frame:
        self._some = True
        return super()._frame(picture, **stamps)

    def _ended(self) -> Frame | None:
        if not self._loop or not self._some:
            return None
        self._capture.release()
        self._capture = self._make()
        self._stamps.restart()
        self._count, self._some = 0, False
        return self.read() if self._capture.isOpened() else None

    def _stamp(self) -> int:
        cv2 = opencv()

        return self._stamps.next(float(self._capture.get(cv2.CAP_PROP_POS_MSEC)))


class NetworkSource(CaptureSource):
    """An RTSP, RTMP, HTTP (MJPEG) or UDP stream.

    Args:
        address: as FFmpeg takes it. `name` is the address without passwords.
        transport: "tcp" or "udp", of RTSP. UDP is a little earlier, TCP loses nothing.
        timeout: seconds to wait for the connection and for each frame.

    Raises:
        InvalidInputError: an argument out of range.
    """

    live = True

    @property
    def _hint(self) -> str:
        return " (is the address right, the camera reachable, the login known to it?)"

    def __init__(self, address: str, *, transport: str = "tcp", timeout: float = 5.0) -> None:
        super().__init__()
        if transport not in ("tcp", "udp"):
            raise must_be("transport", "tcp or udp", repr(transport))
        if not 0 < timeout < 1e6:
            raise must_be("timeout", "above 0 seconds", timeout)
        self._address = _lower_scheme(address)
        # in the name of the address no login is left; blanks and quotes would end what is taken for one
        self.name = hide_secrets(re.sub(r"[\s\"']", "_", self._address))
        self._transport = transport
        self._timeout_ms = max(1, round(timeout * 1000))

    def _make(self) -> Any:
        cv2 = opencv()

        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._timeout_ms]
        with _ffmpeg_options(f"rtsp_transport;{self._transport}|fflags;nobuffer"):
            return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, limits)


def _lower_scheme(address: str) -> str:
    """FFmpeg knows protocols in lower case only; people and cameras write RTSP:// too."""
    scheme, separator, rest = address.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


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
