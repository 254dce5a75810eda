"""Views and what they carry along: points stay on what they marked, whatever the window, turn and mirror."""

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

from quantize.config import ConfigError  # noqa: E402
from quantize.data.pack import PackedPhotos, pack  # noqa: E402
from quantize.data.pose import rotation_from_300wlp  # noqa: E402
from quantize.data.sample import FaceLabel, Sample, points5_from_68, read_samples, write_samples  # noqa: E402
from quantize.train.paste import place  # noqa: E402
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


def plain(**more: object) -> dict[str, object]:
    return {"weights": {"drawn": 1}, "camera": 0.0, "grids": [1.0], "smallest_side": 60, "most_upscale": 3.0, **more}


@pytest.mark.parametrize("grids", [[1.0], [0.0, 1.0]])
def test_points_stay_on_their_colours(photos: PackedPhotos, grids: list[float]) -> None:
    views = Views(photos, plain(grids=grids, turn=40, turn_share=1.0))
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


def test_pasted_faces_bring_their_points_and_keep_off_others(photos: PackedPhotos) -> None:
    box, pasted = np.array([110, 90, 190, 195.0]), 0
    for seed in range(30):
        image = np.full((120, 140, 3), 90, np.uint8)
        before, taken = image.copy(), np.array([[0, 0, 60, 120.0]])
        affine = place(image, taken, photos[0], box, np.random.default_rng(seed))
        changed = np.argwhere((image != before).any(2))
        if affine is None:
            assert not len(changed)
            continue
        assert changed[:, 1].min() > 60  # columns of what is taken
        corners = box.reshape(2, 2) @ affine[:, :2].T + affine[:, 2]
        side = np.sqrt(np.prod(corners[1] - corners[0]))
        assert 7 <= side <= 41 and (corners >= 0).all() and (corners <= [140, 120]).all()
        if side > 25:
            pasted += 1
            for (x, y), colour in zip(POINTS @ affine[:, :2].T + affine[:, 2], COLOURS, strict=True):
                assert np.abs(image[int(y), int(x)].astype(int) - colour).max() < 140
    assert pasted >= 3


def test_a_face_that_its_photo_cuts_off_is_not_pasted(photos: PackedPhotos) -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    assert place(image, np.zeros((0, 4)), photos[0], np.array([-5, 0, 80, 90.0]), np.random.default_rng(0)) is None


def test_pasted_views_have_more_faces(photos: PackedPhotos) -> None:
    photos.samples[0].faces[0].quality = None
    counts = [
        sum(len(Views(photos, plain(paste=paste, smallest_side=20)).view(4, n, 256)[1].box) for n in range(12))
        for paste in (0.0, 1.0)
    ]
    assert counts[1] > counts[0] + 12


@pytest.fixture
def with_white(tmp_path: Path, photos: PackedPhotos) -> PackedPhotos:
    """The drawn face, and a photo of nothing but white."""
    cv2.imwrite(str(tmp_path / "white.png"), np.full((300, 320, 3), 255, np.uint8))
    white = Sample(tmp_path / "white.png", 320, 300, [], True, "empty")
    face = Sample(tmp_path / "a.png", 320, 300, photos.samples[0].faces, True, "drawn")
    assert not pack([face, white], tmp_path / "both")
    return PackedPhotos(tmp_path / "both")


def test_blended_views_are_under_a_photo_without_faces_and_keep_their_labels(
    with_white: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.train.views.relight", lambda image, *_: image)  # of what has a quality
    shares = []
    for number in range(20):
        clear, blended = (Views(with_white, plain(blend=blend)).view(5, number, 128) for blend in (0.0, 1.0))
        np.testing.assert_array_equal(clear[1].box, blended[1].box)
        np.testing.assert_array_equal(clear[1].points, blended[1].points)
        assert np.isnan(blended[1].quality).all(), "quality was measured without it"
        lighter = (blended[0].astype(float) - clear[0]) / np.maximum(255.0 - clear[0], 1)
        dark = clear[0] < 128
        assert np.ptp(lighter[dark]) < 0.02, "all of it alike"
        shares.append(float(np.median(lighter[dark])))
    assert 0.04 < min(shares) < 0.15
    assert 0.3 < max(shares) < 0.41


def test_blending_needs_a_photo_without_faces(photos: PackedPhotos) -> None:
    with pytest.raises(ConfigError, match="needs photos without faces, but got none"):
        Views(photos, plain(blend=0.5))
    Views(photos, plain(blend=0.0))


def test_the_same_seed_gives_the_same_view(photos: PackedPhotos) -> None:
    views = Views(photos, plain(camera=1.0))
    a, b, other = views.view(1, 5, 96), views.view(1, 5, 96), views.view(2, 5, 96)
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1].box, b[1].box)
    assert not np.array_equal(a[0], other[0])


