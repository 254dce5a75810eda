"""Labelled faces pasted small onto a view, with soft borders: small faces with points and a direction are rare in
photos, large ones with both are not.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDES = (8.0, 40.0)
"""Pixels of a pasted face's side, drawn log-uniformly."""
MARGIN = 0.45
"""Of the side, on each side of the box: hair, ears and some of what was behind, which fades out."""


def place(
    image: NDArray[np.uint8],
    taken: NDArray[Any],
    photo: NDArray[np.uint8],
    box: NDArray[Any],
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Pastes the face of ``photo`` in ``box`` somewhere free in ``image``, in place.

    Args:
        image: RGB (h, w, 3) uint8, the view.
        taken: (n, 4) xyxy boxes in the view that must stay free.
        photo: RGB (h, w, 3) uint8.
        box: (4,) xyxy in the photo.

    Returns:
        The affine (2, 3) that takes the photo's pixels to the view's; None where the face is smaller than it would
        become, is cut off by the photo, or no free place was found.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    side = float(np.sqrt(max((x2 - x1) * (y2 - y1), 1e-6)))
    scale = float(np.exp(rng.uniform(*np.log(SIDES)))) / side
    pad = MARGIN * side
    left, top = max(0, int(x1 - pad)), max(0, int(y1 - pad))
    part = photo[top : int(y2 + pad), left : int(x2 + pad)]
    inside = x1 >= 0 and y1 >= 0 and x2 <= photo.shape[1] and y2 <= photo.shape[0]
    size = round(part.shape[1] * scale), round(part.shape[0] * scale)
    height, width = image.shape[:2]
    if scale > 1 or not inside or min(size) < 4 or size[0] >= width or size[1] >= height:
        return None
    for _ in range(10):
        x, y = int(rng.integers(width - size[0])), int(rng.integers(height - size[1]))
        apart = (
            (taken[:, 2] < x) | (taken[:, 0] > x + size[0]) | (taken[:, 3] < y) | (taken[:, 1] > y + size[1])
            if len(taken)
            else np.ones(1, bool)
        )
        if apart.all():
            break
    else:
        return None
    sx, sy = size[0] / part.shape[1], size[1] / part.shape[0]
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    # an ellipse about the face, fading out over the margin
    u = (np.arange(size[0]) + 0.5 - ((x1 + x2) / 2 - left) * sx) / ((x2 - x1) * sx / 2)
    v = (np.arange(size[1]) + 0.5 - ((y1 + y2) / 2 - top) * sy) / ((y2 - y1) * sy / 2)
    radius = np.hypot(u[None], v[:, None])
    edge = 1 + 2 * MARGIN
    mask = np.clip((edge - radius) / (edge - 1.15), 0, 1)[..., None]
    area = image[y : y + size[1], x : x + size[0]]
    area[:] = (small * mask + area * (1 - mask)).round().astype(np.uint8)
    return np.array([[sx, 0, x - left * sx], [0, sy, y - top * sy]])
