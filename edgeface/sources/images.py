"""Picture files as a stream of frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgeface.errors import SourceError, must_be
from edgeface.frame import Frame
from edgeface.images import find_images, read_image
from edgeface.sources.base import Source

__all__ = ["ImagesSource"]


class ImagesSource(Source):
    """A folder of pictures (sorted by name, subfolders too), one picture, or a list of them. Every one is given.

    Args:
        paths: files and folders.
        fps: frames a second that the time stamps pretend.
        loop: begin again after the last one.
    """

    live = False

    def __init__(
        self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, fps: float = 30.0, loop: bool = False
    ) -> None:
        if not 0 < fps < 1e6:
            raise must_be("fps", "above 0", fps)
        self._paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self._step_ns = round(1e9 / fps)
        self._loop = loop
        self._left: Iterator[Path] = iter(())
        self._files: list[Path] = []
        self._count, self._some = 0, False
        self.name = ", ".join(map(str, self._paths[:3]))

    def open(self) -> None:
        files = list(find_images(self._paths))
        if not files:
            raise SourceError(f"source must hold pictures, but got none in {self.name}")
        self._files = files
        self._left = iter(files)
        self._count, self._some = 0, False

    def read(self) -> Frame | None:
        path = next(self._left, None)
        if path is None and self._loop and self._some:
            self._left, self._some = iter(self._files), False
            path = next(self._left, None)
        if path is None:
            return None
        number, self._count = self._count, self._count + 1
        frame = Frame.from_array(read_image(path), "bgr", timestamp_ns=number * self._step_ns, sequence=number)
        self._some = True  # a round without a picture that can be read is the last one
        return frame

    def close(self) -> None:
        self._left = iter(())
        self._some = False
