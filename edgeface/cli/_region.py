"""A region of the picture as people write it."""

from __future__ import annotations

from edgeface.errors import must_be

__all__ = ["parse_region"]


def parse_region(text: str) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2) of ``X1,Y1,X2,Y2``.

    Raises:
        InvalidInputError: not four whole numbers.
    """
    try:
        x1, y1, x2, y2 = (int(part) for part in text.split(","))
    except ValueError:
        raise must_be("--roi", "four whole numbers such as 100,50,600,400", repr(text)) from None
    return x1, y1, x2, y2
