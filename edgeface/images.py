"""Read and write picture files. OpenCV does the work and is imported when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.errors import ImageError, must_be
from edgeface.files import write_whole
from edgeface.frame import MAX_SIDE
from edgeface.picture_size import picture_size
from edgeface.pictures import check_picture
from edgeface.reading import read_bounded

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
#: Pixels of the largest picture that is decoded, unless the variable or an argument says otherwise. Its decoder takes
#: 0.6 GB for eight bits, 1.2 GB for sixteen with alpha.
MAX_PIXELS: Final = 100_000_000
PIXELS_VARIABLE: Final = "EDGEFACE_MAX_PIXELS"
_MOST_SCANS: Final = 256  # of a progressive JPEG: each passes over the whole picture
_STRIP_PIXELS: Final = 1 << 20


def read_image(path: str | os.PathLike[str], *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Read a picture file upright, as 8-bit BGR.

    The EXIF orientation is applied. Grey, palette, 16-bit and CMYK pictures are converted; an alpha channel is dropped;
    of an animation the first picture is taken. The size is read from the header, so that a small file cannot claim
    memory for a picture beyond `max_pixels`.

    Args:
        path: a JPEG, PNG, WebP, BMP, TIFF, GIF, PNM, JPEG 2000 or AVIF file; ``/dev/stdin`` may be a pipe.
        max_pixels: width times height of the largest picture to decode; if None, that of the environment variable
            ``EDGEFACE_MAX_PIXELS``, else 100 million.

    Returns:
        (h, w, 3) uint8, BGR.

    Raises:
        ImageError: missing, unreadable, no regular file, empty, not a picture, truncated, of floating-point pixels, or
            too large.
        InvalidInputError: `max_pixels` is not a whole number above 0.
        RuntimeUnavailableError: OpenCV is not installed.

    Examples:
        >>> faces = engine.detect(read_image("photo.jpg"), color="bgr")     # doctest: +SKIP
    """
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ImageError(f"image must be a readable file, but got {path}: {error.strerror or error}") from None
    except MemoryError:
        raise ImageError(f"image must fit into memory, but got {path}") from None
    if not data:
        raise ImageError(f"image must not be empty, but got {path} of 0 bytes")
    try:
        return decode_image(data, max_pixels=max_pixels)
    except ImageError as error:
        raise ImageError(f"{error} in {path}") from None


def decode_image(data: NDArray[np.uint8] | bytes, *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Like `read_image`, for the bytes of a file.

    Raises:
        ImageError: as there, without the path.
        InvalidInputError: as there.
    """
    cv2 = opencv()

    content = bytes(data)
    if not content:
        raise ImageError("image must not be empty, but got 0 bytes")
    _check_size(content, _pixel_budget(max_pixels))
    _check_complete(content)
    try:
        # ANYDEPTH keeps 16 bits, which are then scaled here: OpenCV's own conversion would drop the low byte only.
        # ANYCOLOR leaves grey at one channel until its bits are eight
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
        if image is None:
            raise ImageError("image must be of a known format and intact, but got something else")
        if image.dtype == np.uint16:
            image = _to_eight_bits(image)
        if image.dtype != np.uint8:
            raise ImageError(f"image must have 8 or 16 bits a channel, but got {image.dtype}")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    except cv2.error as error:
        raise ImageError(f"image must be one that OpenCV decodes, but got {error.err or error}") from None
    except MemoryError:
        raise ImageError("image must fit into memory, but got one that does not") from None
    return np.ascontiguousarray(image)


def _pixel_budget(max_pixels: int | None) -> int:
    name, value = "max_pixels", max_pixels if max_pixels is not None else os.environ.get(PIXELS_VARIABLE, MAX_PIXELS)
    if isinstance(value, str):
        name = PIXELS_VARIABLE
        value = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise must_be(name, "a whole number above 0", repr(value))
    return int(value)


def _check_size(data: bytes, budget: int) -> None:
    """Refuse by the header what would be too large to decode."""
    size = picture_size(data)
    if size is None:
        raise ImageError("image must be of a known format and intact, but got something else")
    width, height = size
    if max(size) > MAX_SIDE:
        raise ImageError(f"image must be at most {MAX_SIDE} pixels a side, but got {width}x{height}")
    if width * height > budget:
        raise ImageError(
            f"image must have at most {budget} pixels, but got {width}x{height} "
            f"(raise the limit with max_pixels, --max-pixels or {PIXELS_VARIABLE})"
        )


def _to_eight_bits(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Rounded, strip by strip: the whole at once would take four times the picture's memory."""
    result = np.empty(image.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, image.shape[1]))
    for top in range(0, len(image), rows):
        strip = image[top : top + rows].astype(np.uint32)
        strip += 128
        strip //= 257
        result[top : top + rows] = strip
    return result


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write a BGR picture, which appears whole or not at all; the suffix says the format.

    Args:
        path: of the file; its folder must exist.
        image: (h, w, 3) uint8, BGR, or (h, w) uint8, grey.

    Raises:
        ImageError: unknown suffix, a side that the format cannot hold, or the file cannot be written.
        InvalidInputError: not such a picture.
        RuntimeUnavailableError: OpenCV is not installed.
    """
    check_picture(image, grey=True)  # OpenCV would round pictures of 0 to 1 to black, and say nothing
    cv2 = opencv()

    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"image must be written as one of {', '.join(sorted(SUFFIXES))}, but got {path.name}")
    try:
        written, data = cv2.imencode(path.suffix, image)
    except cv2.error:
        written = False
    if not written:
        height, width = image.shape[:2]
        raise ImageError(f"image must be one that {path.suffix} holds here, but got {width}x{height} for {path.name}")
    try:
        write_whole(path, data.tobytes())
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = getattr(error, "strerror", None) or error
        raise ImageError(f"image must be written to a writable file, but got {path}: {why}") from None


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Files as they are named, folders as the picture files in them and below, sorted by name.

    A folder that cannot be listed is given itself: whoever reads it learns why.

    Examples:
        >>> list(find_images(["b.jpg", "a.jpg"]))
        [PosixPath('b.jpg'), PosixPath('a.jpg')]
    """
    for path in map(Path, [paths] if isinstance(paths, (str, os.PathLike)) else paths):
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder above must not be entered
            yield from sorted(_pictures_below(path))
        else:
            yield path


def _pictures_below(folder: Path) -> Iterator[Path]:
    closed: list[OSError] = []
    for place, _, files in os.walk(folder, onerror=closed.append):
        yield from (Path(place, name) for name in files if Path(name).suffix.lower() in SUFFIXES)
    yield from (Path(error.filename) for error in closed)


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
            end = data.find(b"\xff\xd9", at)
            if data.count(b"\xff\xda", at, max(end, 0)) > _MOST_SCANS:
                raise ImageError(f"image must have at most {_MOST_SCANS} scans, but got more")
            return end >= 0
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):  # markers without a length
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
