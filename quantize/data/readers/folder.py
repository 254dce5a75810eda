"""Photos without labels."""

from __future__ import annotations

from pathlib import Path

from quantize.data.readers.photos import Result, each, photo_size, photos_in
from quantize.data.sample import Sample


def read_folder(folder: Path) -> Result:
    """A folder of photos: teachers find what is in them, and nothing counts as background before."""
    return each(photos_in(folder), lambda path: Sample(path, *photo_size(path), [], False))
