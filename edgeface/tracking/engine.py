"""`FaceEngine.track`: an engine and a tracker on one frame."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any, Protocol, cast

from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.tracking.tracker import Tracker

__all__ = ["Describer", "Detector", "describer_of", "track_frame"]


class Detector(Protocol):
    """What `track_frame` needs of an engine."""

    @property
    def info(self) -> Any:
        """With a `min_score`."""

    def detect(self, frame: Frame, *, min_score: float | None = None) -> Faces:
        """As `FaceEngine.detect`."""


class Describer(Protocol):
    """What more a `FaceEngine` with points has."""

    def describe_found(self, frame: Frame, faces: Faces) -> Faces:
        """As `FaceEngine.describe_found`."""


def describer_of(engine: object) -> Describer | None:
    """The engine, if its `detect` describes faces."""
    return cast("Describer", engine) if getattr(engine, "describes", False) else None


def track_frame(engine: Detector, frame: Frame, tracker: Tracker, *, now_ns: int | None = None) -> Faces:
    """Detect or predict, whichever is due, and give the tracked faces (see `FaceEngine.track`).

    Args:
        engine: that detects.
        frame: the next one.
        tracker: of the frames before.
        now_ns: the frame's time for the tracker, if not its stamp.
    """
    describer = describer_of(engine)
    if not tracker.due:
        started = perf_counter()
        faces = tracker.predict(frame, now_ns=now_ns)
        faces = replace(faces, timings={"track": perf_counter() - started})
    else:
        threshold = float(engine.info.min_score) if tracker.new_score is None else tracker.new_score
        # who is described is known once it is known who is reported
        options: dict[str, Any] = {"describe": False} if describer is not None else {}
        found = engine.detect(frame, min_score=min(threshold, tracker.low_score), **options)
        started = perf_counter()
        faces = tracker.update(found, frame, new_score=threshold, now_ns=now_ns)
        faces = replace(faces, timings={**found.timings, "track": perf_counter() - started})
    return faces if describer is None else tracker.smooth_points(describer.describe_found(frame, faces))
