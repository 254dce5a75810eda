"""Blinks, shut eyes and yawns, from openness that is known frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.heads import faces_of

from edgeface import camera_matrix
from edgeface.errors import InvalidInputError
from edgeface.faces import Faces
from edgeface.tracking import EventKind, EventSettings, FaceEvent, FaceEvents

K = camera_matrix((1280, 720), 70)
STEP = 40_000_000  # 25 frames a second


def seen(k: int, eyes: float = 0.9, mouth: float = 0.1, **more: Any) -> Faces:
    options = {"track_ids": np.array([7]), "timestamp_ns": 10**9 + k * STEP}
    options |= {"eyes_open": np.full((1, 2), eyes), "mouth_open": np.array([mouth])}
    return faces_of(K, [(0, 0, 1)], [np.eye(3)], **options | more)


def run(values: list[Faces], settings: EventSettings = EventSettings()) -> list[list[FaceEvent]]:  # noqa: B008
    events = FaceEvents(settings)
    return [events.update(faces) for faces in values]


def at(k: int) -> int:
    return 10**9 + k * STEP


def test_a_blink_is_told_when_it_ends() -> None:
    told = run([seen(k, eyes=0.1 if k in (5, 6, 7) else 0.9) for k in range(12)])
    assert told[8] == [FaceEvent(EventKind.BLINK, 7, at(5), at(8))]
    assert told[8][0].seconds == pytest.approx(0.12)
    assert not any(told[:8] + told[9:])


def test_between_the_thresholds_nothing_changes() -> None:
    openness = [0.9, 0.45, 0.4, 0.45, 0.9, 0.3, 0.45, 0.3, 0.49, 0.3, 0.6]
    told = run([seen(k, eyes=v) for k, v in enumerate(openness)])
    assert [e for t in told for e in t] == [FaceEvent(EventKind.BLINK, 7, at(5), at(10))]


def test_shut_eyes_are_told_when_they_last_and_when_they_open() -> None:
    told = run([seen(k, eyes=0.1 if 5 <= k < 40 else 0.9) for k in range(45)])
    flat = [(k, e) for k, t in enumerate(told) for e in t]
    assert flat == [
        (18, FaceEvent(EventKind.EYES_SHUT, 7, at(5), None)),  # the first frame after more than half a second
        (40, FaceEvent(EventKind.EYES_SHUT, 7, at(5), at(40))),
    ]
    assert flat[0][1].seconds is None


def test_a_yawn_and_a_word() -> None:
    word = [seen(k, mouth=0.9 if 3 <= k < 20 else 0.1) for k in range(30)]
    assert not any(run(word))
    yawn = run([seen(k, mouth=0.9 if 3 <= k < 60 else 0.1) for k in range(65)])
    assert [(k, e.kind, e.end_ns) for k, t in enumerate(yawn) for e in t] == [
        (41, EventKind.YAWN, None),
        (60, EventKind.YAWN, at(60)),
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        {"cover": np.array([[0.9, 0, 0, 0, 0, 0]])},
        {"cover": np.array([[0, 0, 0, 0, 0, 0.8]])},
        {"visibility": np.zeros((1, 68))},
    ],
)
def test_eyes_that_cannot_be_seen_are_not_shut(hidden: dict[str, Any]) -> None:
    assert not any(run([seen(k, eyes=0.0 if k > 2 else 0.9, **(hidden if k > 2 else {})) for k in range(60)]))


def test_of_a_profile_the_eye_that_is_seen_counts() -> None:
    visibility = np.ones((1, 68))
    visibility[:, 42:48] = 0.1
    frames = []
    for k in range(8):
        openness = np.array([[0.1 if k in (3, 4) else 0.9, 0.9]])
        frames.append(seen(k, visibility=visibility, eyes_open=openness))
    assert [e.kind for t in run(frames) for e in t] == [EventKind.BLINK]


def test_a_mask_hides_a_yawn() -> None:
    cover = np.array([[0, 0, 0, 0.9, 0, 0]])
    assert not any(run([seen(k, mouth=0.9, cover=cover) for k in range(60)]))


def test_a_face_that_leaves_ends_what_it_did() -> None:
    frames = [seen(k, eyes=0.1 if k >= 5 else 0.9) for k in range(25)]
    frames += [Faces.empty((1280, 720), timestamp_ns=at(k)) for k in range(25, 45)]
    flat = [(k, e) for k, t in enumerate(run(frames)) for e in t]
    assert flat[-1] == (37, FaceEvent(EventKind.EYES_SHUT, 7, at(5), at(24)))
    # a blink whose end was not seen is none
    short = [seen(k, eyes=0.1 if k >= 20 else 0.9) for k in range(24)] + frames[25:]
    assert not any(run(short))


def test_people_are_told_apart_and_the_rest_is_left_alone() -> None:
    events = FaceEvents()
    for k in range(10):
        two = faces_of(
            K,
            [(0, 0, 1), (0.4, 0, 1)],
            [np.eye(3)] * 2,
            track_ids=np.array([1, 2]),
            timestamp_ns=at(k),
            eyes_open=np.array([[0.9, 0.9], [0.1, 0.1] if k in (4, 5) else [0.9, 0.9]]),
        )
        told = events.update(two)
        assert [(e.track_id, e.kind) for e in told] == ([(2, EventKind.BLINK)] if k == 6 else [])
    assert not events.update(faces_of(K, [(0, 0, 1)], [np.eye(3)], timestamp_ns=at(11)))  # no ids
    assert not events.update(faces_of(K, [(0, 0, 1)], [np.eye(3)], points=False, track_ids=[3], timestamp_ns=at(12)))


def test_without_stamps_frames_are_counted_and_a_clock_that_is_set_back_begins_anew() -> None:
    events = FaceEvents(fps=10)
    told = [events.update(seen(0, eyes=0.1 if k == 3 else 0.9, timestamp_ns=None)) for k in range(6)]
    assert [e.seconds for t in told for e in t] == [pytest.approx(0.1)]
    events = FaceEvents()
    for k in range(50, 60):
        events.update(seen(k, eyes=0.1))
    assert not any(events.update(seen(k)) for k in range(5))
    with pytest.raises(InvalidInputError, match="timestamp_ns must be at least"):
        events.update(seen(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eyes_shut": 0.6}, r"eyes_shut must be at most eyes_open \(0.5\)"),
        ({"mouth_closed": 0.9}, r"mouth_closed must be at most mouth_wide"),
        ({"eyes_open": 1.5}, "eyes_open must be from 0 to 1"),
        ({"visible": np.nan}, "visible must be from 0 to 1"),
        ({"blink_s": 0}, "blink_s must be above 0 seconds"),
        ({"yawn_s": True}, "yawn_s must be above 0 seconds"),
    ],
)
def test_refused_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        EventSettings(**change)
