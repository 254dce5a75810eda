"""Labels of edgeface-points: contours, visibility, outlines, teachers' bias, shape model, packed faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import face_points, photo, target, write_pack

from edgeface.angles import angles_to_rotation
from quantize.data.sample import FaceLabel
from quantize.points.bias import offsets, unbiased
from quantize.points.bridge import bare, bridge_edge
from quantize.points.crop import carried, face_crop, placed, sample_crop
from quantize.points.labels import PointLabeller, outline_corrected
from quantize.points.mean_face import MIRROR, VERTICES, five_of, mean_face
from quantize.points.pack import SHARE, SIDE, load, save_targets
from quantize.points.shapes import smooth_points
from quantize.points.state import STATE, aspect_ratios, drawn_openness, openness, state_of_attributes
from quantize.points.visibility import visible_points


def test_the_aspect_ratio_of_an_eye_by_hand() -> None:
    points = np.zeros((68, 2))
    points[36:42] = [[0, 0], [3, -1], [7, -1], [10, 0], [7, 2], [3, 2]]
    points[60:68] = [[0, 0], [2, -1], [5, -1], [8, -1], [10, 0], [8, 3], [5, 3], [2, 3]]
    eye, _, mouth = aspect_ratios(points)
    assert eye == pytest.approx(0.3) and mouth == pytest.approx(0.4)
    assert openness(points)[0] == 1 and openness(points)[2] == pytest.approx(0.4 / 0.6)


@pytest.mark.parametrize("angles", [(40, 0, 0), (-45, 10, 0), (0, 30, 0), (0, -30, 20), (20, 15, 70)])
def test_with_its_rotation_a_turned_head_is_as_open_as_a_frontal_one(angles: tuple[float, float, float]) -> None:
    frontal, turned = openness(face_points()[:, :2]), openness(face_points(angles)[:, :2], angles_to_rotation(angles))
    assert np.abs(frontal - turned).max() < 0.02
    if abs(angles[0]) >= 40:
        assert openness(face_points(angles)[:, :2])[2] > frontal[2] + 0.03


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, -35, 0), (0, 35, 0), (30, -20, 40)])
def test_lids_that_touch_are_shut_however_the_head_is_turned(angles: tuple[float, float, float]) -> None:
    points = face_points(angles)[:, :2]
    points[[37, 38, 43, 44]] = points[[41, 40, 47, 46]]
    assert (openness(points, angles_to_rotation(angles))[:2] == 0).all()


def test_a_contour_that_is_narrow_or_seen_from_the_side_says_nothing() -> None:
    large, small = (drawn_openness(face_points(scale=scale)[:, :2], np.eye(3)) for scale in (900, 300))
    assert np.isfinite(large).all() and np.isnan(small[:2]).all()
    side = angles_to_rotation([75, 0, 0])
    assert np.isnan(openness(face_points((75, 0, 0))[:, :2], side)[0])


def test_labels_of_shut_eyes_are_near_nothing_whatever_the_mesh_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mesh keeps the lids apart in depth."""
    angles = (0, -25, 0)
    points = face_points(angles, 900)
    points[[37, 38, 43, 44], :2] = points[[41, 40, 47, 46], :2]
    mesh = np.zeros((468, 3))
    mesh[list(VERTICES)] = points
    mesh[list(VERTICES[37:39]) + list(VERTICES[43:45]), 2] -= 12
    labeller = PointLabeller.__new__(PointLabeller)
    labeller.tddfa, labeller.mesh = lambda image, boxes: points[None, None, :, :2], lambda *_: mesh  # type: ignore[assignment]
    face = FaceLabel(np.r_[points[:, :2].min(0), points[:, :2].max(0)].astype(np.float32))
    face.rotation, face.extra = angles_to_rotation(angles).astype(np.float32), {"points68": points[:, :2].tolist()}
    made = labeller(np.zeros((8, 8, 3), np.uint8), face, "helen")
    assert made is not None and (made.state[:2] < 0.01).all()


def test_the_mirror_swaps_the_sides_of_the_mean_face() -> None:
    assert np.abs(mean_face()[list(MIRROR)] * [-1, 1, 1] - mean_face()).max() < 2e-3


def test_a_frontal_face_is_visible_and_a_profile_by_half() -> None:
    assert visible_points(np.eye(3)).all()
    left, right = (visible_points(angles_to_rotation([yaw, 0, 0])) for yaw in (-90, 90))
    assert 25 < right.sum() < 45
    assert not right[:8].any() and right[9:17].all()  # the person looks to image-left: their left side is seen
    assert (left[list(MIRROR)] == right).mean() > 0.95
    assert visible_points(angles_to_rotation([0, 0, 90])).all()  # roll hides nothing


