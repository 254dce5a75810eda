"""Faces of heads whose place and turn are known, as a pinhole camera sees the mean face. For tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface import Faces, _core
from edgeface.turns import turn_matrix, turn_points

MEAN = _core.mean_face().astype(np.float64)
FIVE = np.array([MEAN[36:42].mean(0), MEAN[42:48].mean(0), MEAN[30], MEAN[48], MEAN[54]])


def sight(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3): the optical axis to the line of sight, by the shortest turn."""
    d = position / np.linalg.norm(position)
    axis = np.cross([0, 0, 1], d)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + d[2])


def faces_of(
    matrix: NDArray[np.float64],
    places: ArrayLike,
    heads: ArrayLike,
    *,
    size: tuple[int, int] = (1280, 720),
    rotation: int = 0,
    points: bool = True,
    grown: float = 1.0,
    **more: Any,
) -> Faces:
    """What a perfect detector and per-face network say.

    Args:
        matrix: (3, 3) of the camera as it is mounted.
        places: (n, 3) metres in its optical frame, of the middle between the eyes.
        heads: (n, 3, 3) head to that frame.
        size: of the frame as given.
        rotation: of the frame.
        points: whether the faces are described.
        grown: the heads are so much larger than the mean.
        **more: attributes of `Faces`.
    """
    at, turns = np.asarray(places, np.float64).reshape(-1, 3), np.asarray(heads, np.float64).reshape(-1, 3, 3)
    n = len(at)

    def seen(model: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = grown * np.einsum("nij,mj->nmi", turns, model) + at[:, None]
        pixels = moved @ matrix.T
        return pixels[..., :2] / pixels[..., 2:] + 0.5

    p68, p5 = seen(MEAN), seen(FIVE)
    low, high = p68.min(1), p68.max(1)
    middles = (np.einsum("nij,mj->nmi", turns, FIVE) + at[:, None]).mean(1)
    looks = np.stack([sight(a).T @ r for a, r in zip(middles, turns, strict=True)]) if n else turns
    upright = turn_matrix(rotation).astype(np.float64)
    extra: dict[str, Any] = {}
    if points:
        width = 2 * MEAN[16, 0]
        space = np.einsum("nij,mj->nmi", upright @ looks, MEAN) / width
        side = np.linalg.norm(p68[:, 16] - p68[:, 0], axis=1)
        extra = {
            "points68": p68,
            "points3d": space - space.mean(1, keepdims=True),
            "points_spread": np.full((n, 68), 0.01) * side[:, None],
            "visibility": np.ones((n, 68)),
            "eyes_open": np.ones((n, 2)),
            "mouth_open": np.zeros(n),
            "cover": np.zeros((n, 6)),
        }
    fields: dict[str, Any] = {
        "boxes": np.concatenate([low, high], 1),
        "scores": np.full(n, 0.9),
        "landmarks": p5,
        "rotations": upright @ looks,
        "quality": np.full(n, 0.8),
        "size": size,
        "rotation": rotation,
    }
    return Faces(**fields | extra | more)


def upright_points(faces: Faces) -> NDArray[Any]:
    """(n, 68, 2) pixels of the upright picture."""
    return turn_points(faces.points68, faces.size, faces.rotation)
