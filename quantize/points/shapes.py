"""The points as a shape model can say them: what KD-Loss's tolerant teacher learns (arXiv 2111.07047)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def smooth_points(points: NDArray[Any], fit_on: NDArray[np.bool_], variance: float) -> NDArray[np.float32]:
    """``points`` (n, 68, 2) with the small principal components dropped.

    Args:
        points: in crop sides.
        fit_on: (n,) faces that the components are fitted on.
        variance: the share of it that they keep; each coefficient is clipped to three standard deviations.

    Raises:
        ValueError: fewer than two faces to fit on, or a share that is not in (0, 1].
    """
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be in (0, 1], but got {variance}")
    x = np.asarray(points, float).reshape(len(points), -1)
    known = x[fit_on]
    if len(known) < 2:
        raise ValueError(f"points must be those of two faces or more, but got {len(known)}")
    mean = known.mean(0)
    _, s, vt = np.linalg.svd(known - mean, full_matrices=False)
    share = np.cumsum(s**2) / max(float((s**2).sum()), 1e-12)
    k = min(int(np.searchsorted(share, variance - 1e-12)) + 1, len(s))
    limits = 3 * s[:k] / np.sqrt(len(known) - 1)
    coefficients = ((x - mean) @ vt[:k].T).clip(-limits, limits)
    return np.asarray((mean + coefficients @ vt[:k]).reshape(points.shape), np.float32)
