import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.moving import SIZE, Person, ScriptedEngine, faces, frame

from edgeface.angles import rotation_to_angles
from edgeface.errors import EdgeFaceError, InvalidInputError
from edgeface.faces import Faces
from edgeface.tracking import Smoothing, Tracker, TrackState
from edgeface.tracking.camera import CameraMotion
from edgeface.tracking.engine import track_frame
from edgeface.tracking.motion import BoxMotion
from edgeface.tracking.so3 import from_vector, to_vector


def run(tracker: Tracker, script, count: int, fps: float = 30.0) -> list[Faces]:
    engine = ScriptedEngine(script)
    return [track_frame(engine, frame(i, fps), tracker) for i in range(count)]


def ids(results: list[Faces]) -> set[int]:
    return {int(i) for result in results for i in result.track_ids}


def test_a_person_who_walks_keeps_one_id() -> None:
    results = run(Tracker(), lambda i: [Person(80 + 8 * i, 240)], 50)
    assert ids(results) == {1}
    assert [len(r) for r in results] == [0] + [1] * 49  # reported from the second sighting on


def test_empty_results_are_shaped_and_have_ids() -> None:
    result = run(Tracker(), lambda i: [], 1)[0]
    assert result.track_ids is not None
    assert result.track_ids.shape == (0,)
    assert result.size == SIZE


def test_min_hits_of_one_reports_at_once() -> None:
    assert len(run(Tracker(min_hits=1), lambda i: [Person(100, 100)], 1)[0]) == 1


def test_a_single_false_alarm_is_never_reported() -> None:
    results = run(Tracker(), lambda i: [Person(100, 100)] if i == 3 else [], 10)
    assert ids(results) == set()


def test_two_people_who_cross_keep_their_ids() -> None:
    def script(i: int) -> list[Person]:
        return [Person(100 + 8 * i, 200, 60, yaw=-30), Person(500 - 8 * i, 225, 66, yaw=30)]

    results = run(Tracker(), script, 50)
    for i, result in enumerate(results[1:], start=1):
        by_id = {int(face.track_id): float(face.box[0] + face.box[2]) / 2 for face in result}
        assert by_id[1] == pytest.approx(100 + 8 * i, abs=30)
        assert by_id[2] == pytest.approx(500 - 8 * i, abs=30)


def test_an_occluded_person_comes_back_under_the_same_id_where_motion_leads() -> None:
    hidden = range(20, 35)
    results = run(Tracker(), lambda i: [] if i in hidden else [Person(80 + 9 * i, 240)], 60)
    assert ids(results) == {1}
    assert all(len(results[i]) == 0 for i in hidden)
    assert len(results[35]) == 1


def test_a_person_away_for_longer_gets_a_new_id_and_the_old_track_ends() -> None:
    tracker = Tracker(lost_after=0.3)
    results = run(tracker, lambda i: [] if 10 <= i < 40 else [Person(200, 240)], 60)
    assert ids(results) == {1, 2}
    ended = tracker.take_ended()
    assert [t.track_id for t in ended] == [1]
    assert ended[0].state is TrackState.ENDED
    assert ended[0].hits == 10
    assert tracker.take_ended() == []


def test_ids_follow_time_and_not_the_number_of_frames() -> None:
    """At 5 frames a second half of a second is two frames, at 60 it is thirty."""
    for fps in (5.0, 60.0):
        away = round(0.5 * fps)
        people = [Person(200, 240)]
        results = run(Tracker(), lambda i, a=away, p=people: [] if 10 <= i < 10 + a else p, 80, fps)
        assert ids(results) == {1}


def panned(i: int) -> float:
    """A camera that pans to and fro, pixels."""
    return 150 * np.sin(i / 8)


@pytest.mark.parametrize("every", [1, 2])
def test_who_leaves_the_picture_by_a_pan_keeps_the_id(every: int) -> None:
    """The others show how the camera moved meanwhile; by its own motion the face would be anywhere."""

    def script(i: int) -> list[Person]:
        people = [Person(x + panned(i), 240, 40) for x in (260, 330, 420, 560)]
        return [p for p in people if 20 < p.x < 620]

    results = run(Tracker(detect_every=every), script, 100)
    assert min(len(r) for r in results[4:]) < 4  # it does leave
    assert ids(results) == {1, 2, 3, 4}


