import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.angles import angles_to_rotation, rotation_to_angles
from edgeface.errors import InvalidInputError

NOSE = np.array([0.0, 0.0, -1.0])  # the head's z axis points into the picture, so the nose points along -z
PERSONS_LEFT = np.array([1.0, 0.0, 0.0])  # image-right for a face that looks into the lens


def test_identity_looks_into_the_lens() -> None:
    np.testing.assert_array_equal(angles_to_rotation([0, 0, 0]), np.eye(3))


@pytest.mark.parametrize(
    ("angles", "vector", "axis", "sign", "what"),
    [
        ([30, 0, 0], NOSE, 0, -1, "yaw > 0: the nose goes to image-left"),
        ([-30, 0, 0], NOSE, 0, 1, "yaw < 0: the nose goes to image-right"),
        ([0, 30, 0], NOSE, 1, -1, "pitch > 0: the nose goes up (y is down)"),
        ([0, -30, 0], NOSE, 1, 1, "pitch < 0: the nose goes down"),
        ([0, 0, 30], PERSONS_LEFT, 1, 1, "roll > 0: the person's left eye sinks"),
        ([0, 0, -30], PERSONS_LEFT, 1, -1, "roll < 0: the person's left eye rises"),
    ],
)
def test_signs(angles: list[float], vector: np.ndarray, axis: int, sign: int, what: str) -> None:
    assert np.sign((angles_to_rotation(angles) @ vector)[axis]) == sign, what


def test_is_the_product_of_three_turns() -> None:
    yaw, pitch, roll = np.radians([25.0, -40.0, 70.0])
    rx = np.array([[1, 0, 0], [0, np.cos(-pitch), -np.sin(-pitch)], [0, np.sin(-pitch), np.cos(-pitch)]])
    ry = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    rz = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    np.testing.assert_allclose(angles_to_rotation([25, -40, 70]), rx @ ry @ rz, atol=1e-12)


angle = st.floats(-180, 180)


@given(angle, angle, angle)
def test_any_rotation_survives_the_round_trip(yaw: float, pitch: float, roll: float) -> None:
    rotation = angles_to_rotation([yaw, pitch, roll])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    back = rotation_to_angles(rotation)
    assert np.all(np.abs(back) <= 180)
    np.testing.assert_allclose(angles_to_rotation(back), rotation, atol=1e-4)


@given(st.floats(-179, 179).filter(lambda y: abs(abs(y) - 90) > 0.01), st.floats(-85, 85), st.floats(-85, 85))
def test_the_angles_come_back_beyond_a_profile_too(yaw: float, pitch: float, roll: float) -> None:
    np.testing.assert_allclose(
        rotation_to_angles(angles_to_rotation([yaw, pitch, roll])), [yaw, pitch, roll], atol=1e-3
    )


@pytest.mark.parametrize("side", [1, -1])
def test_a_turn_through_the_profile_is_continuous(side: int) -> None:
    yaws = side * np.arange(80.0, 101.0, 0.5)
    back = rotation_to_angles(angles_to_rotation(np.stack([yaws, np.full_like(yaws, 10), np.full_like(yaws, -5)], -1)))
    away = np.abs(yaws) != 90
    np.testing.assert_allclose(
        back[away], np.stack([yaws, np.full_like(yaws, 10), np.full_like(yaws, -5)], -1)[away], atol=1e-6
    )


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(90, 0, 20), (-90, 0, 20), (90, 15, 20), (-90, 15, 20), (90, 0, 0)])
def test_at_the_pole_roll_takes_everything(yaw: float, pitch: float, roll: float) -> None:
    rotation = angles_to_rotation([yaw, pitch, roll])
    back = rotation_to_angles(rotation)
    assert back[1] == 0
    assert back[0] == pytest.approx(yaw)
    np.testing.assert_allclose(angles_to_rotation(back), rotation, atol=1e-7)


def test_shapes_are_kept() -> None:
    assert angles_to_rotation(np.zeros((4, 2, 3))).shape == (4, 2, 3, 3)
    assert rotation_to_angles(np.zeros((0, 3, 3))).shape == (0, 3)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"angles must be an array of shape \(..., 3\), but got shape \(2,\)"):
        angles_to_rotation([1, 2])
    with pytest.raises(InvalidInputError, match=r"rotations must be .*, but got shape \(3,\)"):
        rotation_to_angles([1, 2, 3])
