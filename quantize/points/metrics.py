"""Figures of 68 points: normalised mean error, failure rate, area under the cumulative error curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FAILURE = 8.0
"""Percent from which an error by the eyes counts as a failure (300-W)."""


def nme(found: NDArray[Any], truth: NDArray[Any], size: ArrayLike | None = None) -> NDArray[np.float64]:
    """(n,) mean distance of ``found`` (n, k, 2) from ``truth`` in percent of ``size`` (n,); by default the outer eye
    corners' distance, of 68 points (300-W).
    """
    g = np.asarray(truth, float)
    by = np.linalg.norm(g[:, 36] - g[:, 45], axis=-1) if size is None else np.asarray(size, float)
    return np.asarray(np.linalg.norm(np.asarray(found, float) - g, axis=-1).mean(-1) / by * 100)


def failure_rate(errors: NDArray[Any], limit: float = FAILURE) -> float:
    """Share of ``errors`` above ``limit``; NaN, a face without points, is a failure."""
    e = np.asarray(errors, float)
    return float(np.mean(~(e <= limit)))


def auc(errors: NDArray[Any], limit: float = FAILURE) -> float:
    """Area under the cumulative error curve from 0 to ``limit``, 0–1; NaN counts as an error beyond it."""
    e = np.where(np.isnan(errors), np.inf, np.asarray(errors, float))
    return float(np.mean(np.clip(limit - e, 0, limit)) / limit)
