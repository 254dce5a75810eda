"""The strong view of SemiUHPE (arXiv 2404.02544): parts of a face hidden behind noise, a colour or a piece of another
photo, none of which changes where the head points. Its change of scale (.6–1.5) and its turn (±30°, the label turning
along) are in `quantize.train.views`, which draws both more widely.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SIDE = 24.0
"""Pixels; of a smaller face nothing is left behind a patch."""


def hide(
    image: NDArray[np.uint8],
    boxes: NDArray[Any],
    share: float,
    rng: np.random.Generator,
    other: Callable[[int, int], NDArray[np.uint8]],
) -> NDArray[np.bool_]:
    """Draws one patch over each face with probability ``share``, in place.

    Args:
        image: RGB (h, w, 3) uint8.
        boxes: (n, 4) xyxy pixels.
        other: gives (h, w, 3) pixels of another photo, for cut-mix; a patch is that, noise or a colour, equally often.

    Returns:
        Which faces have a patch, (n,).
    """
    height, width = image.shape[:2]
    hidden = np.zeros(len(boxes), bool)
    for i, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, float)):
        if min(x2 - x1, y2 - y1) < LEAST_SIDE or rng.random() >= share:
            continue
        w, h = ((x2 - x1), (y2 - y1)) * rng.uniform(0.2, 0.5, 2)
        x, y = rng.uniform(x1, x2 - w), rng.uniform(y1, y2 - h)
        left, top = max(0, round(x)), max(0, round(y))
        part = image[top : max(0, min(height, round(y + h))), left : max(0, min(width, round(x + w)))]
        if not part.size:
            continue
        kind = int(rng.integers(3))
        if kind == 0:
            part[:] = rng.integers(0, 256, 3)
        elif kind == 1:
            part[:] = rng.integers(0, 256, part.shape)
        else:
            part[:] = other(part.shape[0], part.shape[1])
        hidden[i] = True
    return hidden
