"""Components of ISO/IEC 29794-5: OFIQ's formulas at values that are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.heads import MEAN, faces_of

from edgeface import Faces, Frame, angles_to_rotation
from edgeface.iso import _score, quality_components

#: 2000 pixels of focal length: the mean face's eyes are 126 pixels apart at 1 m.
K = np.array([[2000.0, 0, 639.5], [0, 2000, 359.5], [0, 0, 1]])
CORNERS = [36, 39, 42, 45]
SEEN = 2000 * MEAN[:, :2] / (1 + MEAN[:, 2:])
T = float(np.linalg.norm(SEEN[8] - SEEN[CORNERS].mean(0)))  # eyes to chin, in pixels


def scored(frame: Frame | None = None, **more: Any) -> dict[str, int]:
    options = {"rotations": np.eye(3)[None]} | more
    return quality_components(faces_of(K, [(0, 0, 1)], [np.eye(3)], **options), frame)[0]


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("angle", "expected"), [(0, 100), (30, 75), (45, 50), (-60, 25), (90, 0), (120, 0)])
def test_head_pose_is_the_cosine_squared(angle: float, expected: int) -> None:
    for k, name in enumerate(("yaw", "pitch", "roll")):
        angles = [0.0, 0.0, 0.0]
        angles[k] = angle
        if name != "yaw" and abs(angle) > 90:
            continue  # such a head has other angles, too
        assert scored(rotations=angles_to_rotation([angles]))[f"head_pose_{name}"] == expected


def test_distances_of_a_known_face() -> None:
    found = scored()
    assert found["inter_eye_distance"] == round(100 * sigmoid((126 - 70) / 20))
    assert found["leftward_crop_of_the_face_image"] == 100  # (640 - 63) / 126 = 4.6 eye distances
    middle = float(faces_of(K, [(0, 0, 1)], [np.eye(3)]).points68[0, CORNERS, 1].mean())
    assert found["margin_above_of_the_face_image"] == round(100 * sigmoid((middle / T - 1.4) / 0.1))
    assert found["head_size"] == round(200 * (1 - sigmoid(abs(T / 720 - 0.45) / 0.05)))
    lids = 2000 * float(np.linalg.norm(MEAN[38, :2] - MEAN[40, :2])) / T
    assert found["eyes_open"] == pytest.approx(100 * sigmoid((lids - 0.02) / 0.01), abs=1)
    lids = 2000 * float(np.linalg.norm(MEAN[62, :2] - MEAN[66, :2])) / T
    assert found["mouth_closed"] == pytest.approx(100 * (1 - sigmoid((lids - 0.2) / 0.06)), abs=1.5)
    # a head that is turned by 60 degrees has eyes that seem half as far apart
    turned = scored(rotations=angles_to_rotation([[60, 0, 0]]))
    assert turned["inter_eye_distance"] == round(100 * sigmoid((252 - 70) / 20))


def test_lengths_are_measured_as_ofiq_measures_them() -> None:
    """Worked out by hand from OFIQ 1.2: tmetric (utils.cpp), CropOfTheFaceImage.cpp, EyesOpen.cpp, MouthClosed.cpp."""
    faces = faces_of(K, [(0, 0, 1)], [np.eye(3)])
    points = faces.points68.copy()
    points[0, 36:42] = [[300, 200], [315, 188], [325, 188], [340, 200], [325, 204], [315, 204]]
    points[0, 42:48] = [[400, 200], [415, 198], [425, 198], [440, 200], [425, 202], [415, 202]]
    points[0, 8] = [370, 360]  # T = 160: from the middle of the eyes' corners, whatever the lids do
    points[0, 61:64], points[0, 65:68] = [[350, 300], [370, 300], [390, 300]], [[390, 320], [370, 332], [350, 320]]
    five = faces.landmarks.copy()
    five[0, :2] = [[10, 200], [110, 200]]
    found = quality_components(replace(faces, points68=points, landmarks=five))[0]
    assert found["margin_above_of_the_face_image"] == 18  # 200 / 160 = 1.25: 100 / (1 + e^1.5) = 18.24
    assert found["margin_below_of_the_face_image"] == 100  # 520 / 160 = 3.25
    assert found["head_size"] == 2  # 160 / 720 = .222: 200 (1 - 1 / (1 + e^-4.556)) = 2.08
    assert found["eyes_open"] == 62  # the left eye: 4 / 160 = .025: 100 / (1 + e^-.5) = 62.2
    assert found["mouth_closed"] == 50  # 32 / 160 = .2
    # from the left edge to the eye at the right, over 100 pixels between the eyes: 1.1; 100 / (1 + e^-2) = 88.1
    assert found["leftward_crop_of_the_face_image"] == 88
    assert found["rightward_crop_of_the_face_image"] == 100  # 12.7
    five[0, :2] = [[1190, 200], [1290, 200]]
    found = quality_components(replace(faces, landmarks=five))[0]
    assert found["rightward_crop_of_the_face_image"] == 50  # (1280 - 1190) / 100 = .9


#: Native score and quality: the first ten of photos in OFIQ's own conformance table, the rest its formula by hand.
@pytest.mark.parametrize(
    ("component", "native", "expected"),
    [
        ("head_pose_pitch", 16.617661, 92),
        ("head_pose_roll", -27.373343, 79),
        ("margin_above_of_the_face_image", 1.548853, 82),
        ("margin_below_of_the_face_image", 1.750326, 38),
        ("head_size", 0.248645, 4),
        ("eyes_open", 0.023177, 58),
        ("mouth_closed", 0.082712, 88),
        ("over_exposure_prevention", 6.5e-05, 99),
        ("dynamic_range", 5.55899, 69),
        ("single_face_present", 0.333736, 67),
        ("inter_eye_distance", 90.0, 73),
        ("leftward_crop_of_the_face_image", 0.95, 62),
        ("rightward_crop_of_the_face_image", 0.8, 27),
        ("under_exposure_prevention", 0.92, 40),
        ("head_pose_yaw", 100.0, 0),
        ("unified_quality_score", 12.5, 13),  # std::round takes halves away from zero
        ("dynamic_range", 0.04, 1),
    ],
)
def test_native_scores_are_mapped_and_rounded_as_by_ofiq(component: str, native: float, expected: int) -> None:
    assert _score(component, native) == expected


def test_a_head_seen_from_behind_has_no_distance_of_eyes() -> None:
    turned = scored(rotations=angles_to_rotation([[120, 0, 0]]))
    assert turned["inter_eye_distance"] == 0  # 126 / cos 120° = -252


def test_shut_eyes_and_an_open_mouth() -> None:
    faces = faces_of(K, [(0, 0, 1)], [np.eye(3)])
    points = faces.points68.copy()
    points[0, [41, 40]] = points[0, [37, 38]]
    assert quality_components(replace(faces, points68=points))[0]["eyes_open"] == round(100 * sigmoid(-2))
    points[0, 65:68, 1] = points[0, 61:64, 1] + 0.4 * T
    assert quality_components(replace(faces, points68=points))[0]["mouth_closed"] < 5


def test_cover() -> None:
    cover = np.array([[0.1, 0.2, 0.05, 0.7, 0.9, 0.3]])
    found = scored(cover=cover)
    assert found["eyes_visible"] == 70
    assert found["mouth_occlusion_prevention"] == found["face_occlusion_prevention"] == 30


@pytest.mark.parametrize(
    ("grey", "expected"),
    [
        (255, {"over_exposure_prevention": 1, "under_exposure_prevention": 100, "dynamic_range": 0}),
        (0, {"over_exposure_prevention": 100, "under_exposure_prevention": 0, "dynamic_range": 0}),
        (150, {"over_exposure_prevention": 100, "under_exposure_prevention": 100, "dynamic_range": 0}),
    ],
)
def test_exposure_of_plain_frames(grey: int, expected: dict[str, int]) -> None:
    frame = Frame.from_array(np.full((720, 1280, 3), grey, np.uint8), "bgr")
    found = scored(frame)
    assert {name: found[name] for name in expected} == expected


def test_two_levels_are_one_bit() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    image[:, 640:] = 255
    assert scored(Frame.from_array(image, "bgr"))["dynamic_range"] in range(12, 30)  # one bit, and the seam


def test_what_cannot_be_computed_is_left_out() -> None:
    found = scored(points=False)
    assert "eyes_open" not in found
    assert "sharpness" not in found
    assert "unified_quality_score" in found
    assert quality_components(Faces.empty((64, 48))) == []
    two = faces_of(K, [(0, 0, 1), (0.3, 0, 2)], [np.eye(3)] * 2)
    # half as far and four times as large
    assert [c["single_face_present"] for c in quality_components(two)] == [pytest.approx(75, abs=1), 0]
    for rotation in (90, 180, 270):
        turned = faces_of(K, [(0, 0, 1)], [np.eye(3)], rotation=rotation)
        assert all(0 <= v <= 100 for v in quality_components(turned)[0].values())
