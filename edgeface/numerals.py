"""What counts as a number where one is asked for."""

from __future__ import annotations

import numpy as np

__all__ = ["is_number"]


def is_number(value: object) -> bool:
    """Whether it is a real number of Python's or NumPy's; a bool is none.

    Examples:
        >>> [is_number(v) for v in (1, np.float32(0.5), True, "1", 1j)]
        [True, True, False, False, False]
    """
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
