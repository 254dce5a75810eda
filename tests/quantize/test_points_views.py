"""Views of edgeface-points: the same for the same number, covers that carry their labels, crops with errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import face_points, photo, write_pack

from quantize.points.config import CoverOptions, JitterOptions, LidOptions, PointsViewOptions
from quantize.points.covers import KINDS, covered, with_covered
from quantize.points.mean_face import MIRROR
from quantize.points.model import SIZE
from quantize.points.pack import load
from quantize.points.state import STATE
from quantize.points.views import FaceViews, Jitter, cut

NOTHING = CoverOptions(patch=0, hand=0, mask=0, glasses=0, sunglasses=0)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder, 6)
    return folder


def test_a_seed_and_a_number_give_one_view(pack: Path) -> None:
    views = FaceViews(pack, PointsViewOptions())
    (a, rows), (b, again), (c, _) = views.view(1, 5), views.view(1, 5), views.view(1, 6)
    assert (a == b).all() and (a != c).any()
    assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(rows, again, strict=True))


def test_points_follow_the_crop_and_the_mirror(pack: Path) -> None:
    jitter = JitterOptions(shift=0.05, scale=0.1, turn=20, wild=0)
    views = FaceViews(pack, PointsViewOptions(covers=NOTHING, camera=0, jitter=jitter, lids=LidOptions(share=0)))
    dark = []
    for number in range(12):
        image, (points, *_) = views.view(3, number)
        for eye in (slice(36, 42), slice(42, 48)):
            x, y = np.rint((points[eye].mean(0) + 0.5) * SIZE).astype(int)
            dark.append(image[y, x].max() < 110)
        assert points[36, 0] < points[45, 0]  # the person's right eye is image-left, mirrored or not
    assert np.mean(dark) > 0.9


def test_a_larger_crop_makes_a_smaller_face(pack: Path) -> None:
    crops, targets = load(pack)
    jitter = Jitter(np.array([0.1, 0.0]), 1.25, np.radians(90))
    points = jitter.moved(targets.points[0])
    assert np.ptp(points[:, 0]) == pytest.approx(np.ptp(targets.points[0][:, 1]) / 1.25)
    x, y = np.rint((points[36:42].mean(0) + 0.5) * SIZE).astype(int)
    assert cut(crops[0], jitter)[y, x].max() < 120


def draw(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Visible points and state of a drawn face with one cover."""
    points = (face_points()[:, :2] - [120, 120]) * 0.65 + SIZE / 2
    image = np.ascontiguousarray(photo(points, size=SIZE))
    before = image.copy()
    state = np.zeros(len(STATE), np.float32)
    options = CoverOptions(**{name: float(name == kind) for name in KINDS})
    rng = np.random.default_rng(seed)
    visible, out = covered(image, points, np.ones(68), state, options, rng, lambda: np.full_like(image, 200))
    assert (image != before).any()
    return visible, out


def test_a_mask_covers_the_mouth_and_says_so() -> None:
    for seed in range(5):
        visible, state = draw("mask", seed)
        assert state[STATE.index("mask")] == 1 and state[STATE.index("cover_mouth")] == 1
        assert visible[48:68].sum() == 0 and visible[36:48].all()
        assert np.isnan(state[2]) and state[STATE.index("cover_eyes")] == 0


def test_sunglasses_cover_the_eyes_and_glasses_do_not() -> None:
    visible, state = draw("sunglasses", 0)
    assert state[STATE.index("sunglasses")] == 1 and np.isnan(state[STATE.index("glasses")])
    assert state[STATE.index("cover_eyes")] == 1 and np.isnan(state[:2]).all() and not visible[36:48].any()
    visible, state = draw("glasses", 0)
    assert state[STATE.index("glasses")] == 1 and visible.all() and state[STATE.index("cover_eyes")] == 0


@pytest.mark.parametrize("kind", ["patch", "hand"])
def test_other_covers_hide_points(kind: str) -> None:
    hidden = [68 - draw(kind, seed)[0].sum() for seed in range(6)]
    assert min(hidden) < 68 and max(hidden) > 3


def test_a_part_half_covered_has_no_label() -> None:
    under = np.zeros(68, bool)
    under[48:56] = True  # 40 % of the mouth
    state = with_covered(np.zeros(9, np.float32), under)
    assert np.isnan(state[STATE.index("cover_mouth")]) and np.isnan(state[2])
    assert state[STATE.index("cover_nose")] == 0
    assert len(set(MIRROR)) == 68


def test_crops_of_profiles_are_less_exact(tmp_path: Path) -> None:
    write_pack(tmp_path, 4)
    views = FaceViews(tmp_path, PointsViewOptions(jitter=JitterOptions(wild=0, profile_wild=0.5)))
    views.yaw[:] = [0, 25, 45, 80]
    rng = np.random.default_rng(0)
    spread = [np.std([views.jitter(rng, face).shift for _ in range(800)]) for face in range(4)]
    assert spread[0] == pytest.approx(0.03, rel=0.1) and spread[1] == pytest.approx(0.03, rel=0.1)
    assert spread[0] * 1.3 < spread[2] < spread[3] and spread[3] == pytest.approx(0.03 * 1.5 * 1.9, rel=0.15)
