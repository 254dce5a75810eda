"""Eyes that are shut in training: pixels, points and labels go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import face_points, photo, write_pack

from quantize.points.config import CoverOptions, JitterOptions, LidOptions, PointsViewOptions
from quantize.points.lids import LEAST_WIDTH, lid, lowered
from quantize.points.model import SIZE
from quantize.points.state import openness
from quantize.points.views import FaceViews, balanced

STILL = JitterOptions(shift=0, scale=0, turn=0, wild=0, profile_wild=0)
PLAIN = PointsViewOptions(
    covers=CoverOptions(patch=0, hand=0, mask=0, glasses=0, sunglasses=0), camera=0, jitter=STILL, balance=0
)


def test_the_curve_of_a_lid_goes_through_its_points() -> None:
    points = np.array([[0, 0], [0.3, -0.2], [0.7, -0.25], [1, 0]])
    a, b = lid(points)
    assert [x * (1 - x) * (a + b * x) for x in (0.3, 0.7)] == pytest.approx([-0.2, -0.25])


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 5, 25)])
@pytest.mark.parametrize("eye", [0, 1])
def test_a_lowered_lid_hides_the_eye_and_nothing_else(angles: tuple[float, float, float], eye: int) -> None:
    points = face_points(angles, 900)[:, :2]
    before = np.ascontiguousarray(photo(points)[..., ::-1])
    image = before.copy()
    after = lowered(image, points, eye, 1.0)
    own = slice(36, 42) if eye == 0 else slice(42, 48)
    lower = [41, 40] if eye == 0 else [47, 46]
    upper = [37, 38] if eye == 0 else [43, 44]
    x, y = np.rint(0.8 * points[upper].mean(0) + 0.2 * points[lower].mean(0)).astype(int)
    assert before[y, x].max() < 60 and image[y, x].min() > 90  # the dark eye became skin
    assert openness(after)[eye] < 0.02 and openness(after)[1 - eye] == openness(points)[1 - eye]
    changed = np.argwhere((image != before).any(-1))[:, ::-1]
    width = np.linalg.norm(points[own][3] - points[own][0])
    assert np.abs(changed - points[own].mean(0)).max() < width
    assert (after[lower] == points[lower]).all()


def test_half_lowered_is_half_as_open_and_small_eyes_stay() -> None:
    points = face_points(scale=900)[:, :2]
    image = photo(points)
    half = lowered(image, points, 0, 0.5)
    height = np.linalg.norm(points[[37, 38]] - points[[41, 40]], axis=1).mean()
    assert np.linalg.norm(half[[37, 38]] - half[[41, 40]], axis=1).mean() == pytest.approx(height / 2, rel=0.05)
    small = face_points(scale=130)[:, :2]
    assert np.linalg.norm(small[36] - small[39]) < LEAST_WIDTH
    before = image.copy()
    assert (lowered(image, small, 0, 1.0) == small).all() and (image == before).all()


def test_views_shut_eyes_with_their_labels(tmp_path: Path) -> None:
    write_pack(tmp_path, 6)
    never = FaceViews(tmp_path, PLAIN.model_copy(update={"lids": LidOptions(share=0)}))
    always = FaceViews(tmp_path, PLAIN.model_copy(update={"lids": LidOptions(share=1, whole=1, wink=0)}))
    winks = FaceViews(tmp_path, PLAIN.model_copy(update={"lids": LidOptions(share=1, whole=1, wink=1)}))
    open_, shut, one = (np.stack([v.view(1, k)[1][4][:2] for k in range(8)]) for v in (never, always, winks))
    assert (open_ > 0.4).all() and (shut == 0).all() and ((one == 0).sum(1) == 1).all()
    points = np.stack([always.view(1, k)[1][0] for k in range(8)])
    assert openness(points)[:, :2].max() < 0.05


def test_eyes_of_a_few_pixels_keep_their_label(tmp_path: Path) -> None:
    write_pack(tmp_path, 2)
    views = FaceViews(tmp_path, PLAIN.model_copy(update={"lids": LidOptions(share=1, whole=1, wink=0)}))
    tiny = (face_points(scale=130)[:, :2] / SIZE - 0.5).astype(np.float32)
    state = np.full(9, 0.9, np.float32)
    points, after = views._shut(np.zeros((SIZE, SIZE, 3), np.uint8), tiny, state, np.random.default_rng(0))
    assert (after == state).all() and np.abs(points - tiny).max() < 1e-6


def test_rare_states_are_drawn_more_often() -> None:
    state = np.full((100, 3), 0.9)
    state[:, 2] = 0.1
    state[0, 0] = 0.05
    state[1] = np.nan
    factors = balanced(state, 0.5)
    assert factors[0] == pytest.approx(np.sqrt(98)) or factors[0] == 8.0
    assert (factors[1:] == 1).all() and (balanced(state, 0) == 1).all()
