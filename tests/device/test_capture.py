"""Guided capture, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.heads import faces_of

from edgeface import Faces, QualityGate, camera_matrix
from edgeface.capture import CaptureState, CaptureStep, GuidedCapture, Hold
from edgeface.errors import InvalidInputError
from edgeface.gate import Reason

K = camera_matrix((1280, 720), 70)
STEP = 100_000_000
GATE = QualityGate(min_quality=0.5, single=True, min_eyes_open=0.5)


def seen(k: int, x: float = 0.0, track_id: int | None = 1, **more: Any) -> Faces:
    options: dict[str, Any] = {"timestamp_ns": 5 * STEP + k * STEP, "sequence": k} | more
    if track_id is not None:
        options["track_ids"] = np.array([track_id])
    return faces_of(K, [(x, 0, 0.6)], [np.eye(3)], **options)


def nobody(k: int) -> Faces:
    return Faces.empty((1280, 720), timestamp_ns=5 * STEP + k * STEP)


def run(frames: list[Faces], **options: Any) -> list[CaptureStep]:
    capture = GuidedCapture(GATE, **options)
    return [capture.update(faces) for faces in frames]


def states(steps: list[CaptureStep]) -> str:
    """The first letter of each state."""
    return "".join(step.state[0] for step in steps)


def test_from_nobody_to_done() -> None:
    steps = run([nobody(0), nobody(1), *[seen(k) for k in range(2, 20)]])
    # seen at 2, still from there on: half a second later, at 7, the first shot; three, 0.3 s apart
    assert states(steps) == "ss" + "h" * 5 + "c" * 6 + "d" * 7
    assert [steps[k].held_by for k in (0, 3, 8, 15)] == [Hold.NO_FACE, Hold.MOVING, None, None]
    assert [round(steps[k].progress * 3) for k in (2, 7, 10, 13, 19)] == [0, 1, 2, 3, 3]
    assert steps[0].advice == "look into the camera"
    assert steps[8].advice is None
    assert sorted(shot.sequence for shot in steps[-1].shots if shot.sequence is not None) == [7, 10, 13]


def test_what_holds_it_back_is_said() -> None:
    shut = np.array([[0.1, 0.1]])
    steps = run([seen(0, quality=np.array([0.2])), seen(1, eyes_open=shut), seen(2)])
    assert [step.held_by for step in steps] == [Reason.LOW_QUALITY, Reason.EYES_CLOSED, Hold.MOVING]
    assert [step.advice for step in steps] == ["try another shot", "open the eyes", "hold still"]
    two = faces_of(K, [(0, 0, 0.6), (0.3, 0, 0.9)], [np.eye(3)] * 2, timestamp_ns=STEP)
    assert run([two])[0].held_by is Reason.SEVERAL_FACES


def test_who_moves_waits() -> None:
    steps = run([seen(k, x=0.02 * k) for k in range(10)] + [seen(k, x=0.2) for k in range(10, 20)])
    assert states(steps) == "h" * 15 + "c" * 5
    nearer = [faces_of(K, [(0, 0, 0.8 - 0.03 * k)], [np.eye(3)], timestamp_ns=k * STEP) for k in range(10)]
    assert states(run(nearer)) == "h" * 10


def test_a_bad_moment_keeps_the_shots_of_the_same_face() -> None:
    shut = np.array([[0.1, 0.1]])
    frames = [seen(k) for k in range(8)] + [seen(k, eyes_open=shut) for k in range(8, 10)]
    steps = run(frames + [seen(k) for k in range(10, 20)])
    assert steps[9].state is CaptureState.SEARCHING
    assert len(steps[9].shots) == 1
    assert states(steps)[10:] == "hhhhh" + "ccc" + "dd"


@pytest.mark.parametrize("other", [{"track_id": 2}, {"track_id": None, "x": 0.25}])
def test_another_face_begins_anew(other: dict[str, Any]) -> None:
    first = [seen(k, track_id=1 if other["track_id"] else None) for k in range(9)]
    steps = run(first + [seen(k, **other) for k in range(9, 12)])
    assert len(steps[8].shots) == 2
    assert steps[9].shots == ()


def test_who_is_away_for_long_is_another() -> None:
    frames = [seen(k) for k in range(7)]
    short = run([*frames, *[nobody(k) for k in range(7, 12)], seen(12)])
    assert len(short[-1].shots) == 1
    long = run([*frames, *[nobody(k) for k in range(7, 20)], seen(20)])
    assert long[-1].shots == ()


def test_the_best_shot_comes_first_with_its_crop() -> None:
    gate = QualityGate(min_sharpness=None, min_contrast=None)
    capture = GuidedCapture(gate, shots=2, still_s=0, apart_s=0)
    image = np.full((720, 1280, 3), 120, np.uint8)
    for k, quality in enumerate((0.6, 0.9)):
        step = capture.update(seen(k, quality=np.array([quality])), image, "bgr")
    assert step.state is CaptureState.DONE
    assert [round(shot.rank, 3) for shot in step.shots] == [0.9, 0.6]
    assert step.shots[0].aligned is not None
    assert step.shots[0].face.points68 is not None
    assert capture.update(nobody(9)).state is CaptureState.DONE
    capture.reset()
    assert capture.update(nobody(0)).state is CaptureState.SEARCHING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gate": "enrol"}, "gate must be a QualityGate or None"),
        ({"shots": 0}, "shots must be an integer from 1 to 100"),
        ({"still_s": -1}, "still_s must be 0 or more"),
        ({"max_speed": np.nan}, "max_speed must be 0 or more"),
        ({"fps": 0}, "fps must be above 0"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        GuidedCapture(**change)
