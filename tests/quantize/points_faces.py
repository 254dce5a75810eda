"""Drawn faces for the tests of edgeface-points: the mean face in oil, under any rotation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.angles import angles_to_rotation
from quantize.points.labels import FaceTarget
from quantize.points.mean_face import mean_face
from quantize.points.pack import Writer
from quantize.points.state import STATE, openness

#: Head of a recipe for faces drawn here; ``{root}`` is the test's folder, ``[train]`` follows.
DRAWN = """
task = "points"
name = "edgeface-drawn"
run = "{root}/run"
[[data.sets]]
name = "drawn"
reader = "jsonl"
path = "{root}"
use = "landmarks"
origin = "drawn by tests/quantize/points_faces.py"
[model]
architecture = "edgeface-points"
"""


def face_points(angles: tuple[float, float, float] = (0, 0, 0), scale: float = 700.0) -> NDArray[np.float64]:
    """(68, 3) pixels around (120, 110): x right, y down, depth."""
    turned = mean_face() @ angles_to_rotation(angles).T * scale
    return np.asarray(turned + np.array([120.0, 110, 0]))


def photo(points: NDArray[Any], seed: int = 0, size: int = 240) -> NDArray[np.uint8]:
    """BGR: a skin-coloured head with eyes, nose and mouth on noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 120, (size, size, 3)).astype(np.uint8)
    p = np.rint(points[:, :2]).astype(np.int32)
    cv2.fillConvexPoly(image, cv2.convexHull(p), (140, 170, 210))
    for part, colour in ((slice(36, 42), (40, 30, 30)), (slice(42, 48), (40, 30, 30)), (slice(48, 60), (60, 60, 170))):
        cv2.fillPoly(image, [p[part]], colour)
    cv2.polylines(image, [p[27:31]], False, (90, 120, 160), 1)
    return image


def target(angles: tuple[float, float, float] = (0, 0, 0), scale: float = 700.0) -> FaceTarget:
    """What the drawn face teaches."""
    points = face_points(angles, scale)
    state = np.zeros(len(STATE))
    state[:3] = openness(points[:, :2], angles_to_rotation(angles))
    box = np.r_[points[:, :2].min(0), points[:, :2].max(0)]
    flat = points[:, :2]
    elsewhere = flat + (angles_to_rotation(angles) @ [0.002, -0.001, 0] * scale)[:2]  # as a teacher has it
    depth, taught = points[:, 2] - points[:, 2].mean(), {"tddfa": elsewhere, "mesh": elsewhere}
    rotation = angles_to_rotation(angles)
    return FaceTarget(flat, depth, np.ones(68), np.ones(68), state, rotation, box, True, taught)


def write_pack(folder: Path, count: int, seed: int = 0) -> None:
    """A pack of ``count`` drawn faces."""
    rng = np.random.default_rng(seed)
    writer = Writer()
    for k in range(count):
        one = target(tuple(rng.uniform(-25, 25, 3)), float(rng.uniform(500, 800)))
        writer.add(photo(one.points, seed + k), one, 0)
    writer.write(folder)
