"""Faces that move as a script says, an engine that sees exactly them, and sources that fail on command. For tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgeface.align import ALIGNED_POINTS
from edgeface.angles import angles_to_rotation
from edgeface.errors import SourceError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.sources.base import Source

SIZE = (640, 480)
#: Landmarks in a box of 1 by 1.
_POINTS = (ALIGNED_POINTS - [20, 16]) / [72, 96]


@dataclass
class Person:
    """Where somebody is; a row of `Faces` once `faces` puts it there. `hidden`: shares of the width, left and right."""

    x: float
    y: float
    size: float = 60.0
    yaw: float = 0.0
    score: float = 0.9
    quality: float = 0.5
    hidden: tuple[float, float] = (0.0, 0.0)


def faces(people: Iterable[Person], size: tuple[int, int] = SIZE, **frame: Any) -> Faces:
    """Exact faces of people: square boxes centred on (x, y), of whom something hides the boxes of what is seen."""
    people = list(people)
    if not people:
        return Faces.empty(size, **frame)
    boxes = np.array([[p.x - p.size / 2, p.y - p.size / 2, p.x + p.size / 2, p.y + p.size / 2] for p in people])
    boxes[:, 0] += [p.hidden[0] * p.size for p in people]
    boxes[:, 2] -= [p.hidden[1] * p.size for p in people]
    order = np.argsort([-p.score for p in people], kind="stable")
    found = Faces(
        boxes=boxes,
        scores=np.array([p.score for p in people]),
        landmarks=boxes[:, None, :2] + _POINTS * (boxes[:, None, 2:] - boxes[:, None, :2]),
        rotations=angles_to_rotation([[p.yaw, 0, 0] for p in people]),
        quality=np.array([p.quality for p in people]),
        size=size,
        **frame,
    )
    return found[order]


def frame(number: int, fps: float = 30.0, size: tuple[int, int] = SIZE) -> Frame:
    """A grey frame with the time stamp of its number."""
    return Frame.from_array(
        np.full((size[1], size[0]), 128, np.uint8), "gray", timestamp_ns=round(number * 1e9 / fps), sequence=number
    )


class ScriptedEngine:
    """Sees `script(sequence)`. Everything of `FaceEngine` that trackers and streams need."""

    def __init__(self, script: Callable[[int], Iterable[Person]], min_score: float = 0.5) -> None:
        self.info = SimpleNamespace(min_score=min_score, model="scripted", sha256="0" * 64)
        self.calls: list[int] = []
        self._script = script

    def detect(self, frame: Frame, *, min_score: float | None = None) -> Faces:
        number = frame.sequence or 0
        self.calls.append(number)
        stamps = {"timestamp_ns": frame.timestamp_ns, "sequence": frame.sequence, "rotation": frame.rotation}
        found = faces(self._script(number), frame.size, **stamps)
        return found[found.scores >= (self.info.min_score if min_score is None else min_score)]


class ListSource(Source):
    """Gives a list: frames are given, exceptions raised, callables called first; then it ends, or is lost."""

    def __init__(self, items: Iterable[Any], *, live: bool = False, opens: int = 1, ends: bool = True) -> None:
        self.name, self.live = "list", live
        self.items, self.opens, self.ends = list(items), opens, ends
        self.opened = self.closed = 0

    def open(self) -> None:
        if self.opened >= self.opens:
            raise SourceError("source must be there, but got nothing")
        self.opened += 1

    def read(self) -> Frame | None:
        while self.items:
            item = self.items.pop(0)
            if isinstance(item, Exception):
                raise item
            if not callable(item):
                return item
            item()
        if self.ends:
            return None
        raise SourceError("source must go on, but got no more")

    def close(self) -> None:
        self.closed += 1
