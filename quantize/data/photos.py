"""Photos of samples, as they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sample import Sample

T = TypeVar("T")


def read_photo(sample: Sample) -> NDArray[np.uint8]:
    """BGR (h, w, 3). Raises ValueError for a photo that cannot be read: a figure over the rest would mislead."""
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"photo must be a readable picture, but got {sample.path}")
    return np.asarray(image, np.uint8)


def every_nth(items: Sequence[T], count: int) -> list[T]:
    """About ``count`` items, spread evenly.

    Examples:
        >>> every_nth(range(10), 3)
        [0, 3, 6, 9]
    """
    return list(items[:: max(1, len(items) // count)])
