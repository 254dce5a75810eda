"""Rotations of labels against the device's own reading of angles, means on SO(3), mirrors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.angles import rotation_to_angles
from quantize.data.pose import geodesic_degrees, mean_rotation, mirrored, rotation_from_300wlp

angle = st.floats(-80, 80)


@given(angle, angle, angle)
def test_angles_survive_the_way_there_and_back(yaw: float, pitch: float, roll: float) -> None:
    found = rotation_to_angles(rotation_from_300wlp(yaw, pitch, roll)[None])
    assert np.ravel(found) == pytest.approx([yaw, pitch, roll], abs=1e-3)


@given(angle, angle, angle)
def test_mirror_negates_yaw_and_roll(yaw: float, pitch: float, roll: float) -> None:
    found = mirrored(rotation_from_300wlp(yaw, pitch, roll))
    assert found == pytest.approx(rotation_from_300wlp(-yaw, pitch, -roll), abs=1e-9)


def test_mean_lies_half_way() -> None:
    mean = mean_rotation(np.stack([rotation_from_300wlp(10, 0, 0), rotation_from_300wlp(30, 0, 0)]))
    assert mean == pytest.approx(rotation_from_300wlp(20, 0, 0), abs=1e-9)
    weighted = mean_rotation(np.stack([np.eye(3), rotation_from_300wlp(40, 0, 0)]), [1, 0])
    assert weighted == pytest.approx(np.eye(3), abs=1e-9)


def test_geodesic_is_the_angle_between() -> None:
    assert geodesic_degrees(np.eye(3), rotation_from_300wlp(0, 25, 0)) == pytest.approx(25)
