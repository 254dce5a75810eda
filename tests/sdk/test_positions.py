"""Distance and gaze of heads whose place and turn are known."""

from __future__ import annotations

import doctest
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import faces_of

from edgeface import Faces, angles_to_rotation, camera_matrix, positions
from edgeface.errors import InvalidInputError
from edgeface.positions import EYE_SPREAD

K = camera_matrix((1280, 720), 70)


def test_the_examples_run() -> None:
    assert doctest.testmod(positions).failed == 0


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("yaw", [-90, -60, 0, 30, 85])
@pytest.mark.parametrize("at", [(0, 0, 1), (0.4, -0.2, 0.6), (-1.5, 0.8, 3)])
def test_a_known_head(points: bool, rotation: int, yaw: float, at: tuple[float, float, float]) -> None:
    for pitch, roll in ((0, 0), (-25, 20), (15, 180)):
        turn = angles_to_rotation([yaw, pitch, 0])
        turn = angles_to_rotation([0, 0, roll]) @ turn
        faces = faces_of(K, at, turn, rotation=rotation, points=points)
        found = faces.positions(K)
        assert found.from_points.tolist() == [points]
        np.testing.assert_allclose(found.points[0], at, atol=0.01 * at[2])
        assert found.distances[0] == pytest.approx(np.linalg.norm(at), rel=0.01)
        angle = np.degrees(np.arccos(np.clip(found.directions[0] @ -turn[:, 2], -1, 1)))
        assert angle < 1.0
        np.testing.assert_allclose(np.linalg.norm(found.directions, axis=1), 1)


def test_the_eye_lies_where_it_is_seen() -> None:
    """By hand: 0.063 m at 1 m and 1000 pixels of focal length are 63 pixels, twice as far they are 31.5."""
    k = [[1000, 0, 639.5], [0, 1000, 359.5], [0, 0, 1]]
    for distance, pixels in ((1.0, 63.0), (2.0, 31.5)):
        faces = faces_of(np.array(k, float), (0, 0, distance), np.eye(3), points=False)
        apart = faces.landmarks[0, 1, 0] - faces.landmarks[0, 0, 0]
        assert apart == pytest.approx(pixels, abs=0.02)
        np.testing.assert_allclose(faces.landmarks[0, :2].mean(0), [640, 360], atol=1e-3)
        np.testing.assert_allclose(faces.positions(k).points[0], [0, 0, distance], atol=1e-4)


def test_spread_is_that_of_heads() -> None:
    faces = faces_of(K, [(0, 0, 1), (0, 0.2, 2)], [np.eye(3)] * 2)
    found = faces.positions(K)
    assert (found.spreads > EYE_SPREAD * found.distances).all()
    assert (found.spreads < 0.1 * found.distances).all()
    # a head that is 8 % larger seems 8 % nearer, and lies within two of the spreads
    large = faces_of(K, (0, 0, 1), np.eye(3), grown=1.08).positions(K)
    assert large.distances[0] == pytest.approx(1 / 1.08, rel=0.005)
    assert abs(large.distances[0] - 1) < 2 * large.spreads[0]
    # what is hardly seen is less sure
    blurred = replace(faces, points_spread=faces.points_spread * 20)
    assert (blurred.positions(K).spreads > found.spreads).all()


def test_a_wrong_rotation_costs_little() -> None:
    turn = angles_to_rotation([30, 5, 0])
    faces = faces_of(K, (0.2, 0.1, 1.2), turn)
    off = replace(faces, rotations=(angles_to_rotation([8, -5, 0]) @ faces.rotations[0])[None])
    found = off.positions(K)
    assert found.distances[0] == pytest.approx(np.linalg.norm([0.2, 0.1, 1.2]), rel=0.03)
    before = np.degrees(np.arccos(np.trace(off.rotations[0].T @ faces.rotations[0]) / 2 - 0.5))
    after = np.degrees(np.arccos(found.directions[0] @ -turn[:, 2]))
    assert after < before / 2  # the points know better


