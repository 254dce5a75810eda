"""Many pictures at once: a folder in, faces out, with a progress bar for whoever waits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgeface.errors import ImageError
from edgeface.faces import Faces
from edgeface.images import find_images, read_image

if TYPE_CHECKING:
    from edgeface.engine import FaceEngine

__all__ = ["FileResult", "detect_files"]


class FileResult(NamedTuple):
    """One picture.

    Attributes:
        path: of the file.
        faces: in it; None if it could not be read.
        error: why not; None if it could.
    """

    path: Path
    faces: Faces | None
    error: str | None


def detect_files(
    engine: FaceEngine,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    progress: bool | None = None,
    min_score: float | None = None,
) -> Iterator[FileResult]:
    """Detect in every picture file of some folders.

    Args:
        engine: a `FaceEngine`.
        paths: files and folders; folders with all that is below them, sorted by name.
        progress: show a bar on stderr; only where that is a terminal if None.
        min_score: as of `FaceEngine.detect`.

    Yields:
        One result a picture, in order. Files that cannot be read give their error and do not stop the others.

    Raises:
        ImageError: there is no picture.

    Example:
        >>> for path, faces, error in detect_files(engine, "photos"):        # doctest: +SKIP
        ...     print(path, error or faces.boxes)
    """
    files = list(find_images([paths] if isinstance(paths, (str, os.PathLike)) else paths))
    if not files:
        raise ImageError("paths must hold pictures, but got none")
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = console.is_terminal if progress is None else progress
    for path in track(files, "detect", console=console, transient=console.is_terminal, disable=not shown):
        try:
            yield FileResult(path, engine.detect(read_image(path), color="bgr", min_score=min_score), None)
        except ImageError as error:
            yield FileResult(path, None, str(error))
