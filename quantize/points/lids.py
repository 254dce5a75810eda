"""Eyes that are shut in training: the upper lid is pulled down over the eye, and the label follows.

Few photos show shut eyes. The lid's edge with its lashes moves along the eye's own vertical; behind it comes skin, in
part stretched from below the brow and in part mirrored from below the eye. What lies below the edge stays.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: Points of each eye from image-left to image-right: the upper lid, the lower lid, and the brow above.
EYES = (((36, 37, 38, 39), (36, 41, 40, 39), slice(17, 22)), ((42, 43, 44, 45), (42, 47, 46, 45), slice(22, 27)))
LASHES = 0.07
"""How far the lid's dark edge reaches to either side of the drawn contour, in eye widths."""
ABOVE = (0.15, 0.6)
"""Least and most skin above the lid that is stretched, in eye widths."""
LEAST_WIDTH = 6.0
"""Pixels: narrower eyes stay as they are."""


def lid(points: NDArray[Any]) -> NDArray[np.float64]:
    """(2,) a and b of the curve x (1 − x) (a + b x) through the inner ones of ``points`` (4, 2); corners at (0, 0) and
    (1, 0).
    """
    x = np.clip(points[1:3, 0], 0.05, 0.95)
    left = (x * (1 - x))[:, None] * np.stack([np.ones(2), x], 1)
    return np.asarray(np.linalg.lstsq(left, points[1:3, 1], rcond=None)[0])


def lowered(
    image: NDArray[np.uint8], points: NDArray[Any], eye: int, share: float, below: float = 0.5
) -> NDArray[np.float64]:
    """Lowers the upper lid of one eye in ``image``, RGB (h, w, 3), in place.

    Args:
        image: changed around the eye.
        points: (68, 2) pixels; eyes that are narrower than `LEAST_WIDTH` stay as they are.
        eye: 0 for the person's right, 1 for the left.
        share: of its opening that the lid goes down: 1 shuts the eye.
        below: how much of the lid's skin is that of below the eye, mirrored; the rest is stretched from above.

    Returns:
        ``points`` with those of the upper lid moved.
    """
    out = np.array(points, float)
    upper, lower, brow = EYES[eye]
    corner, across = out[upper[0]], out[upper[3]] - out[upper[0]]
    width = float(np.linalg.norm(across))
    if width < LEAST_WIDTH:
        return out
    along = across / width
    down = np.array([-along[1], along[0]])
    frame = np.stack([along, down], 1) / width  # pixels to eye widths, y down

    def inside(which: Any) -> NDArray[np.float64]:
        return np.asarray((out[which] - corner) @ frame)

    top, bottom = lid(inside(list(upper))), lid(inside(list(lower)))
    room = float(_curve(top, np.array(0.5))) - float(inside(brow)[:, 1].max())
    _cover(image, corner, frame, top, bottom, share, float(np.clip(room * 0.6, *ABOVE)), below)
    out[list(upper[1:3])] += share * (out[list(lower[1:3])] - out[list(upper[1:3])])
    return out


def _curve(ab: NDArray[Any], x: NDArray[Any]) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return np.asarray(x * (1 - x) * (ab[0] + ab[1] * x))


def _cover(
    image: NDArray[np.uint8],
    corner: NDArray[Any],
    frame: NDArray[Any],
    top: NDArray[Any],
    bottom: NDArray[Any],
    share: float,
    above: float,
    below: float,
) -> None:
    h, w = image.shape[:2]
    back = np.linalg.inv(frame)
    width = float(np.hypot(*back[0]))
    corners = np.array([[0, -1.2], [1, -1.2], [0, 1], [1, 1]]) @ back + corner
    x0, y0 = np.clip(np.floor(corners.min(0)).astype(int), 0, [w, h])
    x1, y1 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, [w, h])
    if x1 <= x0 or y1 <= y0:
        return
    ys, xs = np.mgrid[y0:y1, x0:x1].astype(float)
    own = (np.stack([xs, ys], -1) + 0.5 - corner) @ frame
    x, y = own[..., 0], own[..., 1]
    lashes = LASHES * np.clip(np.minimum(x, 1 - x) * 6, 0, 1)  # they fade towards the corners
    edge = _curve(top, x) + lashes
    new = edge + share * np.maximum(_curve(bottom, x) + lashes - edge, 0)
    start, rim = edge - above, 2 * lashes
    stretched = start + (y - start) * (edge - rim - start) / np.maximum(new - rim - start, 1e-6)
    source = np.where(y > new - rim, np.minimum(y, new) - new + edge, stretched)  # the rim moves as a whole

    def taken(rows: NDArray[np.float64]) -> NDArray[np.float32]:
        at = (np.stack([x, rows], -1) @ back + corner - 0.5).astype(np.float32)
        pixels = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return pixels.astype(np.float32)

    skin = np.clip(np.minimum(y - start, (new - rim) - y) * 5, 0, 1) * below * share
    lid_pixels = taken(source)
    mirrored = taken(_curve(bottom, x) + 0.1 + new - y)
    if (seen := (skin > 0) & (x > 0) & (x < 1)).any():  # a cheek in the light is brighter than the socket of the eye
        mirrored *= np.sqrt((lid_pixels[seen].mean(0) + 8) / (mirrored[seen].mean(0) + 8))
    lid_pixels += skin[..., None].astype(np.float32) * (mirrored - lid_pixels)
    inside = (x > 0) & (x < 1) & (y > start)
    alpha = np.where(inside, np.clip((new - y) * width + 0.5, 0, 1), 0)[..., None].astype(np.float32)
    part = image[y0:y1, x0:x1]
    part[:] = np.rint(part + alpha * (lid_pixels - part)).clip(0, 255).astype(np.uint8)
