"""The C tracker gives the Python tracker's ids: people who walk, cross, hide; cameras that pan and jerk."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable

import numpy as np
import pytest
from support.c_engine import ARGUMENT, OK, Face, Faces, TrackerConfig, track_room
from support.moving import Person, ScriptedEngine, faces, frame

from edgeface.tracking import Tracker
from edgeface.tracking.engine import track_frame

Script = Callable[[int], list[Person]]
MS = 1_000_000


class CTracker:
    """`Tracker` over ctypes: ids by frame."""

    def __init__(self, library: c.CDLL, **settings: float) -> None:
        self.library, self.tracker = library, c.c_void_p()
        assert library.ef_tracker_create(c.byref(TrackerConfig(**settings)), c.byref(self.tracker)) == OK

    def update(
        self, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray, timestamp_ns: int
    ) -> dict[int, tuple[float, ...]]:
        items = (Face * max(len(boxes), 1))()
        for item, box, score, points in zip(items, boxes, scores, landmarks, strict=False):
            item.box[:], item.score, item.landmarks[:] = box.tolist(), score, points.ravel().tolist()
            item.rotation[:] = np.eye(3).ravel().tolist()
        found = Faces(face_size=c.sizeof(Face), capacity=len(boxes), count=len(boxes), items=items)
        tracks = track_room(64)
        status = self.library.ef_tracker_update(self.tracker, c.byref(found), timestamp_ns, c.byref(tracks))
        assert status == OK, self.library.ef_last_error_message()
        return {tracks.items[i].id: tuple(tracks.items[i].face.box) for i in range(tracks.count)}

    def close(self) -> None:
        self.library.ef_tracker_destroy(self.tracker)


def both(
    library: c.CDLL, script: Script, count: int, fps: float = 30.0, **settings: float
) -> list[dict[int, tuple[float, ...]]]:
    """Run both trackers; ids and boxes of every frame must be the same."""
    ours = CTracker(library, **settings)
    tracker = Tracker(smoothing=None, best_shots=False, **settings)  # type: ignore[arg-type]
    engine, seen = ScriptedEngine(script), []
    for i in range(count):
        now = frame(i + 1, fps)  # a time stamp of 0 is none in C
        now = type(now).from_array(np.zeros((480, 640), np.uint8), "gray", timestamp_ns=now.timestamp_ns, sequence=i)
        python = track_frame(engine, now, tracker)
        found = engine.detect(now, min_score=tracker.low_score)
        seen.append(ours.update(found.boxes, found.scores, found.landmarks, now.timestamp_ns or 0))
        wanted = {int(f.track_id): f.box for f in python if f.track_id is not None}
        assert list(seen[-1]) == list(wanted), f"frame {i}"
        for identity, box in wanted.items():
            np.testing.assert_allclose(seen[-1][identity], box, atol=1e-3)
    ours.close()
    return seen


def panned(i: int) -> float:
    return 150 * float(np.sin(i / 8))


def crossing(i: int) -> list[Person]:
    return [Person(100 + 8 * i, 200, 60), Person(500 - 8 * i, 225, 66)]


def four_and_a_pan(i: int) -> list[Person]:
    return [p for p in (Person(x + panned(i), 240, 40) for x in (260, 330, 420, 560)) if 20 < p.x < 620]


def two_and_a_pan(i: int) -> list[Person]:
    return [p for p in (Person(x + 280 * float(np.sin(i / 10)), 240, 40) for x in (320, 460)) if 20 < p.x < 620]


def jerk(i: int) -> list[Person]:
    return [Person(x + (70 if i >= 20 else 0), 200 + y, 50) for x, y in ((100, 0), (170, 0), (240, 60), (420, 20))]


def walks_behind_a_pole(i: int) -> list[Person]:
    p = Person(620 - 6 * i, 240)
    left, right = p.x - p.size / 2, p.x + p.size / 2
    covered = max(0.0, min(350, right) - max(250, left)) / p.size
    p.hidden = (covered, 0.0) if left > 250 else (0.0, covered)
    return [p] if covered < 0.5 else []


SCRIPTS: dict[str, tuple[Script, int, set[int]]] = {
    "walks": (lambda i: [Person(80 + 8 * i, 240)], 50, {1}),
    "crossing": (crossing, 50, {1, 2}),
    "hidden": (lambda i: [] if 20 <= i < 35 else [Person(80 + 9 * i, 240)], 60, {1}),
    "away for longer": (lambda i: [] if 10 <= i < 60 else [Person(200, 240)], 80, {1, 2}),
    "one false alarm": (lambda i: [Person(100, 100)] if i == 3 else [], 10, set()),
    "low scores": (lambda i: [Person(200, 240, score=0.3 if 10 <= i < 20 else 0.9)], 30, {1}),
    "only low scores": (lambda i: [Person(200, 240, score=0.3)], 30, set()),
    "zoom": (lambda i: [Person(320, 240, 20 * 1.05**i)], 50, {1}),
    "walker and hidden": (
        lambda i: [Person(60 + 8 * i, 150)] + ([] if 20 <= i < 40 else [Person(300, 380)]),
        60,
        {1, 2},
    ),
    "behind a pole": (walks_behind_a_pole, 100, {1}),
    "pan of four": (four_and_a_pan, 100, {1, 2, 3, 4}),
    "pan of two": (two_and_a_pan, 60, {1, 2}),
    "jerk": (jerk, 40, {1, 2, 3, 4}),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_ids_as_in_python(library: c.CDLL, name: str) -> None:
    script, count, wanted = SCRIPTS[name]
    seen = both(library, script, count)
    assert {i for frame in seen for i in frame} == wanted


@pytest.mark.parametrize("seed", range(8))
def test_the_same_ids_in_a_random_crowd(library: c.CDLL, seed: int) -> None:
    """People on random ways who are missed at random, some with low scores, under a camera that shakes."""
    rng = np.random.default_rng(seed)
    start, way = rng.uniform(50, 590, (8, 2)) * [1, 0.75], rng.normal(0, 4, (8, 2))
    shake = rng.normal(0, 6, (90, 2)).cumsum(0)
    missed, weak = rng.random((90, 8)) < 0.15, rng.random((90, 8)) < 0.1

    def script(i: int) -> list[Person]:
        at = start + way * i + shake[i]
        return [
            Person(*at[k], 30 + 8 * k, score=0.3 if weak[i, k] else 0.9 - 0.01 * k)
            for k in range(8)
            if not missed[i, k]
        ]

    assert len({i for frame in both(library, script, 90) for i in frame}) >= 6


def test_settings_and_time(library: c.CDLL) -> None:
    for fps in (5.0, 60.0):
        away = round(0.5 * fps)
        both(library, lambda i, a=away: [] if 10 <= i < 10 + a else [Person(200, 240)], 80, fps)
    both(library, lambda i: [] if 10 <= i < 40 else [Person(200, 240)], 60, lost_after=0.3, min_hits=1)


def rising(count: int, first: int = 1, step: int = 33 * MS) -> list[int | None]:
    return [first + i * step for i in range(count)]


#: As in tests/device/test_time.py, for Python; a stamp of 0 is none in C.
STAMPS: dict[str, list[int | None]] = {
    "outage of 1.1 s": rising(15) + rising(15, 15 * 33 * MS + 1_100 * MS),
    "outage of two minutes": rising(15) + rising(15, 15 * 33 * MS + 120_000 * MS),
    "outage of eleven days": rising(15) + rising(15, 10**15),
    "clock set back by 0.3 s": rising(9, 10**16) + rising(9, 10**16 - 300 * MS),
    "clock set back by 11 days": rising(9, 10**16) + rising(9, 10**16 - 10**15),
    "the same stamp": [7] * 30,
    "no stamps": [None] * 30,
    "with and without": [None if i % 3 else 1 + i * 33 * MS for i in range(30)] + rising(3, 10**11),
    "without, then far on": [None] * 5 + rising(5, 10**12) + [None] * 5 + rising(5, 10**12 + 5000 * MS),
    "a slow board": rising(8, 1, 1_250 * MS),
    "a slower board": rising(8, 1, 3_000 * MS),
    "a board that is slow for a while": rising(8, 1, 900 * MS)
    + rising(8, 9_000 * MS)
    + rising(8, 30_000 * MS, 1_500 * MS),
    "ends of the range": [-(2**63), 2**63 - 1, -(2**63), 2**63 - 1],
    "before 1970": rising(20, -(10**9), 100 * MS)[:10] + rising(5, 10**9),
}


@pytest.mark.parametrize("settings", [{}, {"min_hits": 1}, {"lost_after": 0.3}, {"lost_after": 5.0}], ids=str)
@pytest.mark.parametrize("stamps", STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize("missing", [False, True])
def test_time_is_not_believed_as_in_python(
    library: c.CDLL, stamps: list[int | None], missing: bool, settings: dict[str, float]
) -> None:
    """One person, who is not found in every fifth frame if `missing`."""
    ours = CTracker(library, **settings)
    tracker = Tracker(smoothing=None, best_shots=False, **settings)  # type: ignore[arg-type]
    for i, stamp in enumerate(stamps):
        people = [] if missing and i % 5 == 4 else [Person(300, 240)]
        found = faces(people, timestamp_ns=stamp)
        wanted = tracker.update(found).track_ids.tolist()
        got = ours.update(found.boxes, found.scores, found.landmarks, 0 if stamp is None else stamp)
        assert list(got) == wanted, f"frame {i}"
    ours.close()


def test_nobody_keeps_a_number_over_an_outage(library: c.CDLL) -> None:
    """As a figure of its own: the ids are 1 before and 2 after."""
    ours, seen = CTracker(library, min_hits=1), []
    for stamp in STAMPS["outage of two minutes"]:
        found = faces([Person(300, 240)])
        seen.append(list(ours.update(found.boxes, found.scores, found.landmarks, stamp or 0)))
    assert seen == [[1]] * 15 + [[2]] * 15
    ours.close()


def test_when_a_face_was_first_seen(library: c.CDLL) -> None:
    for stamps, wanted in ((rising(5, 10**15), 10**15), ([None] * 5, round(1e9 / 30))):
        tracker = c.c_void_p()
        assert library.ef_tracker_create(c.byref(TrackerConfig()), c.byref(tracker)) == OK
        tracks = track_room(4)
        for stamp in stamps:
            item = Face(box=(100, 100, 150, 150), score=0.9)
            found = Faces(face_size=c.sizeof(Face), capacity=1, count=1, items=c.pointer(item))
            assert library.ef_tracker_update(tracker, c.byref(found), stamp or 0, c.byref(tracks)) == OK
        assert abs(tracks.items[0].first_seen_ns - wanted) <= 1
        library.ef_tracker_destroy(tracker)


def test_a_time_stamp_that_goes_back_is_refused(library: c.CDLL) -> None:
    tracker = CTracker(library)
    nothing = np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))
    tracker.update(*nothing, 10)
    tracks = track_room(1)
    found = Faces(face_size=c.sizeof(Face))
    assert library.ef_tracker_update(tracker.tracker, c.byref(found), 9, c.byref(tracks)) == ARGUMENT
    assert library.ef_last_error_field() == b"timestamp_ns"
    assert b"must be at least the last frame's 10" in library.ef_last_error_message()
    library.ef_tracker_reset(tracker.tracker)
    tracker.update(*nothing, 5)
    tracker.close()


def test_the_best_are_given_where_there_is_little_room(library: c.CDLL) -> None:
    tracker = CTracker(library, min_hits=1)
    items = (Face * 3)()
    for k, item in enumerate(items):
        item.box[:], item.score = [100.0 * k, 0, 100.0 * k + 50, 50], 0.9 - 0.1 * k
    found = Faces(face_size=c.sizeof(Face), capacity=3, count=3, items=items)
    tracks = track_room(2)
    assert library.ef_tracker_update(tracker.tracker, c.byref(found), 1, c.byref(tracks)) == OK
    assert [(tracks.items[i].id, round(tracks.items[i].face.score, 3)) for i in range(tracks.count)] == [
        (1, 0.9),
        (2, 0.8),
    ]
    tracker.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("new_score", 1.5), ("low_score", -1), ("fps", -1), ("max_faces", 5000), ("lost_after", float("nan"))],
)
def test_bad_settings_name_their_field(library: c.CDLL, name: str, value: float) -> None:
    tracker = c.c_void_p(1)
    assert library.ef_tracker_create(c.byref(TrackerConfig(**{name: value})), c.byref(tracker)) == ARGUMENT
    assert not tracker.value
    assert library.ef_last_error_field().decode() == f"config.{name}"
