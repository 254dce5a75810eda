"""Time is not believed: outages, other clocks, frames out of order, stamps that are none."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.moving import ListSource, Person, ScriptedEngine, faces, frame

from edgeface.engine import FaceEngine
from edgeface.errors import InvalidInputError, SourceError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.streaming import Stream
from edgeface.tracking import Tracker, TrackState
from edgeface.tracking.clock import FrameClock, Timeline
from edgeface.tracking.engine import track_frame

MS = 1_000_000
Door = Callable[[Tracker, Sequence[int | None]], list[list[int]]]


def by_tracker(tracker: Tracker, stamps: Sequence[int | None]) -> list[list[int]]:
    return [tracker.update(faces([Person(300, 240)], timestamp_ns=s)).track_ids.tolist() for s in stamps]


def by_frames(tracker: Tracker, stamps: Sequence[int | None]) -> list[list[int]]:
    engine = ScriptedEngine(lambda _: [Person(300, 240)])
    return [
        track_frame(engine, replace(frame(i), timestamp_ns=stamp), tracker).track_ids.tolist()
        for i, stamp in enumerate(stamps)
    ]


def by_stream(tracker: Tracker, stamps: Sequence[int | None]) -> list[list[int]]:
    items = [replace(frame(i), timestamp_ns=stamp) for i, stamp in enumerate(stamps)]
    with Stream(ScriptedEngine(lambda _: [Person(300, 240)]), ListSource(items), tracker=tracker) as stream:
        return [result.faces.track_ids.tolist() for result in stream]


def rising(count: int, first: int = 0, step: int = 33 * MS) -> list[int]:
    return [first + i * step for i in range(count)]


every_door = pytest.mark.parametrize("door", [by_tracker, by_frames, by_stream])


@every_door
@pytest.mark.parametrize("gap_s", [1.1, 5, 120, 1e6])
def test_nobody_keeps_a_number_over_an_outage(door: Door, gap_s: float) -> None:
    tracker = Tracker(min_hits=1)
    stamps = rising(15) + rising(15, 15 * 33 * MS + round(gap_s * 1e9))
    assert door(tracker, stamps) == [[1]] * 15 + [[2]] * 15
    (ended,) = tracker.take_ended()
    assert (ended.track_id, ended.state, ended.hits) == (1, TrackState.ENDED, 15)
    assert ended.unseen_s == pytest.approx(gap_s + 0.033)


@every_door
def test_a_short_pause_is_none(door: Door) -> None:
    assert door(Tracker(min_hits=1, lost_after=2.0), rising(9) + rising(9, 2 * 10**9)) == [[1]] * 18


@every_door
def test_who_is_being_lost_ends_in_time_too(door: Door) -> None:
    """Not seen when last searched, then no frames: the pause counts."""
    tracker = Tracker(min_hits=1, lost_after=0.5)
    assert door(tracker, rising(5)) == [[1]] * 5
    tracker.update(faces([], timestamp_ns=5 * 33 * MS))
    assert tracker.tracks[0].state is TrackState.LOST
    assert by_tracker(tracker, [5 * 33 * MS + 480 * MS]) == [[2]]


@pytest.mark.parametrize("between", ["motion", "flow"])
def test_nobody_is_predicted_over_an_outage(between: str) -> None:
    tracker = Tracker(min_hits=1, detect_every=5, between=between)
    stamps = rising(7) + rising(7, 60 * 10**9)
    seen = by_frames(tracker, stamps)
    assert seen[:7] == [[1]] * 7
    assert seen[7] == []  # this frame was not to be searched; the next one is, although it is not its turn
    assert seen[8:] == [[2]] * 6


@every_door
@pytest.mark.parametrize("back_s", [0.3, 5, 1e6])
def test_a_clock_that_is_set_back_begins_anew(door: Door, back_s: float) -> None:
    first = 10**16
    stamps = rising(5, first) + rising(5, first + 4 * 33 * MS - round(back_s * 1e9))
    assert door(Tracker(min_hits=1), stamps) == [[1]] * 5 + [[2]] * 5


def test_the_engines_own_tracker_can_be_given_another_recording(tmp_path: Any) -> None:
    """Nobody has a handle to reset that one."""
    with FaceEngine(tiny.write_bundle(tmp_path / "tiny.efm"), runtime="onnxruntime") as engine:
        image = tiny.red_squares((64, 64), [(16, 40)])
        seen = [engine.track(image, "bgr", timestamp_ns=stamp).track_ids.tolist() for stamp in rising(10) * 2]
        small = [engine.track(image[:48].copy(), "bgr", timestamp_ns=s).track_ids.tolist() for s in rising(3, 10**9)]
        again = [engine.track(image[:48].copy(), "bgr", timestamp_ns=s).track_ids.tolist() for s in rising(3, 10**9)]
    assert seen == [[], *[[1]] * 9, [], *[[2]] * 9]
    assert small == [[], [3], [3]]
    assert again == [[3]] * 3  # back by less than 0.2 s: frames out of order, which do no harm


@pytest.mark.parametrize("detect_every", [1, 3])
def test_another_size_is_another_scene_whatever_the_door(detect_every: int) -> None:
    tracker = Tracker(min_hits=1, detect_every=detect_every)
    engine = ScriptedEngine(lambda _: [Person(100, 100)])
    seen = [track_frame(engine, frame(i, size=(640, 480) if i < 5 else (320, 240)), tracker) for i in range(10)]
    ids = [result.track_ids.tolist() for result in seen]
    assert ids[:5] == [[1]] * 5
    assert ids[6:] == [[2]] * 4
    assert ids[5] in ([2], [])
    # the size of Faces that do not know theirs is no other size
    assert tracker.update(faces([Person(100, 100)], (0, 0), timestamp_ns=10**9)).track_ids.tolist() == [2]


@pytest.mark.parametrize("pause_s", [1.25, 3.0])
def test_a_slow_board_keeps_its_tracks(pause_s: float) -> None:
    """Longer from frame to frame than `lost_after`: the first pause may be an outage, the next ones are usual."""
    seen = by_tracker(Tracker(), rising(8, 0, round(pause_s * 1e9)))
    assert seen[3:] == [seen[3]] * 5
    assert seen[3] != []


def test_lost_after_0_ends_who_is_missed_once_and_nobody_else() -> None:
    tracker = Tracker(min_hits=1, lost_after=0)
    assert by_tracker(tracker, rising(5)) == [[1]] * 5
    tracker.update(faces([], timestamp_ns=5 * 33 * MS))
    assert by_tracker(tracker, [6 * 33 * MS]) == [[2]]


@every_door
def test_frames_with_one_and_the_same_stamp_are_counted(door: Door) -> None:
    """Containers without times give 0 for every frame; a step of no time would freeze smoothing and motion."""
    tracker = Tracker(min_hits=1)
    assert door(tracker, [0] * 30) == [[1]] * 30
    assert tracker.tracks[0].age_s == pytest.approx(29 / 30)


@every_door
def test_frames_with_and_without_stamps_mix(door: Door) -> None:
    tracker = Tracker(min_hits=1)
    stamps: list[int | None] = [None if i % 3 else i * 33 * MS for i in range(30)]
    assert door(tracker, stamps) == [[1]] * 30
    assert tracker.tracks[0].age_s == pytest.approx(29 / 30, rel=0.05)
    assert door(tracker, rising(2, 10**11)) == [[2]] * 2


def test_frames_out_of_order_are_refused_and_do_no_harm() -> None:
    tracker = Tracker(min_hits=1)
    by_tracker(tracker, rising(5))
    with pytest.raises(
        InvalidInputError, match=r"timestamp_ns must be at least the last frame's 132000000 ns, in order"
    ):
        by_tracker(tracker, [100 * MS])
    assert by_tracker(tracker, rising(5, 5 * 33 * MS)) == [[1]] * 5


def test_a_stream_in_the_order_of_decoding_keeps_its_tracks() -> None:
    tracker = Tracker(min_hits=1)
    assert by_stream(tracker, [(i ^ 1) * 33 * MS for i in range(30)]) == [[1]] * 30
    assert tracker.tracks[0].age_s == pytest.approx(1, rel=0.1)


def test_an_outage_of_a_camera_without_stamps_is_seen_by_its_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames arrive by a clock that the test drives: on a busy machine two frames may be far apart."""
    now = [time.monotonic()]

    def arrival() -> float:
        now[0] += 0.033
        return now[0]

    def away() -> None:
        now[0] += 0.6

    monkeypatch.setattr("edgeface.streaming.slot.time", SimpleNamespace(monotonic=arrival))
    bare = [replace(frame(i), timestamp_ns=None) for i in range(10)]
    lost = SourceError("unplugged")
    source = ListSource([*bare[:5], lost, away, *bare[5:]], live=True, opens=2)
    tracker = Tracker(min_hits=1, lost_after=0.3)
    engine = ScriptedEngine(lambda _: [Person(300, 240)])
    with Stream(engine, source, tracker=tracker, latest=False, retry=(0.001, 0.01)) as stream:
        results = list(stream)
    assert [r.faces.track_ids.tolist() for r in results] == [[1]] * 5 + [[2]] * 5
    assert {r.faces.timestamp_ns for r in results} == {None}