def test_somebody_who_walks_is_not_taken_for_the_camera() -> None:
    """One walks, one stands and is hidden: he comes back where he was."""

    def script(i: int) -> list[Person]:
        return [Person(60 + 8 * i, 150)] + ([] if 20 <= i < 40 else [Person(300, 380)])

    results = run(Tracker(), script, 60)
    assert ids(results) == {1, 2}


def behind_a_pole(people: list[Person], left: float, right: float) -> list[Person]:
    """Who is seen beside a pole: ever less of a face that goes behind it, nothing of one of which it hides a half."""
    seen = []
    for p in people:
        x1, x2 = p.x - p.size / 2, p.x + p.size / 2
        covered = max(0.0, min(right, x2) - max(left, x1)) / p.size
        p.hidden = (covered, 0.0) if left < x1 else (0.0, covered)
        if covered < 0.5:
            seen.append(p)
    return seen


def test_who_is_hidden_bit_by_bit_is_found_where_he_stands() -> None:
    """What is still seen of the face seems to move away from the pole."""
    results = run(Tracker(), lambda i: behind_a_pole([Person(300, 240, 80)], 6 * i - 160, 6 * i - 40), 120)
    assert min(len(r) for r in results[4:]) == 0
    assert ids(results) == {1}


def test_who_walks_behind_a_pole_is_found_where_he_walks_to() -> None:
    """He walks towards it, so that he seems to slow down."""
    results = run(Tracker(), lambda i: behind_a_pole([Person(620 - 6 * i, 240)], 250, 350), 100)
    assert min(len(r) for r in results[4:80]) == 0
    assert ids(results) == {1}


def test_a_face_that_is_lost_at_once_keeps_its_shape() -> None:
    tracker = Tracker(min_hits=1)
    wide = faces([Person(200, 200, hidden=(0.0, 0.5))], timestamp_ns=10)
    tracker.update(wide)
    tracker.update(faces([], timestamp_ns=10))
    assert tracker.tracks[0].box == pytest.approx(wide.boxes[0])


def test_who_is_lost_after_a_few_frames_goes_on_as_fast_as_he_did() -> None:
    """At first sight nothing is known of his velocity, which must not count as standing still."""
    motion = BoxMotion(np.array([100, 100, 160, 160], np.float32))
    for i in range(1, 6):
        motion.predict(1 / 30)
        motion.correct(np.array([100 + 8 * i, 100, 160 + 8 * i, 160], np.float32))
        motion.ride(CameraMotion(1.0, np.zeros(2)), 1 / 30, seen=True)
    motion.lose()
    assert motion.velocity == pytest.approx([240, 0], abs=12)


def test_one_who_is_lost_while_the_camera_turns_back_is_found_again() -> None:
    """Nobody else shows what the camera does: what it did last is then the best guess, not what it did on the whole."""
    away = {k for start in (18, 34, 50, 66) for k in range(start, start + 3)}

    def script(i: int) -> list[Person]:
        return [] if i in away else [Person(320 + 100 * np.sin(2 * np.pi * i / 32), 240, 40)]

    assert ids(run(Tracker(), script, 80)) == {1}


def test_one_who_stands_shows_how_a_camera_pans_on() -> None:
    """Of two one leaves the picture, and the camera turns back while only the other is seen."""

    def script(i: int) -> list[Person]:
        people = [Person(x + 280 * np.sin(i / 10), 240, 40) for x in (320, 460)]
        return [p for p in people if 20 < p.x < 620]

    results = run(Tracker(), script, 60)
    assert min(len(r) for r in results[4:]) == 1
    assert ids(results) == {1, 2}


def test_one_who_walks_off_takes_nobody_along() -> None:
    """One is hidden; the other, the only one who is seen, walks off: the camera does nothing."""

    def script(i: int) -> list[Person]:
        walker = Person(100 + max(0, 4 * (i - 26)), 150)
        return [walker] + ([] if 25 <= i < 50 else [Person(400, 300)])

    results = run(Tracker(), script, 70)
    assert ids(results) == {1, 2}


