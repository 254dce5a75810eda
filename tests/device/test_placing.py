"""The minute that helps to place a camera: what counts, what is forgotten, and the words."""

import cv2
import numpy as np
import pytest
from support.moving import Person, faces

from edgeface.errors import InvalidInputError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.gate import Reason
from edgeface.web.placing import WORDS, Placing


def tracked(*people: Person) -> Faces:
    return faces(people, track_ids=list(range(1, len(people) + 1)))


GOOD = Person(320, 240, 150, quality=0.9)
SMALL = Person(100, 100, 40, quality=0.9)


def preset(summary: dict, name: str) -> dict:
    return next(entry for entry in summary["presets"] if entry["name"] == name)


def test_a_track_counts_once_a_second() -> None:
    placing = Placing()
    for number in range(61):  # two seconds at 30 frames a second
        placing.add(tracked(GOOD), None, now=number / 30)
    summary = placing.summary(now=2.0)
    assert (summary["samples"], summary["people"]) == (3, 1)
    assert summary["faces"] == {"now": 1, "mean": 1.0, "most": 1}
    assert sum(summary["height"]["counts"]) == 3


def test_who_comes_between_two_seconds_counts_too() -> None:
    placing = Placing()
    placing.add(faces([GOOD], track_ids=[1]), None, now=0.0)
    placing.add(faces([GOOD, SMALL], track_ids=[1, 2]), None, now=0.4)
    placing.add(faces([GOOD], track_ids=[1]), None, now=0.6)
    assert placing.summary(now=0.7)["people"] == 2


def test_without_tracks_one_frame_a_second_counts() -> None:
    placing = Placing()
    for number in range(31):
        placing.add(faces([GOOD, SMALL]), None, now=number / 30)
    summary = placing.summary(now=1.0)
    assert (summary["samples"], summary["people"]) == (4, 0)


def test_after_a_minute_it_is_forgotten() -> None:
    placing = Placing()
    for second in range(90):
        placing.add(tracked(SMALL) if second < 20 else tracked(GOOD), None, now=float(second))
    summary = placing.summary(now=89.0)
    assert summary["seconds"] == 60
    assert summary["samples"] == 61
    assert summary["height"]["median"] == 150
    assert preset(summary, "verify")["share"] == 1
    assert placing.summary(now=200.0)["samples"] == 0
    assert preset(placing.summary(now=200.0), "verify")["share"] is None


def test_no_faces_count_as_none() -> None:
    placing = Placing()
    for second in range(4):
        placing.add(tracked(GOOD, SMALL) if second == 1 else Faces.empty((640, 480)), None, now=float(second))
    assert placing.summary(now=3.0)["faces"] == {"now": 0, "mean": 0.5, "most": 2}


def test_shares_and_words() -> None:
    """Three of four are too small for verify, one of four is turned aside; enrol wants one person and 112 px."""
    placing = Placing()
    people = [
        Person(100, 100, 40, quality=0.9),
        Person(200, 300, 40, quality=0.9),
        Person(300, 100, 40, quality=0.9, yaw=50),
        Person(450, 300, 120, quality=0.9),
    ]
    placing.add(tracked(*people), None, now=0.0)
    summary = placing.summary(now=0.0)
    verify = preset(summary, "verify")
    assert verify["share"] == 0.25
    assert [(entry["reason"], entry["share"]) for entry in verify["reasons"]] == [("too_small", 0.75), ("yaw", 0.25)]
    assert verify["reasons"][0]["words"] == (
        "75 % too small: move closer or use a longer lens (half of all would be large enough 1.6 times closer)"
    )
    assert verify["reasons"][1]["words"] == "25 % turned aside: place the camera where people look"
    assert preset(summary, "enrol")["share"] == 0
    assert preset(summary, "enrol")["reasons"][0]["reason"] == "several_faces"
    assert preset(summary, "attention") == {"name": "attention", "share": 1.0, "reasons": []}


def test_bins_begin_at_their_edges() -> None:
    placing = Placing()
    sizes = (15.9, 16, 63.9, 64, 255, 400)
    placing.add(tracked(*(Person(320, 240, size, quality=1.0) for size in sizes)), None, now=0.0)
    summary = placing.summary(now=0.0)
    counted = dict(zip(summary["height"]["edges"], summary["height"]["counts"], strict=True))
    assert {edge: count for edge, count in counted.items() if count} == {0: 1, 16: 1, 48: 1, 64: 1, 192: 1, 256: 1}
    assert summary["quality"]["counts"] == [0] * 9 + [6]
    assert summary["height"]["limits"] == {"enrol": 112, "verify": 64, "attention": 20}
    assert summary["yaw"]["limits"]["attention"] is None


def test_yaw_is_absolute_and_heights_are_those_of_the_upright_picture() -> None:
    placing = Placing()
    turned = Faces(
        boxes=[[100, 100, 180, 150]],
        scores=[0.9],
        landmarks=np.full((1, 5, 2), 120),
        rotations=faces([Person(1, 1, 5, yaw=-35)]).rotations,
        quality=[0.9],
        size=(640, 480),
        rotation=90,
    )
    placing.add(turned, None, now=0.0)
    summary = placing.summary(now=0.0)
    assert summary["height"]["median"] == 80  # as wide as that in the frame as given
    assert summary["yaw"]["median"] == pytest.approx(35, abs=0.01)


def test_pixels_are_looked_at_where_they_are_there() -> None:
    placing = Placing()
    noise = np.random.default_rng(0).integers(0, 30, (480, 640), np.uint8)
    frame = Frame.from_array(cv2.GaussianBlur(noise, (0, 0), 8), "gray")
    placing.add(tracked(GOOD), frame, now=0.0)
    assert "too_dark" in {entry["reason"] for entry in preset(placing.summary(now=0.0), "verify")["reasons"]}


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Reason)


def test_a_preset_that_is_none() -> None:
    with pytest.raises(InvalidInputError, match="preset must be one of enrol"):
        Placing(["entry"])
