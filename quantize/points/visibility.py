"""Which of the 68 points a turned head hides: a ray from each to the camera against the mean face's triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.points.mean_face import VERTICES, mesh

#: Metres: what lies closer in front of a point than this is the point's own surface.
NEAR = 0.004


def visible_points(rotation: NDArray[Any]) -> NDArray[np.bool_]:
    """(68,) whether the camera sees each point of a mean face under ``rotation`` (3, 3), head to optical frame."""
    vertices, triangles = mesh()
    turned = vertices @ np.asarray(rotation, float).T
    points = turned[list(VERTICES)]
    a, b, c = (turned[triangles[:, k]] for k in range(3))
    ab, ac = (b - a)[:, :2], (c - a)[:, :2]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    safe = np.where(np.abs(area) < 1e-12, np.inf, area)
    ap = points[:, None, :2] - a[None, :, :2]
    u = (ap[..., 0] * ac[:, 1] - ap[..., 1] * ac[:, 0]) / safe
    v = (ab[:, 0] * ap[..., 1] - ab[:, 1] * ap[..., 0]) / safe
    depth = a[:, 2] + u * (b - a)[:, 2] + v * (c - a)[:, 2]
    inside = (u > 1e-6) & (v > 1e-6) & (u + v < 1 - 1e-6)
    covered = inside & (depth < points[:, None, 2] - NEAR)
    facing = _normals(turned, triangles)[list(VERTICES), 2] < 0.1  # the mesh ends at the jaw: no triangle hides its rim
    return np.asarray(~covered.any(1) & facing)


def _normals(vertices: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Outward unit normals of the vertices (n, 3), weighted by area."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, triangles[:, k], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