def test_a_jerk_of_the_camera_changes_no_id() -> None:
    """By farther than the faces are apart, so that each seems to be its neighbour."""

    def script(i: int) -> list[Person]:
        return [Person(x + (70 if i >= 20 else 0), 200 + y, 50) for x, y in ((100, 0), (170, 0), (240, 60), (420, 20))]

    results = run(Tracker(), script, 40)
    assert ids(results) == {1, 2, 3, 4}
    for face in results[-1]:
        before = next(old for old in results[10] if old.track_id == face.track_id)
        assert face.box - before.box == pytest.approx([70, 0, 70, 0], abs=1)


def test_every_third_frame_is_enough_for_a_camera_that_swings() -> None:
    def script(i: int) -> list[Person]:
        return [Person(x + 100 * np.sin(i * np.pi / 15), 240, 32) for x in (200, 300, 440)]

    assert ids(run(Tracker(detect_every=3), script, 90)) == {1, 2, 3}


def test_low_scores_continue_a_track_but_begin_none() -> None:
    weak = range(10, 20)
    results = run(Tracker(), lambda i: [Person(200, 240, score=0.3 if i in weak else 0.9)], 30)
    assert ids(results) == {1}
    assert all(len(results[i]) == 1 for i in weak)
    assert ids(run(Tracker(), lambda i: [Person(200, 240, score=0.3)], 30)) == set()


def test_a_fast_zoom_keeps_the_id() -> None:
    assert ids(run(Tracker(), lambda i: [Person(320, 240, 20 * 1.05**i)], 50)) == {1}


def test_smoothing_calms_a_still_face_and_can_be_switched_off() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1.0, (200, 2))
    turn = rng.normal(0, 2.0, 200)

    def script(i: int) -> list[Person]:
        return [Person(300 + noise[i, 0], 200 + noise[i, 1], 80, yaw=turn[i])]

    def jitter(tracker: Tracker) -> tuple[float, float]:
        results = run(tracker, script, 200)[50:]
        return (
            float(np.std([r.boxes[0, 0] for r in results])),
            float(np.std([rotation_to_angles(r.rotations[0])[0] for r in results])),
        )

    calm, raw = jitter(Tracker()), jitter(Tracker(smoothing=None))
    assert calm[0] < 0.55 * raw[0]
    assert calm[1] < 0.65 * raw[1]
    exact = run(Tracker(smoothing=None), script, 60)[-1]
    np.testing.assert_allclose(exact.boxes, faces(script(59)).boxes, atol=1e-3)


def test_smoothing_lags_little_behind_a_fast_face() -> None:
    speed = 15.0  # pixels a frame: 5.6 faces a second
    results = run(Tracker(), lambda i: [Person(60 + speed * i, 240, 80)], 35)
    behind = [60 + speed * i - float(r.boxes[0, [0, 2]].mean()) for i, r in enumerate(results) if i > 10]
    assert 0 <= np.mean(behind) < 0.5 * speed  # half a frame


def test_rotations_stay_rotations() -> None:
    results = run(Tracker(), lambda i: [Person(300, 240, yaw=170 * np.sin(i / 5))], 60)
    for r in results[1:]:
        np.testing.assert_allclose(r.rotations[0] @ r.rotations[0].T, np.eye(3), atol=1e-4)


def test_every_third_frame_is_searched_and_the_others_are_predicted() -> None:
    tracker = Tracker(detect_every=3, smoothing=None)
    engine = ScriptedEngine(lambda i: [Person(80 + 6 * i, 240)])
    results = [track_frame(engine, frame(i), tracker) for i in range(40)]
    assert engine.calls == list(range(0, 40, 3))
    assert ids(results) == {1}
    for i, result in enumerate(results):
        if i > 12:
            assert float(result.boxes[0, [0, 2]].mean()) == pytest.approx(80 + 6 * i, abs=6)


def test_what_is_predicted_is_not_counted_as_missed() -> None:
    tracker = Tracker(detect_every=10, lost_after=0.1)
    results = run(tracker, lambda i: [Person(300, 240)], 40)
    assert ids(results) == {1}


