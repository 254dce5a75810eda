"""Views and what they carry along: points stay on what they marked, whatever the window, turn and mirror."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from quantize.config import ViewOptions  # noqa: E402
from quantize.data.pack import PackedPhotos, pack  # noqa: E402
from quantize.data.pose import rotation_from_300wlp  # noqa: E402
from quantize.data.sample import FaceLabel, Sample, points5_from_68, read_samples, write_samples  # noqa: E402
from quantize.train.views import Targets, Views, carry  # noqa: E402

# a "face" whose five points have colours of their own, so that a view shows where they went
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
POINTS = np.array([[130, 120], [170, 120], [150, 145], [135, 170], [165, 170]], np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> PackedPhotos:
    image = np.full((300, 320, 3), 40, np.uint8)
    for (x, y), colour in zip(POINTS.astype(int), COLOURS, strict=True):
        image[y - 4 : y + 4, x - 4 : x + 4] = colour[::-1]
    cv2.imwrite(str(tmp_path / "a.png"), image)
    face = FaceLabel(np.array([110, 90, 190, 195], np.float32), POINTS, np.eye(3, dtype=np.float32), 0.7)
    sample = Sample(tmp_path / "a.png", 320, 300, [face], True, "drawn")
    missing = Sample(tmp_path / "none.png", 1, 1, [], True, "drawn")
    skipped = pack([sample, missing], tmp_path / "packed")
    assert len(skipped) == 1 and "none.png" in skipped[0]
    return PackedPhotos(tmp_path / "packed")


def plain(**more: Any) -> ViewOptions:
    return ViewOptions(**{"camera": 0.0, "grids": [1.0], "smallest_side": 60, "most_upscale": 3.0, **more})


def drawn(photos: PackedPhotos, mined: NDArray[np.float32] | None = None, **more: Any) -> Views:
    return Views(photos, plain(**more), np.ones(len(photos)), hard=mined)


@pytest.mark.parametrize("grids", [[1.0], [0.0, 1.0]])
def test_points_stay_on_their_colours(photos: PackedPhotos, grids: list[float]) -> None:
    views = drawn(photos, grids=grids, tilt=40, tilt_share=1.0)
    mirrored_colours = [COLOURS[i] for i in (1, 0, 2, 4, 3)]
    seen = 0
    for number in range(40):
        image, targets = views.view(3, number, 256)
        for box, points, rotation in zip(targets.box, targets.points, targets.rotation, strict=True):
            mirror = np.linalg.det(np.stack([points[1] - points[0], points[3] - points[0]])) < 0
            assert not mirror, "the image-left eye must stay image-left of the person's mouth"
            assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-4)
            found = []
            for x, y in points:
                if 2 <= x < 254 and 2 <= y < 254 and box[0] < x < box[2] and box[1] < y < box[3]:
                    found.append(image[int(y), int(x)].astype(int))
            if len(found) == 5:
                seen += 1
                errors = [np.abs(np.array(found) - np.array(c)).max() for c in (COLOURS, mirrored_colours)]
                assert min(errors) < 110
    assert seen >= 10


def test_the_same_seed_gives_the_same_view(photos: PackedPhotos) -> None:
    views = drawn(photos, camera=1.0)
    a, b, other = views.view(1, 5, 96), views.view(1, 5, 96), views.view(2, 5, 96)
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1].box, b[1].box)
    assert not np.array_equal(a[0], other[0])


def test_in_plane_turn_turns_the_rotation() -> None:
    face = FaceLabel(np.array([10, 10, 30, 30], np.float32), None, np.eye(3, dtype=np.float32))
    a = np.radians(20)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    out = carry(
        Targets.of(Sample(Path("a.png"), 40, 40, [face], True)), np.c_[turn, 20 - turn @ [20, 20]], False, 40, 40, 4
    )
    assert out.rotation[0] == pytest.approx(rotation_from_300wlp(0, 0, 20), abs=1e-6)  # clockwise is positive roll
    assert out.box[0] == pytest.approx([10, 10, 30, 30], abs=1e-4)
    assert np.isnan(out.points).all()


@pytest.mark.parametrize(("degrees", "half"), [(0, (8, 12)), (45, (104**0.5,) * 2), (90, (12, 8)), (180, (8, 12))])
def test_the_box_turns_as_an_ellipse_does(degrees: int, half: tuple[float, float]) -> None:
    face = FaceLabel(np.array([12, 8, 28, 32], np.float32))
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    out = carry(
        Targets.of(Sample(Path("a.png"), 40, 40, [face], True)), np.c_[turn, 20 - turn @ [20, 20]], False, 40, 40, 4
    )
    assert out.box[0] == pytest.approx([20 - half[0], 20 - half[1], 20 + half[0], 20 + half[1]], abs=1e-4)


def test_small_and_cut_faces_become_ignore_regions() -> None:
    faces = [
        FaceLabel(np.array(b, np.float32))
        for b in ([0, 0, 40, 40], [90, 40, 130, 80], [50, 50, 56, 56], [200, 200, 240, 240])
    ]
    out = carry(Targets.of(Sample(Path("a.png"), 300, 300, faces, True)), np.eye(3)[:2] * 0.5, False, 50, 50, 4)
    assert out.box[:, 0].tolist() == [0, 45, 25]
    assert out.ignore.tolist() == [False, True, True]  # whole; a quarter of it visible; 3 pixels wide


def test_samples_survive_the_file(tmp_path: Path) -> None:
    face = FaceLabel(np.array([1, 2, 3, 4], np.float32), POINTS, None, 0.5, True, extra={"person": "a"})
    write_samples(tmp_path / "s.jsonl", [Sample(Path("a.png"), 5, 6, [face], False, "set")])
    (back,) = read_samples(tmp_path / "s.jsonl")
    assert back.faces[0].extra == {"person": "a"} and back.faces[0].ignore and back.faces[0].rotation is None
    assert np.array_equal(back.faces[0].points, POINTS)  # type: ignore[arg-type]
    (tmp_path / "s.jsonl").write_text('{"path": "a"}\n')
    with pytest.raises(ValueError, match=r"s\.jsonl:1"):
        read_samples(tmp_path / "s.jsonl")


def test_five_points_of_68() -> None:
    p = np.zeros((68, 2), np.float32)
    p[36:42], p[42:48], p[30], p[48], p[54] = 1, 2, 3, 4, 5
    assert points5_from_68(p)[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_windows_around_mined_places_show_them_near_the_size_that_deceived(photos: PackedPhotos) -> None:
    """The mined place is the green block around the second point, 8 px wide, seen at twice its size."""
    hard = np.array([[0, 166, 116, 174, 124, 2.0]], np.float32)
    views = drawn(photos, hard, hard=1.0, tilt=0, tilt_share=0.0)
    for number in range(12):
        image, _ = views.view(5, number, 128)
        green = (image[..., 1] > 150) & (image[..., 0] < 100) & (image[..., 2] < 100)
        assert 11 <= np.sqrt(green.sum()) <= 24, "8 px times two, times e^±.4"
    assert not len(drawn(photos, hard).hard), "without a share nothing is drawn from the list"


def test_a_whole_photo_fills_the_view_and_brings_its_labels(photos: PackedPhotos) -> None:
    views = drawn(photos, whole_share=1.0, whole_zoom=0.0, tilt=90, tilt_share=1.0)
    for number in range(8):
        image, targets = views.view(5, number, 160)  # 320 x 300 px at half their size
        assert np.sqrt(np.prod(targets.box[0, 2:] - targets.box[0, :2])) == pytest.approx(46, rel=0.1)
        assert 0.8 < (image == 40).all(2).mean() < 0.99, "nearly all of it is the photo's grey"
        x, y = targets.points[0, 2]
        assert np.abs(image[int(y), int(x)].astype(int) - COLOURS[2]).max() < 110, "the nose"
    views = drawn(photos, whole_share=1.0, whole_zoom=0.4)
    boxes = np.stack([views.view(5, n, 160)[1].box[0] for n in range(30)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    assert 30 < min(sides) < 36 and 60 < max(sides) < 76, "46 times e^±.4"


def test_the_full_circle_turns_rotations_points_and_boxes_together(photos: PackedPhotos) -> None:
    """The line between the eyes tells the turn; the rotation and the box must say the same."""
    views, rolls = drawn(photos, circle_share=1.0, smallest_side=80), []
    for number in range(40):
        _, targets = views.view(8, number, 256)
        for box, points, rotation in zip(targets.box, targets.points, targets.rotation, strict=True):
            across = points[1] - points[0]
            roll = np.degrees(np.arctan2(across[1], across[0]))
            assert rotation == pytest.approx(rotation_from_300wlp(0, 0, roll), abs=1e-4)
            if box[0] > 0 and box[1] > 0 and box[2] < 256 and box[3] < 256:  # not cut off
                a, b = np.array([80, 105]) / 2 * np.linalg.norm(across) / 40
                c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
                half = [np.hypot(a * c, b * s), np.hypot(a * s, b * c)]
                assert (box[2:] - box[:2]) / 2 == pytest.approx(half, rel=1e-3)
                rolls.append(roll)
    assert len(rolls) > 10 and min(rolls) < -120 and max(rolls) > 120, "all around"


def test_small_faces_that_may_be_unlabelled_make_the_photo_an_ignore_region_with_a_limit() -> None:
    face = FaceLabel(np.array([10, 10, 30, 30], np.float32), confidence=0.6)
    targets = Targets.of(Sample(Path("a.png"), 100, 80, [face], True, unknown_below=16))
    assert targets.ignore.tolist() == [False, True]
    assert targets.limit.tolist() == [np.inf, 16]
    assert targets.confidence.tolist() == pytest.approx([0.6, 1.0])
    assert targets.box[1].tolist() == [0, 0, 100, 80]
    half = carry(targets, np.eye(3)[:2] * 0.5, False, 50, 40, 4)
    assert half.limit.tolist() == [np.inf, 8], "16 pixels of the photo are 8 of the view"
    assert half.box[1].tolist() == [0, 0, 50, 40]
    corner = carry(targets, np.array([[4, 0, -200.0], [0, 4, -160.0]]), False, 64, 64, 4)
    assert (corner.limit.tolist(), corner.ignore.tolist()) == ([64], [True]), "a window without a face keeps it"


def test_photos_with_heads_in_profile_are_drawn_more_often(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 40, np.uint8))
    box = np.array([10, 10, 40, 40], np.float32)
    rotations = [rotation_from_300wlp(yaw, 0, 0).astype(np.float32) for yaw in (0, 30, 90)]
    samples = [Sample(tmp_path / "a.png", 64, 64, [FaceLabel(box, None, r)], True) for r in rotations]
    assert not pack(samples, tmp_path / "packed")
    views = Views(PackedPhotos(tmp_path / "packed"), plain(turned_boost=2.0), np.ones(3))
    assert np.diff(views.cumulated, prepend=0) == pytest.approx([1, 2, 3], abs=1e-4)
