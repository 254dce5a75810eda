"""Teachers place points a little elsewhere than people do; what is systematic of it is measured and taken off.

The offset of a point is a vector in the head's frame, found by least squares over the faces that people drew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.points.labels import INNER, JAW, yaw_of
from quantize.points.pack import Targets

RIDGE = 0.05
"""Keeps the direction that frontal faces do not show near nothing, as a share of the faces."""
PROFILE = (30.0, 60.0)
"""Degrees of yaw between which the correction fades: few drawn faces are turned further."""
LEAST = 50
"""Faces that an offset is measured on."""


def offsets(drawn: NDArray[Any], taught: NDArray[Any], rotations: NDArray[Any]) -> NDArray[np.float64]:
    """(68, 3) in the head's frame, so that ``taught`` + R_xy · offset fits ``drawn`` (n, 68, 2) best."""
    r = np.asarray(rotations, float)[:, :2]
    left = np.einsum("nki,nkj->ij", r, r) + RIDGE * len(r) * np.eye(3)
    right = np.einsum("nki,npk->pi", r, np.asarray(drawn, float) - taught)
    return np.asarray(np.linalg.solve(left, right.T).T)


def unbiased(targets: Targets, reference: Targets) -> int:
    """Moves the taught points of ``targets``, in place, by what ``reference``'s drawn faces say. Returns how many."""
    new: dict[str, NDArray[np.float64]] = {}
    yaw = np.array([abs(yaw_of(r)) for r in targets.rotation])
    share = np.clip((PROFILE[1] - yaw) / (PROFILE[1] - PROFILE[0]), 0, 1)
    for name in ("tddfa", "mesh"):
        taught = getattr(reference, name)
        known = (reference.drawn > 0) & ~np.isnan(taught).any((1, 2))
        moved = getattr(targets, name).astype(float)
        if known.sum() >= LEAST:
            delta = offsets(reference.points[known], taught[known], reference.rotation[known])
            moved = moved + share[:, None, None] * np.einsum("nki,pi->npk", targets.rotation[:, :2], delta)
        new[name] = moved
    todo = targets.drawn == 0
    has_mesh = ~np.isnan(new["mesh"]).any((1, 2))
    points = new["tddfa"].copy()
    points[has_mesh, INNER] = new["mesh"][has_mesh, INNER]
    points[has_mesh, JAW] = new["tddfa"][has_mesh, JAW]
    targets.points[todo] = points[todo].astype(np.float32)
    return int(todo.sum())
