"""`FaceEngine.track`: an engine and a tracker on one frame."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any, Protocol

from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.tracking.tracker import Tracker

__all__ = ["Detector", "track_frame"]


class Detector(Protocol):
    """What `track_frame` needs of an engine."""

    @property
    def info(self) -> Any:
        """With a `min_score`."""

    def detect(self, frame: Frame, *, min_score: float | None = None) -> Faces:
        """As `FaceEngine.detect`."""


def track_frame(engine: Detector, frame: Frame, tracker: Tracker, *, now_ns: int | None = None) -> Faces:
    """Detect or predict, whichever is due, and give the tracked faces (see `FaceEngine.track`).

    Args:
        engine: that detects.
        frame: the next one.
        tracker: of the frames before.
        now_ns: the frame's time for the tracker, if not its stamp.
    """
    if not tracker.due:
        started = perf_counter()
        faces = tracker.predict(frame, now_ns=now_ns)
        return replace(faces, timings={"track": perf_counter() - started})
    threshold = float(engine.info.min_score) if tracker.new_score is None else tracker.new_score
    found = engine.detect(frame, min_score=min(threshold, tracker.low_score))
    started = perf_counter()
    faces = tracker.update(found, frame, new_score=threshold, now_ns=now_ns)
    return replace(faces, timings={**found.timings, "track": perf_counter() - started})