def test_in_plane_turn_turns_the_rotation() -> None:
    face = FaceLabel(np.array([10, 10, 30, 30], np.float32), None, np.eye(3, dtype=np.float32))
    a = np.radians(20)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    out = carry(Targets.of([face]), np.c_[turn, 20 - turn @ [20, 20]], False, 40, 40, 4)
    assert out.rotation[0] == pytest.approx(rotation_from_300wlp(0, 0, 20), abs=1e-6)  # clockwise is positive roll
    assert out.box[0] == pytest.approx([10, 10, 30, 30], abs=1e-4)
    assert np.isnan(out.points).all()


@pytest.mark.parametrize(("degrees", "half"), [(0, (8, 12)), (45, (104**0.5,) * 2), (90, (12, 8)), (180, (8, 12))])
def test_the_box_turns_as_an_ellipse_does(degrees: int, half: tuple[float, float]) -> None:
    face = FaceLabel(np.array([12, 8, 28, 32], np.float32))
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    out = carry(Targets.of([face]), np.c_[turn, 20 - turn @ [20, 20]], False, 40, 40, 4)
    assert out.box[0] == pytest.approx([20 - half[0], 20 - half[1], 20 + half[0], 20 + half[1]], abs=1e-4)


def test_small_and_cut_faces_become_ignore_regions() -> None:
    faces = [
        FaceLabel(np.array(b, np.float32))
        for b in ([0, 0, 40, 40], [90, 40, 130, 80], [50, 50, 56, 56], [200, 200, 240, 240])
    ]
    out = carry(Targets.of(faces), np.eye(3)[:2] * 0.5, False, 50, 50, 4)
    assert out.box[:, 0].tolist() == [0, 45, 25]
    assert out.ignore.tolist() == [False, True, True]  # whole; a quarter of it visible; 3 pixels wide


def test_samples_survive_the_file(tmp_path: Path) -> None:
    face = FaceLabel(np.array([1, 2, 3, 4], np.float32), POINTS, None, 0.5, True, {"person": "a"})
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
    views = Views(photos, plain(hard=1.0, turn=0, turn_share=0.0), hard)
    for number in range(12):
        image, _ = views.view(5, number, 128)
        green = (image[..., 1] > 150) & (image[..., 0] < 100) & (image[..., 2] < 100)
        assert 11 <= np.sqrt(green.sum()) <= 24, "8 px times two, times e^±.4"
    assert not len(Views(photos, plain(), hard).hard), "without a share nothing is drawn from the list"


def test_a_whole_photo_fills_the_view_and_brings_its_labels(photos: PackedPhotos) -> None:
    whole = {"share": 1.0, "zoom": 0.0, "weights": {"drawn": 1}}
    views = Views(photos, plain(whole=whole, turn=90, turn_share=1.0))
    for number in range(8):
        image, targets = views.view(5, number, 160)  # 320 x 300 px at half their size
        assert np.sqrt(np.prod(targets.box[0, 2:] - targets.box[0, :2])) == pytest.approx(46, rel=0.1)
        assert 0.8 < (image == 40).all(2).mean() < 0.99, "nearly all of it is the photo's grey"
        x, y = targets.points[0, 2]
        assert np.abs(image[int(y), int(x)].astype(int) - COLOURS[2]).max() < 110, "the nose"
    views = Views(photos, plain(whole=whole | {"zoom": 0.4}))
    boxes = np.stack([views.view(5, n, 160)[1].box[0] for n in range(30)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    assert 30 < min(sides) < 36 and 60 < max(sides) < 76, "46 times e^±.4"


def test_a_share_of_no_whole_photos_changes_no_view(photos: PackedPhotos) -> None:
    """Views of older configs stay what they were, so that their runs can be resumed and repeated."""
    none = Views(photos, plain(whole={"share": 0.0, "weights": {}}))
    assert np.array_equal(none.view(1, 5, 96)[0], Views(photos, plain()).view(1, 5, 96)[0])
