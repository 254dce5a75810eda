"""Time stamps and running numbers: integers that fit the C library, or an error that names the unit."""

from __future__ import annotations

from typing import Final

import numpy as np

from edgeface.errors import must_be

__all__ = ["checked_integer", "checked_stamp"]

_INT64: Final = np.iinfo(np.int64)


def checked_stamp(stamp: object, name: str = "timestamp_ns") -> int | None:
    """A time stamp in nanoseconds, as an int.

    Raises:
        InvalidInputError: not an integer, or one beyond 64 bits.

    Examples:
        >>> checked_stamp(np.int64(5)), checked_stamp(None)
        (5, None)
    """
    return checked_integer(stamp, name, "an integer of nanoseconds, such as time.monotonic_ns() gives,")


def checked_integer(value: object, name: str, what: str = "an integer") -> int | None:
    """An integer of at most 64 bits, or None.

    Raises:
        InvalidInputError: `name` must be `what`.
    """
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise must_be(name, f"{what} or None", f"{type(value).__name__} {value!r}")
    if not _INT64.min <= value <= _INT64.max:
        raise must_be(name, f"{what} within 64 bits", value)
    return int(value)
