"""Where ``edgeface detect --save`` writes: names of their own, and never over what is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeface.errors import ImageError

__all__ = ["SavePlaces"]


class SavePlaces:
    """Hands out paths in a folder, or the one file of a video.

    Args:
        place: a folder, which is made, or the file of the only input.
        is_file: whether it is a file.
        inputs: that must not be replaced.

    Raises:
        ImageError: the folder cannot be made.
    """

    def __init__(self, place: Path, is_file: bool, inputs: Sequence[Path]) -> None:
        folder = place.parent if is_file else place
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"--save must be a folder that can be made, but got {folder}: {error.strerror}") from None
        self._place, self._is_file = place, is_file
        self._taken: set[str] = set()
        self._inputs = {identity for path in inputs if (identity := _identity(path)) is not None}

    def path_for(self, source: Path, suffix: str) -> Path:
        """Where the annotated copy of an input goes.

        Raises:
            ImageError: an input is there.
        """
        if self._is_file:
            path = self._place
        else:
            name, number = f"{source.stem}{suffix}", 1
            while name in self._taken:  # a/x.jpg and b/x.jpg
                number += 1
                name = f"{source.stem}-{number}{suffix}"
            self._taken.add(name)
            path = self._place / name
        if _identity(path) in self._inputs:
            what = "picture" if suffix == ".jpg" else "video"
            raise ImageError(
                f"--save must be a folder where no {what} that is read would be replaced, but got {path.parent}, "
                f"where {path.name} is one of them: take another folder"
            )
        return path


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names and links of a file; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
