"""Video files of pictures: FFmpeg, through OpenCV."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ImageError, must_be
from edgeface.numerals import is_number
from edgeface.pictures import check_picture

if TYPE_CHECKING:
    from typing import Self

__all__ = ["VideoWriter"]

#: Container -> codec that every build of OpenCV has.
CODECS: Final = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_USUAL_FPS: Final = 30.0


class VideoWriter:
    """Writes BGR pictures of one size at a constant rate, without sound. Closing it makes the file playable.

    A program that is killed leaves an .mp4 without its index, which no player opens. An .mkv can be played as far as it
    was written.

    Args:
        path: ends in .mp4, .m4v, .mov, .mkv or .avi; a file there is replaced.
        fps: frames a second; 30 for a rate that cannot be true.

    Raises:
        ImageError: another suffix.
        InvalidInputError: `fps` is no number.

    Examples:
        >>> with VideoWriter("out.mp4", 25) as writer:                               # doctest: +SKIP
        ...     writer.write(np.zeros((480, 640, 3), np.uint8))
    """

    def __init__(self, path: str | os.PathLike[str], fps: float = _USUAL_FPS) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in CODECS:
            raise ImageError(f"video must be written as one of {', '.join(CODECS)}, but got {self.path.name}")
        if not is_number(fps):
            raise must_be("fps", "frames a second", repr(fps))
        self._fps = fps if 0.01 <= fps <= 1000 else _USUAL_FPS
        self._writer: Any = None
        self._closed = False
        self._size = (0, 0)
        self._written = 0

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a picture; one of another size than the first is stretched to that.

        Args:
            picture: (h, w, 3) uint8, BGR.

        Raises:
            ImageError: the file cannot be written, or is complete.
            InvalidInputError: not such a picture.
        """
        import cv2

        check_picture(picture)  # FFmpeg leaves others out
        if self._closed:  # it would begin anew, over what is complete
            raise ImageError(f"video must be written before its writer is closed, but got a picture for {self.path}")
        size = (picture.shape[1], picture.shape[0])
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            writer = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, codec, self._fps, size)
            if not writer.isOpened():
                raise ImageError(f"video must be written to a writable file, but got {self.path}")
            self._writer, self._size = writer, size
        if size != self._size:
            picture = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(picture)
        self._written += 1

    def close(self) -> None:
        """Complete the file. May be called more than once.

        Raises:
            ImageError: the file cannot be read back, as after a full disk.
        """
        import cv2

        self._closed = True
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        check = cv2.VideoCapture(str(self.path))
        frames = check.get(cv2.CAP_PROP_FRAME_COUNT) if check.isOpened() else 0
        check.release()
        if frames < self._written - 1:  # the writer itself says nothing
            raise ImageError(
                f"video must be written whole ({self._written} frames), but got {max(0, round(frames))} "
                f"in {self.path}: is the disk full?"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ImageError:
            if error is None:
                raise