def test_best_shots_and_results_keep_the_stamps_of_their_frames() -> None:
    items = [replace(frame(i), timestamp_ns=stamp) for i, stamp in enumerate([50 * MS, 20 * MS])]
    with Stream(ScriptedEngine(lambda _: [Person(300, 240)]), ListSource(items), tracker=Tracker(min_hits=1)) as stream:
        assert [r.faces.timestamp_ns for r in stream] == [50 * MS, 20 * MS]


bad_stamps = pytest.mark.parametrize(
    "stamp", [1.7e9, np.float64(5), float("nan"), "5", True, 2**63, -(2**63) - 1, np.uint64(2**63), [5], 5 + 0j]
)


@bad_stamps
def test_stamps_are_integers_of_nanoseconds(stamp: Any) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    for make in (
        lambda: Frame.from_array(pixels, "bgr", timestamp_ns=stamp),
        lambda: Faces.empty(timestamp_ns=stamp),
        lambda: FrameClock(30).advance(stamp),
    ):
        with pytest.raises(InvalidInputError, match="timestamp_ns must be an integer of nanoseconds"):
            make()
    with pytest.raises(InvalidInputError, match="now_ns must be an integer of nanoseconds"):
        Tracker().update(faces([]), now_ns=stamp)


@bad_stamps
def test_the_engine_names_the_unit(tmp_path_factory: pytest.TempPathFactory, stamp: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "tiny.efm"
    if not path.exists():
        tiny.write_bundle(path)
    with FaceEngine(path, runtime="onnxruntime") as engine:
        for call in (engine.detect, engine.track):
            with pytest.raises(InvalidInputError, match="timestamp_ns must be an integer of nanoseconds"):
                call(np.zeros((48, 64, 3), np.uint8), "bgr", timestamp_ns=stamp)


@pytest.mark.parametrize("stamp", [0, -5, 2**63 - 1, -(2**63), np.int64(7), np.uint8(7)])
def test_every_other_stamp_comes_back_as_an_int(stamp: Any) -> None:
    made = Frame.from_array(np.zeros((4, 4), np.uint8), "gray", timestamp_ns=stamp, sequence=stamp)
    assert (made.timestamp_ns, made.sequence) == (int(stamp), int(stamp))
    assert type(made.timestamp_ns) is type(Faces.empty(timestamp_ns=stamp).timestamp_ns) is int


def test_the_whole_range_of_stamps_can_be_tracked() -> None:
    ends = [-(2**63), 2**63 - 1, -(2**63), 2**63 - 1]
    assert by_tracker(Tracker(min_hits=1), ends) == [[1], [2], [3], [4]]


def test_running_numbers_are_integers() -> None:
    with pytest.raises(InvalidInputError, match=r"sequence must be an integer or None, but got float 1.0"):
        Faces.empty(sequence=1.0)  # type: ignore[arg-type]


def test_a_timeline_never_mixes_clocks() -> None:
    live = Timeline(live=True)
    assert [live.time_of(None, 1.0), live.time_of(None, 1.5)] == [10**9, 15 * 10**8]
    assert [live.time_of(7, 2.0), live.time_of(None, 9.0)] == [7, None]
    assert Timeline(live=False).time_of(None, 1.0) is None