def test_drawn_points_stay_where_the_camera_sees_them() -> None:
    drawn = face_points((50, 0, 0))[:, :2]
    seen = visible_points(angles_to_rotation([50, 0, 0]))
    model = drawn.copy()
    model[~seen] += [9, 0]
    frontal, turned = (outline_corrected(drawn, model, seen, yaw) for yaw in (10, 50))
    assert (frontal == drawn).all()
    assert (turned[seen] == drawn[seen]).all()
    hidden = np.flatnonzero(~seen[:17])
    assert np.abs(turned[hidden] - drawn[hidden] - [9, 0]).max() < 1e-9


def test_what_sets_say_of_covers() -> None:
    masked = state_of_attributes({"label": "with_mask"}, "mask_web")
    assert masked[STATE.index("mask")] == 1 and np.isnan(masked[STATE.index("cover_eyes")])
    assert np.isnan(state_of_attributes({"label": "with_mask"}, "mafa")[STATE.index("mask")])  # a hand, maybe
    assert np.isnan(state_of_attributes({}, "people")).all()


def test_a_crop_carries_points_there_and_back() -> None:
    one = target((30, 10, 40))
    matrix, width = face_crop(five_of(one.points), one.rotation, one.box)
    inside = carried(one.points, matrix)
    assert np.abs(placed(inside, matrix) - one.points).max() < 1e-9
    assert np.abs(inside).max() < 0.45 and 50 < width < 150
    rolled = target((0, 0, 40))
    upright, _ = face_crop(five_of(rolled.points), rolled.rotation, rolled.box)
    eyes = five_of(carried(rolled.points, upright))
    assert abs(eyes[0, 1] - eyes[1, 1]) < 1e-3  # roll is removed


def test_a_crop_shows_what_its_points_say() -> None:
    one = target()
    image = photo(one.points)
    matrix, _ = face_crop(five_of(one.points), one.rotation, one.box)
    crop = sample_crop(image, matrix, 112)
    x, y = np.rint((carried(one.points, matrix)[36:42].mean(0) + 0.5) * 112).astype(int)
    assert crop[y, x].max() < 90  # RGB of the dark eye


def test_the_bias_of_a_teacher_is_found_and_taken_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rotations = angles_to_rotation(rng.uniform(-40, 40, (80, 3)))
    true = rng.normal(0, 0.01, (68, 3))
    taught = rng.normal(0, 0.3, (80, 68, 2))
    drawn = taught + np.einsum("nki,pi->npk", rotations[:, :2], true)
    assert np.abs(offsets(drawn, taught, rotations)[:, :2] - true[:, :2]).max() < 0.003
    write_pack(tmp_path, 60)
    targets = load(tmp_path)[1]
    truth = targets.points.copy()
    targets.drawn[:5] = 0
    assert unbiased(targets, load(tmp_path)[1]) == 5
    assert np.abs(targets.points[:5] - truth[:5]).max() < 2e-3
    assert (targets.points[5:] == truth[5:]).all()


def test_packed_faces_lie_where_their_targets_say(tmp_path: Path) -> None:
    write_pack(tmp_path, 3)
    crops, targets = load(tmp_path)
    assert crops.shape == (3, SIDE, SIDE, 3)
    for crop, points in zip(crops, targets.points, strict=True):
        x, y = np.rint((points[36:42].mean(0) / SHARE + 0.5) * SIDE).astype(int)
        assert crop[y, x].max() < 100
    assert np.abs(targets.depth.mean(1)).max() < 1e-6


def test_a_shape_model_drops_what_faces_do_not_share() -> None:
    rng = np.random.default_rng(0)
    base, way = rng.normal(0, 0.2, (68, 2)), rng.normal(0, 0.02, (68, 2))
    clean = base + rng.normal(0, 1, (50, 1, 1)) * way
    noisy = clean + rng.normal(0, 0.002, clean.shape)
    smooth = smooth_points(noisy, np.ones(50, bool), 0.9)
    assert np.abs(smooth - clean).mean() < 0.4 * np.abs(noisy - clean).mean()
    with pytest.raises(ValueError, match="variance must be"):
        smooth_points(noisy, np.ones(50, bool), 0)


def test_a_bridge_over_the_nose_is_an_edge() -> None:
    points = face_points()[:, :2]
    without = photo(points)
    worn = without.copy()
    y = round(float(points[28, 1]))
    worn[y - 1 : y + 2, int(points[39, 0]) : int(points[42, 0])] = 0
    edges = np.array([bridge_edge(image, points) for image in (without, worn)])
    assert edges[1] > 2 * edges[0]
    assert bare(edges).tolist() == [True, False]


def test_once_packed_half_of_the_faces_teach_nothing_about_glasses(tmp_path: Path) -> None:
    from quantize.points.label import MASKED, finish

    write_pack(tmp_path, 8)
    targets = load(tmp_path)[1]
    targets.state[0, [STATE.index(name) for name in ("mask", "cover_nose", "cover_mouth")]] = 1
    save_targets(tmp_path, targets)
    finish(tmp_path, targets)
    done = load(tmp_path)[1]
    assert np.isnan(done.state[:, STATE.index("glasses")]).sum() == 4
    assert not done.visible[0, MASKED].any() and done.visible[0, 36:48].all() and done.visible[1].all()
