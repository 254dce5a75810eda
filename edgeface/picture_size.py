"""Width and height of a picture file from its header, before a decoder sets memory aside for them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["picture_size"]

_JPEG_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_TIFF_VALUES: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_SIDES: Final = {256: "width", 257: "height", 322: "tile width", 323: "tile height"}
_MOST_ENTRIES: Final = 65536  # of a list in a file
_MOST_COMPONENTS: Final = 4  # of JPEG 2000; every one is decoded in 32 bits


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that a decoder would set memory aside for.

    Where a file states several (the canvas and a frame of an animation, tiles of a TIFF), it is the largest of each
    side. The EXIF orientation is not applied.

    Args:
        data: JPEG, PNG, GIF, BMP, WebP, TIFF, PNM, JPEG 2000 or AVIF.

    Returns:
        None for every other format, and where the header is damaged.

    Examples:
        >>> picture_size(b"GIF89a" + bytes([64, 1, 240, 0]) + bytes(20))
        (320, 240)
    """
    try:
        for magic, read in _READERS:
            if re.match(magic, data, re.DOTALL):
                width, height = read(data)
                return (width, height) if width > 0 and height > 0 else None
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while True:
        at = data.index(0xFF, at)  # decoders pass over what is between segments
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):  # without a length
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        elif marker in (0xD9, 0xDA):
            raise ValueError("no frame before the picture's data")
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no header")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    """The canvas, or the first frame where that is larger."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at < len(data):
        if data[at] == 0x2C:
            left, top, w, h = struct.unpack_from("<HHHH", data, at + 1)
            return max(width, left + w), max(height, top + h)
        if data[at] != 0x21:
            break
        at += 2
        while data[at]:  # blocks of an extension
            at += 1 + data[at]
        at += 1
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (kind,) = struct.unpack_from("<I", data, 14)
    if kind == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative: from top to bottom


def _webp(data: bytes) -> tuple[int, int]:
    sides = [(0, 0)]
    for kind, at in _riff(data):
        if kind == b"VP8X":
            sides.append((1 + _u24(data, at + 4), 1 + _u24(data, at + 7)))
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, at + 6)
            sides.append((width & 0x3FFF, height & 0x3FFF))
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, at + 1)
            sides.append((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)))
        elif kind == b"ANMF":
            sides.append((1 + _u24(data, at + 6), 1 + _u24(data, at + 9)))
    return max(width for width, _ in sides), max(height for _, height in sides)


def _riff(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 12
    for _ in range(_MOST_ENTRIES):
        if at + 8 > len(data):
            return
        yield data[at : at + 4], at + 8
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _pnm(data: bytes) -> tuple[int, int]:
    found = re.match(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s", data[:65536])
    if found is None:
        raise ValueError("no size")
    return int(found[1]), int(found[2])


def _tiff(data: bytes) -> tuple[int, int]:
    """Of the first page; OpenCV reads no other."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
    if count > _MOST_ENTRIES:
        raise ValueError("too many tags")
    sides = dict.fromkeys(_TIFF_SIDES.values(), 0)
    entry, head = (20, 8) if big else (12, 2)
    for i in range(count):
        place = at + head + entry * i
        tag, kind = struct.unpack_from(f"{order}HH", data, place)
        if tag in _TIFF_SIDES and kind in _TIFF_VALUES:
            name = _TIFF_SIDES[tag]
            (value,) = struct.unpack_from(f"{order}{_TIFF_VALUES[kind]}", data, place + (12 if big else 8))
            sides[name] = max(sides[name], value)
    if not (sides["width"] and sides["height"]):
        raise ValueError("no size")
    return max(sides["width"], sides["tile width"]), max(sides["height"], sides["tile height"])


def _jpeg2000(data: bytes) -> tuple[int, int]:
    """Of the code stream: the decoder does not look at the box that states a size, too."""
    start = 0
    if data[:4] != b"\xff\x4f\xff\x51":
        start = next((at for kind, at, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), len(data))
        if data[start : start + 4] != b"\xff\x4f\xff\x51":
            raise ValueError("no code stream")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    if not 1 <= components <= _MOST_COMPONENTS:
        raise ValueError("too many components")
    return right - left, bottom - top


def _avif(data: bytes) -> tuple[int, int]:
    sides = [(0, 0)]
    for kind, at, end in _boxes(data, 0, len(data)):
        if kind == b"moov":
            raise ValueError("a film, which states its size elsewhere")
        if kind == b"meta":
            for inner, start, stop in _boxes(data, at + 4, end):
                if inner == b"iprp":
                    sides += _extents(data, start, stop)
    return max(width for width, _ in sides), max(height for _, height in sides)


def _extents(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    for kind, at, end in _boxes(data, start, stop):
        if kind == b"ipco":
            for inner, place, _ in _boxes(data, at, end):
                if inner == b"ispe":
                    width, height = struct.unpack_from(">II", data, place + 4)
                    yield width, height


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the ISO boxes between two places."""
    for _ in range(_MOST_ENTRIES):
        if at + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif length == 0:  # to the end
            length = end - at
        if length < head:
            raise ValueError("a box shorter than its head")
        yield kind, at + head, min(at + length, end)
        at += length


_READERS: Final = (
    (rb"\xff\xd8", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"GIF8[79]a", _gif),
    (rb"BM", _bmp),
    (rb"RIFF....WEBP", _webp),
    (rb"P[1-6]", _pnm),
    (rb"II[*+]\0|MM\0[*+]", _tiff),
    (rb"\xff\x4f\xff\x51|....jP  \r\n\x87\n", _jpeg2000),
    (rb"....ftyp", _avif),
)
