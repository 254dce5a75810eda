"""A shape model of the five points: what faces have in common, without what one annotator or teacher did to one face.

Principal components of the points relative to the box, over all labelled faces (the active shape model of Cootes et
al. 1995, as KD-Loss uses it, arXiv 2111.07047). A face's points with the small components dropped are the labels that
KD-Loss's tolerant teacher learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _frame(boxes: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 1, 2) and sides (n, 1, 1) of boxes (n, 4)."""
    b = np.asarray(boxes, float).reshape(-1, 4)
    centre = (b[:, None, :2] + b[:, None, 2:]) / 2
    side = np.sqrt(np.maximum((b[:, 2:] - b[:, :2]).prod(1), 1e-6))[:, None, None]
    return centre, side


@dataclass
class ShapeModel:
    """``mean`` (10,), ``components`` (k, 10) orthonormal, ``limits`` (k,): three standard deviations of each."""

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    limits: NDArray[np.float64]

    @staticmethod
    def fit(points: NDArray[Any], boxes: NDArray[Any], variance: float) -> ShapeModel:
        """The fewest components that hold a share ``variance`` of what ``points`` (n, 5, 2) in ``boxes`` (n, 4) vary.

        Raises ValueError for fewer than two faces or a variance that is not in (0, 1].
        """
        if not 0 < variance <= 1:
            raise ValueError(f"variance must be in (0, 1], but got {variance}")
        if len(points) < 2:
            raise ValueError(f"points must be those of two faces or more, but got {len(points)}")
        centre, side = _frame(boxes)
        x = ((np.asarray(points, float) - centre) / side).reshape(len(points), 10)
        mean = x.mean(0)
        _, s, vt = np.linalg.svd(x - mean, full_matrices=False)
        share = np.cumsum(s**2) / max(float((s**2).sum()), 1e-12)
        k = min(int(np.searchsorted(share, variance - 1e-12)) + 1, len(s))
        return ShapeModel(mean, vt[:k], 3 * s[:k] / np.sqrt(len(points) - 1))

    def smooth(self, points: NDArray[Any], boxes: NDArray[Any]) -> NDArray[np.float32]:
        """``points`` (n, 5, 2) in ``boxes`` (n, 4) as the model can say them, coefficients clipped to the limits."""
        centre, side = _frame(boxes)
        x = ((np.asarray(points, float) - centre) / side).reshape(-1, 10)
        coefficients = ((x - self.mean) @ self.components.T).clip(-self.limits, self.limits)
        y = (self.mean + coefficients @ self.components).reshape(-1, 5, 2)
        return np.asarray(y * side + centre, np.float32)
