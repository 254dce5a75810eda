"""Bare frames, one after the other, from a file, a pipe or standard input:

What drivers dump and ``rpicam-vid`` writes.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from edgeface.errors import ImageError, SourceError, must_be
from edgeface.frame import Frame
from edgeface.sources.base import Source

__all__ = ["RawSource"]


class RawSource(Source):
    """Frames of one format and size without headers.

    Args:
        path: a file or named pipe; "-" for standard input.
        color: as of a `Frame`.
        size: (width, height) in pixels.
        fps: that the time stamps of a file pretend; frames of a pipe are stamped when they arrive.
        loop: begin again at the end of a file.
        strides: bytes from row to row, one a plane; packed rows if left out.

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
    ) -> None:
        if not fps > 0:
            raise must_be("fps", "above 0", fps)
        self.name = os.fspath(path)
        self.live = self.name == "-" or (Path(path).exists() and not stat.S_ISREG(Path(path).stat().st_mode))
        self._color, self._size, self._strides = color, size, strides
        self._step_ns = round(1e9 / fps)
        self._loop = loop and not self.live
        self._length = _frame_bytes(color, size, strides)
        self._file: BinaryIO | None = None
        self._count = 0

    def open(self) -> None:
        self.close()
        try:
            # standard input is not ours to close: later frames come from the same one
            self._file = sys.stdin.buffer if self.name == "-" else Path(self.name).open("rb")  # noqa: SIM115
        except OSError as error:
            raise SourceError(f"source must be a readable file, but got {self.name}: {error.strerror}") from None
        self._count = 0

    def read(self) -> Frame | None:
        if self._file is None:
            raise SourceError(f"source must be open, but got {self.name} closed")
        data = self._file.read(self._length)
        if not data and self._loop and self._count:
            self._file.seek(0)
            data = self._file.read(self._length)
        if not data:
            return None
        if len(data) != self._length:
            raise ImageError(
                f"frame {self._count} of {self.name} must be {self._length} bytes long, but got {len(data)}"
            )
        number, self._count = self._count, self._count + 1
        stamp = time.monotonic_ns() if self.live else number * self._step_ns
        return Frame.from_buffer(
            data, self._color, self._size, strides=self._strides, timestamp_ns=stamp, sequence=number
        )

    def close(self) -> None:
        if self._file is not None and self.name != "-":
            self._file.close()
        self._file = None


def _frame_bytes(color: str, size: tuple[int, int], strides: Sequence[int] | None) -> int:
    """Bytes of one frame, from the first row of its first plane to the end of the last row's padding."""
    width, height = size
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    packed = {"bgr": 3, "rgb": 3, "gray": 1, "yuyv": 2, "uyvy": 2}
    if color in packed:
        shapes = [(height, packed[color] * width)]
    elif color == "i420":
        shapes = [(height, width), (half_h, half_w), (half_h, half_w)]
    else:
        shapes = [(height, width), (half_h, 2 * half_w)]
    if strides is not None and len(strides) != len(shapes):
        raise must_be("strides", f"{len(shapes)} numbers for {color}", len(strides))
    steps = [row for _, row in shapes] if strides is None else strides
    return sum(step * rows for step, (rows, _) in zip(steps, shapes, strict=True))
