"""Bare frames, one after the other, from a file, a pipe or standard input:

What drivers dump and ``rpicam-vid`` writes.
"""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgeface.errors import ImageError, SourceError, must_be
from edgeface.frame import Frame, checked_size
from edgeface.sources.base import Source
from edgeface.sources.layout import color_options, frame_length

__all__ = ["RawSource"]

_STDIN: Final = 0
# How long a read waits before it looks whether it should stop.
_POLL_MS: Final = 200


class RawSource(Source):
    """Frames of one format and size without headers.

    Args:
        path: a file, named pipe or device; "-" for standard input.
        color: as of a `Frame`.
        size: (width, height) in pixels.
        fps: that the time stamps of a file pretend; frames of a pipe are stamped when they arrive.
        loop: begin again at the end of a file.
        strides: bytes from row to row, one a plane; packed rows if left out.
        offsets: byte of the frame where each plane begins, one a plane; one after the other if left out.
        matrix: as of a `Frame`, for YUV formats.
        range: as of a `Frame`, for YUV formats.

    Raises:
        InvalidInputError: an argument out of range.

    Examples:
        A Raspberry Pi camera, without OpenCV's help::

            rpicam-vid -t 0 -n --codec yuv420 --width 640 --height 480 -o - | python my_program.py

        with ``RawSource("-", color="i420", size=(640, 480))`` in the program.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        color: str,
        size: tuple[int, int],
        fps: float = 30.0,
        loop: bool = False,
        strides: Sequence[int] | None = None,
        offsets: Sequence[int] | None = None,
        matrix: str | None = None,
        range: str | None = None,  # noqa: A002 - as of a Frame
    ) -> None:
        if not 0 < fps < 1e6:
            raise must_be("fps", "above 0", fps)
        self._colors = color_options(color, matrix, range)
        self._color, self._size, self._strides, self._offsets = color, checked_size(size), strides, offsets
        self._length = frame_length(color, self._size, strides, offsets)
        self.name = os.fspath(path)
        self.live = self._is_stream()
        self._step_ns = round(1e9 / fps)
        self._loop = loop and not self.live
        self._file: io.FileIO | None = None
        self._poll = select.poll()
        self._count = 0

    def open(self) -> None:
        self.close()
        try:
            if self.name == "-":
                # its descriptor, and never Python's buffer of it: a thread that waits there aborts the program's end.
                # Not ours to close: later frames come from the same one
                self._file = io.FileIO(_STDIN, "rb", closefd=False)
            else:
                # a named pipe that nobody writes to yet must not hang the opening
                self._file = io.FileIO(self.name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
        except (OSError, ValueError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"source must be a readable file, but got {self.name}: {reason}") from None
        self._poll = select.poll()
        self._poll.register(self._file.fileno(), select.POLLIN)
        self._count = 0

    def read(self) -> Frame | None:
        if self._file is None:
            raise SourceError(f"source must be open, but got {self.name} closed")
        data = self._bytes()
        if not data and self._loop and self._count:
            self._file.seek(0)
            data = self._bytes()
        if not data or (len(data) < self._length and self.cancelled.is_set()):
            return None
        if len(data) != self._length:
            raise ImageError(
                f"frame {self._count} of {self.name} must be {self._length} bytes long, but got {len(data)}"
            )
        number, self._count = self._count, self._count + 1
        return Frame.from_buffer(
            data,
            self._color,
            self._size,
            strides=self._strides,
            offsets=self._offsets,
            timestamp_ns=time.monotonic_ns() if self.live else number * self._step_ns,
            sequence=number,
            **self._colors,
        )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _bytes(self) -> memoryview:
        """One frame, or less of it at the end or once `cancelled` is set."""
        assert self._file is not None
        memory = memoryview(bytearray(self._length))
        got = 0
        while got < self._length and not self.cancelled.is_set():
            if not self._poll.poll(_POLL_MS):
                continue
            try:
                more = self._file.readinto(memory[got:])
            except OSError as error:
                raise SourceError(
                    f"source must go on giving frames, but got {error.strerror} from {self.name}"
                ) from None
            if more is None:  # another reader of the pipe was faster
                continue
            if not more:
                break
            got += more
        return memory[:got]

    def _is_stream(self) -> bool:
        """Whether frames come at their own pace: from anything but a regular file."""
        try:
            status = os.fstat(_STDIN) if self.name == "-" else Path(self.name).stat()
        except (OSError, ValueError):
            return self.name == "-"
        return not stat.S_ISREG(status.st_mode)
