"""How bare frames lie in memory, checked once for a source and not in each of its frames."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from edgeface.errors import must_be
from edgeface.frame import Frame, checked_size, plane_rows

__all__ = ["color_options", "frame_length", "padded_stride"]

# Drivers align rows to 16 bytes or more. A padding of a quarter of the row or more is another pixel format.
_ALIGNMENT = 16


def color_options(color: str, matrix: str | None, range_: str | None) -> dict[str, Any]:
    """The options `matrix` and `range` of a `Frame`, those that were given.

    Raises:
        InvalidInputError: a value that `Frame` does not have, or a colour format without them.
    """
    given: dict[str, Any] = {
        name: value for name, value in {"matrix": matrix, "range": range_}.items() if value is not None
    }
    if given and color in ("bgr", "rgb", "gray"):
        raise must_be(f"{' and '.join(given)}", f"left out with {color}: YUV formats have them", given)
    # frames of two pixels say what is wrong with a value
    length = sum(count * row for count, row in plane_rows(color, 2, 2))
    Frame.from_buffer(bytes(length), color, (2, 2), **given)
    return given


def frame_length(
    color: str, size: tuple[int, int], strides: Sequence[int] | None, offsets: Sequence[int] | None = None
) -> int:
    """Bytes of one frame, from its first byte to the end of the last row's padding.

    Args:
        color: as of a `Frame`.
        size: (width, height) in pixels.
        strides: bytes from row to row, one a plane; packed rows if None.
        offsets: byte where each plane begins; one after the other if None.

    Raises:
        InvalidInputError: strides shorter than a row, planes that overlap, or a size that the format cannot have.
    """
    rows = plane_rows(color, *checked_size(size))
    if color in ("yuyv", "uyvy") and size[0] % 2:
        raise must_be(f"the width of {color} frames", "even", size[0])
    steps = _numbers("strides", strides, [row for _, row in rows], color)
    for step, (_, row) in zip(steps, rows, strict=True):
        if step < row:
            raise must_be("stride", f"at least the {row} bytes of a row", step)
    lengths = [step * count for step, (count, _) in zip(steps, rows, strict=True)]
    starts = _numbers("offsets", offsets, [sum(lengths[:i]) for i in range(len(lengths))], color)
    planes = sorted(zip(starts, lengths, strict=True))
    if planes[0][0] < 0:
        raise must_be("offsets", "0 or more", planes[0][0])
    for (start, length), (following, _) in itertools.pairwise(planes):
        if start + length > following:
            raise must_be("offsets", f"{start + length} or more for what follows the plane at {start}", following)
    return planes[-1][0] + planes[-1][1]


def padded_stride(length: int, color: str, size: tuple[int, int]) -> int | None:
    """The stride of a buffer whose length can only be that of padded rows, or None.

    Args:
        length: bytes of the whole buffer.
        color: yuyv, uyvy, gray, nv12 or nv21, whose planes have rows of one length.
        size: (width, height) in pixels.

    Examples:
        >>> padded_stride(704 * 720, "nv12", (640, 480))
        704
        >>> padded_stride(640 * 2 * 480, "nv12", (640, 480)) is None    # YUYV
        True
    """
    rows = plane_rows(color, *size)
    count, row = sum(rows for rows, _ in rows), rows[0][1]
    stride, rest = divmod(length, count)
    return stride if not rest and stride % _ALIGNMENT == 0 and row < stride < 1.25 * row else None


def _numbers(name: str, given: Sequence[int] | None, otherwise: list[int], color: str) -> list[int]:
    if given is None:
        return otherwise
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or len(given) != len(otherwise):
        got: Any = len(given) if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) else repr(given)
        raise must_be(name, f"{len(otherwise)} numbers for {color}", got)
    if any(isinstance(value, bool) or not isinstance(value, int) for value in given):
        raise must_be(name, "whole numbers of bytes", list(given))
    return list(given)
