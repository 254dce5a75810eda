"""How a time is written: milliseconds with three significant digits, in every table."""

from __future__ import annotations

import math

__all__ = ["milliseconds"]


def milliseconds(value_ms: float | None) -> str:
    """A time with three significant digits; tables say "ms" in their heads.

    Examples:
        >>> [milliseconds(ms) for ms in (0.00042, 12.3456, 1234.5678, 0.0, None)]
        ['0.000420', '12.3', '1235', '0', '–']
    """
    if value_ms is None:
        return "–"
    return f"{value_ms:.{max(0, 2 - math.floor(math.log10(value_ms)))}f}" if value_ms > 0 else "0"
