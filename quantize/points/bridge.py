"""Which faces surely wear no glasses: nothing crosses the nose between their eyes.

No set says who wears glasses, and about one adult in five does. Faces whose bridge shows an edge across it therefore
teach nothing about glasses; the others teach what a face without them looks like.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SURE = 0.5
"""Share of the faces, those with the faintest edges, that count as bare."""


def bridge_edge(crop: NDArray[np.uint8], points: NDArray[Any]) -> float:
    """How strong the strongest edge across the ridge of the nose is, over the contrast of the face.

    ``crop`` (h, w, 3); ``points`` (68, 2) pixels of it.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    top = (points[21] + points[22]) / 2 * 0.35 + points[27] * 0.65
    down = points[29] - top
    across = (points[42] - points[39]) * 0.25
    rows, columns = np.linspace(0, 1, 24)[:, None, None], np.linspace(-1, 1, 9)[None, :, None]
    at = (top + rows * down + columns * across).astype(np.float32)
    strip = cv2.remap(grey, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    profile = cv2.GaussianBlur(strip, (1, 3), 0).mean(1)
    y0, y1 = (int(v) for v in np.clip([points[:, 1].min(), points[:, 1].max()], 0, len(grey) - 1))
    return float(np.abs(np.diff(profile)).max() / max(float(grey[y0 : y1 + 1].std()), 8.0))


def bare(edges: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of ``edges`` (n,) are faint enough; NaN is not."""
    known = edges[np.isfinite(edges)]
    return np.asarray(edges <= (np.quantile(known, SURE) if len(known) else -np.inf))