def test_who_looks_at_the_camera() -> None:
    at = np.array([[0.5, 0.1, 1.0], [0.5, 0.1, 1.0], [-0.3, 0, 2.0]])

    def towards(position: np.ndarray, target: np.ndarray) -> np.ndarray:
        back = position - target
        z = back / np.linalg.norm(back)
        x = np.cross([0, 1, 0], z) / np.linalg.norm(np.cross([0, 1, 0], z))
        return np.column_stack([x, np.cross(z, x), z])

    lamp = np.array([0.0, -1.0, 0.0])
    turns = [towards(at[0], np.zeros(3)), towards(at[1], lamp), angles_to_rotation([180, 0, 0])]
    found = faces_of(K, at, turns).positions(K)
    passing = found.closest_approach()
    assert passing[0] < 0.02
    assert passing[1] > 0.5
    assert passing[2] == pytest.approx(np.linalg.norm(at[2]), rel=0.02)  # looks away: no nearer than it is
    assert found.closest_approach(lamp)[1] < 0.05
    with pytest.raises(InvalidInputError, match="target must be three numbers"):
        found.closest_approach([1, 2])


def test_rows_that_are_left_out_use_the_landmarks() -> None:
    faces = faces_of(K, [(0, 0, 1), (0.3, 0, 1.5)], [np.eye(3)] * 2)
    points = faces.points68.copy()
    points[1] = np.nan
    found = replace(faces, points68=points).positions(K)
    assert found.from_points.tolist() == [True, False]
    np.testing.assert_allclose(found.distances, [1, np.hypot(0.3, 1.5)], rtol=0.01)


def test_nothing_that_fits() -> None:
    faces = faces_of(K, [(0, 0, 1)], [np.eye(3)])
    centre = faces.landmarks.mean(1, keepdims=True)
    assert np.isnan(replace(faces, landmarks=centre + 0 * faces.landmarks).positions(K).points).all()
    assert np.isnan(replace(faces, landmarks=2 * centre - faces.landmarks).positions(K).points).all()
    empty = Faces.empty((1280, 720)).positions(K)
    assert (empty.points.shape, empty.covariances.shape, empty.spreads.shape) == ((0, 3), (0, 3, 3), (0,))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1e4))
def test_any_points_give_numbers_or_nan(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    faces = faces_of(K, [(0, 0, 1)], [np.eye(3)])
    noise: dict[str, Any] = {"landmarks": rng.normal(0, scale, (1, 5, 2)), "points68": rng.normal(0, scale, (1, 68, 2))}
    found = replace(faces, rotations=rng.normal(0, 1, (1, 3, 3)), **noise).positions(K)
    assert np.isnan(found.points).all() or (found.points[0, 2] > 0 and np.isfinite(found.covariances).all())


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(2),
        "camera",
        np.full((3, 3), np.nan),
        np.zeros((3, 3)),
        [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
        np.ones((3, 3)),
    ],
)
def test_refused_matrices(matrix: Any) -> None:
    with pytest.raises(InvalidInputError, match="camera_matrix must be a 3x3 camera matrix"):
        Faces.empty((64, 48)).positions(matrix)


def test_camera_matrices() -> None:
    np.testing.assert_allclose(camera_matrix((640, 480), 90)[0, 0], 320)
    np.testing.assert_allclose(camera_matrix((640, 480), 90, "vertical")[1, 1], 240)
    np.testing.assert_allclose(camera_matrix((640, 480), 90, "diagonal")[1, 1], 400)
    assert Faces.empty((64, 48)).positions(camera_matrix((64, 48), 60).ravel()).points.shape == (0, 3)  # as ROS has it
    for degrees in (0, 180, True, "60", np.nan):
        with pytest.raises(InvalidInputError, match="degrees must be between 0 and 180"):
            camera_matrix((640, 480), degrees)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="axis must be one of horizontal"):
        camera_matrix((640, 480), 60, "sideways")  # type: ignore[arg-type]
