"""Read and write picture files. OpenCV does the work and is imported when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ImageError
from edgeface.files import write_whole
from edgeface.frame import MAX_SIDE

__all__ = ["SUFFIXES", "find_images", "read_image", "write_image"]

#: What counts as a picture when a folder is searched; a file that is named is read whatever it is called.
SUFFIXES: Final = frozenset(
    f".{name}"
    for name in (
        "avif",
        "bmp",
        "dib",
        "gif",
        "jp2",
        "jpe",
        "jpeg",
        "jpg",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tif",
        "tiff",
        "webp",
    )
)
MAX_FILE_BYTES: Final = 512 << 20


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a picture file upright, as 8-bit BGR.

    The EXIF orientation is applied. Grey, palette, 16-bit and CMYK pictures are converted; an alpha channel is dropped;
    of an animation the first picture is taken.

    Args:
        path: a file of any format that OpenCV reads (JPEG, PNG, WebP, BMP, TIFF, GIF, …).

    Returns:
        (h, w, 3) uint8, BGR.

    Raises:
        ImageError: missing, unreadable, empty, not a picture, truncated, of floating-point pixels, or too large.

    Examples:
        >>> faces = engine.detect(read_image("photo.jpg"), color="bgr")     # doctest: +SKIP
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"image must be at most {MAX_FILE_BYTES} bytes long, but got {path}")
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(f"image must be a readable file, but got {path}: {error.strerror or error}") from None
    if not data.size:
        raise ImageError(f"image must not be empty, but got {path} of 0 bytes")
    try:
        return decode_image(data)
    except ImageError as error:
        raise ImageError(f"{error} in {path}") from None


def decode_image(data: NDArray[np.uint8] | bytes) -> NDArray[np.uint8]:
    """Like `read_image`, for the bytes of a file.

    Raises:
        ImageError: as there, without the path.
    """
    import cv2

    data = np.frombuffer(data, np.uint8)
    if not data.size:
        raise ImageError("image must not be empty, but got 0 bytes")
    _check_complete(data.tobytes())
    try:
        # ANYDEPTH keeps 16 bits, which are then scaled here: OpenCV's own conversion would drop the low byte only
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ImageError(f"image must be one that OpenCV decodes, but got {error.err or error}") from None
    if image is None:
        raise ImageError("image must be of a known format and intact, but got something else")
    if max(image.shape[:2]) > MAX_SIDE:
        raise ImageError(f"image must be at most {MAX_SIDE} pixels a side, but got {image.shape[1]}x{image.shape[0]}")
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ImageError(f"image must have 8 or 16 bits a channel, but got {image.dtype}")
    return np.ascontiguousarray(image)


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write a BGR picture; the suffix says the format.

    Raises:
        ImageError: unknown suffix, or the file cannot be written.
    """
    import cv2

    path = Path(path)
    try:
        known, data = cv2.imencode(path.suffix or ".", image)
    except cv2.error:
        known = False
    if not known:
        raise ImageError(f"image must be written as one of {', '.join(sorted(SUFFIXES))}, but got {path.name}")
    try:
        write_whole(path, data.tobytes())
    except OSError as error:
        raise ImageError(
            f"image must be written to a writable file, but got {path}: {error.strerror or error}"
        ) from None


def find_images(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Files as they are named, folders as the picture files in them and below, sorted by name.

    Examples:
        >>> list(find_images(["b.jpg", "a.jpg"]))
        [PosixPath('b.jpg'), PosixPath('a.jpg')]
    """
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            yield path


def _check_complete(data: bytes) -> None:
    """Refuse truncated JPEG and PNG files: their decoders fill what is missing with grey and say so on stderr only."""
    if data[:2] == b"\xff\xd8":
        complete = _jpeg_is_complete(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        complete = b"\x00\x00\x00\x00IEND" in data
    else:
        return
    if not complete:
        raise ImageError("image must be complete, but got a truncated one")


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether an end marker follows the start of the scan: that of a thumbnail in the header does not count."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return True  # not the segments that were expected: leave the judgement to the decoder
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):  # markers without a length
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
