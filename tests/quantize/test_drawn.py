"""Teachers' points brought to where people draw them."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.data.drawn import MIN_FACES, Rule, draw_alike
from quantize.data.sample import MIRROR_POINTS, FaceLabel, Sample

FACE = np.array([[-1, -1], [1, -1], [0, 0.2], [-0.7, 1.1], [0.7, 1.1]])
LOW_NOSE = np.array([[0, 0], [0, 0], [0, 0.2], [0.1, 0], [-0.1, 0]])
"""What an observer adds, in the face's own frame: the tip of the nose lower, the mouth narrower."""


def _faces(rng, n, wrong=LOW_NOSE):
    """n faces of different size, place, roll and shape as drawn, and as an observer sees them."""
    shape = FACE + rng.normal(0, 0.08, (n, 5, 2))
    angle, size = rng.uniform(-0.8, 0.8, n), rng.uniform(5, 60, n)
    turn = np.stack([np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)], 1)
    turn = turn * size[:, None, None]
    where = rng.uniform(0, 500, (n, 1, 2))
    return shape @ turn + where, (shape + wrong) @ turn + where


def _apart(a, b):
    return float((np.linalg.norm(a - b, axis=-1).mean(-1) / np.linalg.norm(b[:, 1] - b[:, 0], axis=-1)).mean())


def test_an_observers_habit_is_undone_at_any_size_place_and_roll():
    rng = np.random.default_rng(1)
    drawn, seen = _faces(rng, 400)
    rule = Rule(seen[:200, None], drawn[:200])
    assert _apart(seen[200:], drawn[200:]) > 0.03
    assert _apart(rule(seen[200:, None]), drawn[200:]) < 0.004


def test_two_observers_say_more_than_their_mean():
    rng = np.random.default_rng(2)
    drawn, good = _faces(rng, 600)
    size = np.linalg.norm(drawn[:, 1] - drawn[:, 0], axis=-1)[:, None, None]
    bad = drawn + rng.normal(0, 0.08, drawn.shape) * size
    both = np.stack([good, bad], 1)
    rule = Rule(both[:300], drawn[:300])
    assert _apart(rule(both[300:]), drawn[300:]) < 0.5 * _apart(both[300:].mean(1), drawn[300:])


@given(st.floats(-3, 3), st.floats(0.1, 20), st.floats(-900, 900), st.booleans())
def test_a_rule_follows_the_face(angle, size, x, mirrored):
    drawn, seen = _faces(np.random.default_rng(3), 80)
    rule, one = Rule(seen[:, None], drawn), seen[:1]
    turn = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if mirrored:
        turn = np.diag([-1, 1]) @ turn

    def moved(p):
        return (p[:, MIRROR_POINTS] if mirrored else p) @ turn + [x, -x]

    # a mirrored face's shape may be beyond the one that the limits were taken at: they come from both
    np.testing.assert_allclose(rule(moved(one)[:, None]), moved(rule(one[:, None])), atol=1e-3 * max(size, 1))


def test_a_shape_unlike_any_is_corrected_like_the_nearest():
    drawn, seen = _faces(np.random.default_rng(4), 200)
    rule = Rule(seen[:, None], drawn)
    profile = np.array([[[-0.1, -1], [0.1, -1], [1.5, 0.2], [0.2, 1.1], [0.4, 1.1]]]) * 40
    moved = np.linalg.norm(rule(profile[:, None]) - profile, axis=-1)
    assert 0 < moved.max() < 40 * 0.5


def _label(points, by=None, seen=None, people=False):
    extra = {"points_from": by} if by else {}
    if people:
        extra["points68"] = np.zeros((68, 2)).tolist()
    if seen is not None:
        extra |= {"yunet_points": seen.tolist(), "tddfa_points": seen.tolist(), "yunet_score": 0.9}
    return FaceLabel(np.array([0, 0, 9, 9], np.float32), points.astype(np.float32), extra=extra)


def _sample(source, faces):
    return Sample("photo.png", 99, 99, faces, True, source)


@pytest.fixture
def sets():
    """People who draw, a set drawn by other rules, and what teachers alone have seen, each with the truth."""
    rng = np.random.default_rng(5)
    drawn, seen = _faces(rng, 120)
    other, other_seen = _faces(rng, 120)
    raised = _faces(np.random.default_rng(6), 120, wrong=[[0, -0.3]])[1]
    raised_truth, raised_seen = _faces(np.random.default_rng(6), 120)
    people = _sample("drawn", [_label(d, seen=s, people=True) for d, s in zip(drawn, seen, strict=True)])
    rows = zip(other, other_seen, ["both", "yunet", "tddfa"] * 40, strict=True)
    teachers = _sample("street", [_label(s, by, s) for _, s, by in rows])
    video = _sample("video", [_label(d, seen=s, people=True) for d, s in zip(raised, raised_seen, strict=True)])
    return people, teachers, video, other, raised_truth


def test_sets_come_to_be_drawn_alike(sets):
    people, teachers, video, other, raised = before = sets
    before = copy.deepcopy((people, teachers, video))
    assert draw_alike([people, teachers, video], ["drawn"]) == 80 + 120

    def points(sample):
        return np.array([f.points for f in sample.faces])

    np.testing.assert_array_equal(points(people), points(before[0]))  # what people drew stays
    corrected = np.array([f.extra["points_from"] != "tddfa" for f in teachers.faces])
    np.testing.assert_array_equal(points(teachers)[~corrected], points(before[1])[~corrected])
    assert _apart(points(before[1])[corrected], other[corrected]) > 0.03
    assert _apart(points(teachers)[corrected], other[corrected]) < 0.01
    assert _apart(points(before[2]), raised) > 0.1
    assert _apart(points(video), raised) < 0.01


def test_without_people_points_stay(sets):
    people, teachers, video, *_ = sets
    before = copy.deepcopy(teachers)
    few = _sample("drawn", people.faces[: MIN_FACES - 1])
    for samples, drawn in (([people, teachers, video], []), ([few, teachers], ["drawn"])):
        assert draw_alike(samples, drawn) == 0
        assert all((a.points == b.points).all() for a, b in zip(teachers.faces, before.faces, strict=True))