def test_the_best_shot_is_the_one_of_highest_quality() -> None:
    tracker = Tracker()
    run(tracker, lambda i: [Person(300, 240, quality=0.9 if i == 12 else 0.5)], 20)
    best = tracker.best_shots()[1]
    assert best.sequence == 12
    assert best.face.quality == pytest.approx(0.9)
    assert best.aligned is not None
    assert best.aligned.shape == (112, 112, 3)
    assert best.crop is not None
    assert best.crop.shape[0] > 60


def test_a_face_at_the_edge_is_not_the_best_shot() -> None:
    tracker = Tracker()
    run(tracker, lambda i: [Person(5 + 6 * i, 240, quality=0.8 if i < 3 else 0.7)], 30)
    best = tracker.best_shots()[1]
    assert best.face.box[0] >= -2  # within what a better shot has to be better by


def test_best_shots_can_be_switched_off() -> None:
    tracker = Tracker(best_shots=False)
    run(tracker, lambda i: [Person(300, 240)], 20)
    assert tracker.best_shots() == {}


def test_reset_ends_all_tracks_and_ids_go_on() -> None:
    tracker = Tracker()
    run(tracker, lambda i: [Person(300, 240)], 10)
    tracker.reset()
    assert [t.track_id for t in tracker.take_ended()] == [1]
    assert ids(run(tracker, lambda i: [Person(300, 240)], 10)) == {2}


def test_a_time_stamp_that_goes_back_is_refused() -> None:
    tracker = Tracker()
    tracker.update(Faces.empty(SIZE, timestamp_ns=10))
    with pytest.raises(InvalidInputError, match="timestamp_ns must be at least the last frame's 10"):
        tracker.update(Faces.empty(SIZE, timestamp_ns=9))


def test_frames_without_time_stamps_work() -> None:
    tracker = Tracker(min_hits=1)
    for _ in range(5):
        assert tracker.update(faces([Person(100, 100)])).track_ids.tolist() == [1]


def test_a_second_thread_is_refused() -> None:
    tracker = Tracker()
    inside, go_on = threading.Event(), threading.Event()

    class Slow(ScriptedEngine):
        pass

    def hold() -> None:
        with tracker._exclusive():
            inside.set()
            go_on.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(60)
    try:
        with pytest.raises(EdgeFaceError, match="one thread at a time"):
            tracker.update(Faces.empty(SIZE))
    finally:
        go_on.set()
        thread.join()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("detect_every", 0),
        ("detect_every", True),
        ("between", "magic"),
        ("min_hits", 0),
        ("lost_after", -1),
        ("low_score", 1.5),
        ("new_score", 0),
        ("smoothing", "strong"),
        ("fps", 0),
    ],
)
def test_bad_arguments_are_refused(argument: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=f"{argument} must be .*, but got"):
        Tracker(**{argument: value})


@pytest.mark.parametrize(
    ("argument", "value"), [("points_cutoff", 0), ("pose_cutoff", -1), ("points_beta", -1), ("pose_beta", float("nan"))]
)
def test_bad_smoothing_is_refused(argument: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"{argument} must be"):
        Smoothing(**{argument: value})


numbers = st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, float("nan"), float("inf")])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(numbers, numbers, numbers, st.floats(0.1, 1)), max_size=6), max_size=8))
def test_no_detection_can_break_a_tracker(script: list[list[tuple[float, float, float, float]]]) -> None:
    tracker = Tracker(min_hits=1)
    for number, rows in enumerate(script):
        with np.errstate(all="ignore"):
            found = faces([Person(x, y, size, score=score) for x, y, size, score in rows])
        result = tracker.update(found, frame(number))
        assert len(set(result.track_ids.tolist())) == len(result)
        assert np.isfinite(result.boxes).all()
        assert np.isfinite(result.rotations).all()


@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3), st.floats(0, np.pi))
def test_rotation_vectors_come_back(axis: tuple[float, float, float], angle: float) -> None:
    vector = np.array(axis) / np.linalg.norm(axis) * angle
    rotation = from_vector(vector)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(from_vector(to_vector(rotation)), rotation, atol=1e-5)
