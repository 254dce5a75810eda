"""What a second opinion does to labels: by hand, at each of its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantize.data.sample import FaceLabel
from quantize.found import Found
from quantize.second_opinion import Rules, reconsider

BOX = [10, 10, 30, 40]


def label(score: float, box: Any = BOX, ignore: bool = False, by: str = "yunet") -> FaceLabel:
    points = np.zeros((5, 2), np.float32)
    extra = {"box_from": by, "yunet_score": score}
    return FaceLabel(np.array(box, np.float32), points, np.eye(3, dtype=np.float32), ignore=ignore, extra=extra)


def said(*scores_and_boxes: tuple[float, Any]) -> Found:
    boxes = np.array([box for _, box in scores_and_boxes], float).reshape(-1, 4)
    return Found(boxes, np.array([score for score, _ in scores_and_boxes]))


@pytest.mark.parametrize(
    ("detector", "student", "stays"),
    [(0.81, 0.0, True), (0.79, 0.39, False), (0.79, 0.41, True), (0.69, 0.41, False), (0.69, 0.51, True)],
)
def test_faces_that_the_student_does_not_see(detector: float, student: float, stays: bool) -> None:
    face = label(detector)
    (kept,), taken, made = reconsider([face], [said(), said((student, BOX))])
    assert (not kept.ignore, taken, made) == (stays, int(not stays), 0)
    assert kept.box.tolist() == BOX and not face.ignore  # a copy


def test_the_best_of_all_sizes_counts_and_only_at_this_place() -> None:
    elsewhere = [22, 10, 42, 40]  # an IoU of a quarter
    (kept,), taken, _ = reconsider([label(0.65)], [said((0.9, elsewhere), (0.3, BOX)), said((0.55, BOX))])
    assert not kept.ignore and not taken
    assert reconsider([label(0.65)], [said((0.9, elsewhere))])[1] == 1


def test_an_ignore_region_becomes_a_face_with_the_students_box() -> None:
    moved = [11, 10, 31, 41]
    (kept,), taken, made = reconsider([label(0.4, ignore=True)], [said((0.61, moved)), said((0.5, BOX))])
    assert (kept.ignore, taken, made) == (False, 0, 1)
    assert kept.box.tolist() == moved and kept.points is None and kept.rotation is None
    assert kept.extra["box_from"] == "student"


def test_two_ignore_regions_at_one_face_make_one() -> None:
    regions = [label(0.4, [10, 10, 30, 38], ignore=True), label(0.4, [10, 12, 30, 40], ignore=True)]
    kept, _, made = reconsider(regions, [said((0.9, BOX))])
    assert [f.ignore for f in kept] == [False, True] and made == 1


@pytest.mark.parametrize("why", ["not sure", "small", "touches a face", "a person's"])
def test_an_ignore_region_stays_one(why: str) -> None:
    box = [10, 10, 14.5, 40] if why == "small" else BOX
    faces = [label(0.4, box, ignore=True, by="label" if why == "a person's" else "yunet")]
    faces += [label(0.9, [12, 10, 32, 40])] if why == "touches a face" else []
    kept, taken, made = reconsider(faces, [said((0.59 if why == "not sure" else 0.9, box))])
    assert kept[0].ignore and (taken, made) == (0, 0)


def test_what_people_labelled_is_not_judged() -> None:
    assert not reconsider([label(0.1, by="label")], [said()])[0][0].ignore
    both = [label(0.65), label(0.65, [50, 10, 70, 40])]  # a person's with the detector's box, and the detector's own
    assert [f.ignore for f in reconsider(both, [said()], known=1)[0]] == [False, True]


def test_limits_are_the_rules() -> None:
    assert reconsider([label(0.79)], [said()], rules=Rules(sure=0.75))[1] == 0
