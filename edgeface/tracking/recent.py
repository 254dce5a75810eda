"""`Recent`: what numbers have been for some time."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Recent"]


class Recent:
    """Means over about the last `seconds`, older values counting ever less.

    Args:
        seconds: after which a value counts 1/e.

    Examples:
        >>> recent = Recent(0.5)
        >>> for _ in range(9):
        ...     recent.add([3.0], 0.1)
        >>> [round(mean, 6) for mean in recent.means]
        [3.0]
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sums: list[float] = []
        self._weights = 0.0

    @property
    def means(self) -> list[float]:
        """Empty before anything was added that counts."""
        return [value / self._weights for value in self._sums] if self._weights else []

    def add(self, values: Sequence[float], dt: float, weight: float = 1.0) -> None:
        """Take in values that held for `dt` seconds; `weight` below 1 for ones that are less certain."""
        share = weight * (1 - math.exp(-dt / self._seconds))
        self._weights += share * (1 - self._weights)
        sums = self._sums or [0.0] * len(values)
        self._sums = [old + share * (new - old) for old, new in zip(sums, values, strict=True)]
