"""The mean face and the pose from points, on faces whose rotation is known."""

from pathlib import Path

import numpy as np
import pytest

from edgeface.angles import angles_to_rotation
from quantize.data.mean_face import fit_mean_face, refine_rotations, rotation_from_points
from quantize.data.pose import geodesic_degrees
from quantize.data.sample import FaceLabel, Sample

RNG = np.random.default_rng(4)
SHAPE = RNG.normal(0, 1, (68, 3)) * [1, 1, 0.5]


def project(angles: list[float], noise: float = 0.0) -> np.ndarray:
    r = angles_to_rotation(angles)
    return 40 * SHAPE @ r[:2].T + [100, 80] + RNG.normal(0, noise, (68, 2))


def test_shape_and_rotation_come_back() -> None:
    angles = RNG.uniform(-40, 40, (60, 3))
    points = np.stack([project(a)[17:] for a in angles])
    shape = fit_mean_face(points, angles_to_rotation(angles))
    for a, p in zip(angles, points, strict=True):
        assert geodesic_degrees(rotation_from_points(p, shape), angles_to_rotation(a)) < 0.01


def test_refining_halves_independent_errors() -> None:
    angles = RNG.uniform(-30, 30, (80, 3))
    wrong = angles + RNG.normal(0, 6, (80, 3))
    faces = [
        FaceLabel(
            np.zeros(4, np.float32),
            None,
            angles_to_rotation(w).astype(np.float32),
            extra={"points68": project(a, 1.0).tolist()},
        )
        for a, w in zip(angles, wrong, strict=True)
    ]
    truth = angles_to_rotation(angles)
    before = geodesic_degrees(angles_to_rotation(wrong), truth).mean()
    assert refine_rotations([Sample(Path("x"), 1, 1, faces, True)], weight=1, teachers=1) == 80
    after = geodesic_degrees(np.stack([f.rotation for f in faces]), truth).mean()  # type: ignore[arg-type]
    assert after < 0.7 * before


def test_too_few_faces_are_left_alone() -> None:
    face = FaceLabel(
        np.zeros(4, np.float32), None, np.eye(3, dtype=np.float32), extra={"points68": project([0, 0, 0]).tolist()}
    )
    assert refine_rotations([Sample(Path("x"), 1, 1, [face], True)]) == 0
    assert face.rotation == pytest.approx(np.eye(3))
