"""Many pictures at once: a folder in, faces out, with a progress bar for whoever waits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgeface.errors import ImageError, InvalidInputError
from edgeface.faces import Faces
from edgeface.images import find_images, read_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeface.engine import FaceEngine

__all__ = ["FileResult", "detect_files"]


class FileResult(NamedTuple):
    """One picture.

    Attributes:
        path: of the file.
        faces: in it; None if it could not be read.
        error: why not; None if it could.
        image: (h, w, 3) uint8 BGR; None unless `images` was asked for and it could be read.
    """

    path: Path
    faces: Faces | None
    error: str | None
    image: NDArray[np.uint8] | None = None


def detect_files(
    engine: FaceEngine,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    progress: bool | None = None,
    min_score: float | None = None,
    images: bool = False,
    max_pixels: int | None = None,
    rotation: int = 0,
    roi: tuple[int, int, int, int] | None = None,
) -> Iterator[FileResult]:
    """Detect in every picture file of some folders.

    Args:
        engine: a `FaceEngine`.
        paths: files and folders; folders with all that is below them, sorted by name.
        progress: show a bar on stderr; if None, only where that is a terminal and there is something to wait for.
        min_score: as of `FaceEngine.detect`.
        images: give the pictures too, for drawing. Off, so that a list of results stays small.
        max_pixels: as of `edgeface.images.read_image`.
        rotation: as of `FaceEngine.detect`.
        roi: as of `FaceEngine.detect`; a picture that does not hold it gives an error.

    Yields:
        One result a picture, in order. Files and folders that cannot be read give their error and do not stop the
        others.

    Raises:
        ImageError: there is no picture.

    Examples:
        >>> for result in detect_files(engine, "photos"):                   # doctest: +SKIP
        ...     print(result.path, result.error or result.faces.boxes)
    """
    places = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files = list(find_images(places))
    if not files:
        raise ImageError(f"paths must hold pictures, but got none in {', '.join(map(str, places))}")
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = console.is_terminal and len(files) > 1 if progress is None else progress
    # older versions of Rich end even a bar that is not shown with a line
    for path in track(files, "detect", console=console, transient=console.is_terminal) if shown else files:
        try:
            image = read_image(path, max_pixels=max_pixels)
            faces = engine.detect(image, color="bgr", rotation=rotation, roi=roi, min_score=min_score)
        except (ImageError, InvalidInputError) as error:  # this file's fault, not the engine's
            yield FileResult(path, None, str(error), None)
        except MemoryError:
            yield FileResult(path, None, f"image must fit into memory, but got {path}", None)
        else:  # outside the handlers: what the caller raises there is not this file's fault
            yield FileResult(path, faces, None, image if images else None)
