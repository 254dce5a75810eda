"""How well a camera is placed: the faces of the last minute, and what share of them would pass the gate's presets."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgeface.errors import must_be
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.gate import PRESETS, GateReport, QualityGate, Reason

__all__ = ["WORDS", "Placing"]

#: What is wrong, and what whoever mounts the camera can do about it. "12 % " stands before it.
WORDS: Final[Mapping[Reason, str]] = {
    Reason.LOW_SCORE: "hardly look like faces: move closer, or add light",
    Reason.LOW_QUALITY: "of low quality: move closer, focus, or add light",
    Reason.TOO_SMALL: "too small: move closer or use a longer lens",
    Reason.YAW: "turned aside: place the camera where people look",
    Reason.PITCH: "look up or down: mount the camera nearer to eye height",
    Reason.ROLL: "tilted: level the camera, or tell its --rotation",
    Reason.CUT_OFF: "cut off: aim the camera at where people stand, or use a wider lens",
    Reason.BLURRED: "blurred: focus the lens, or shorten the exposure",
    Reason.TOO_DARK: "too dark: add light from the front, or lengthen the exposure",
    Reason.TOO_BRIGHT: "too bright: less light, or a shorter exposure",
    Reason.LOW_CONTRAST: "low in contrast: no light behind people, and clean the lens",
    Reason.OCCLUDED: "partly covered: look for what stands between camera and people",
    Reason.EYES_CLOSED: "with shut eyes: no lamp or sun that dazzles people",
    Reason.MOUTH_OPEN: "with an open mouth: wait, or tell people what the camera is for",
    Reason.GLASSES: "with glasses: use a preset that takes them",
    Reason.SUNGLASSES: "with sunglasses: shade the place, or ask for them to be taken off",
    Reason.SEVERAL_FACES: "not alone in the picture: narrow the view, or tell a --roi",
}
#: Pixels, degrees, and shares.
_EDGES: Final[Mapping[str, tuple[float, ...]]] = {
    "height": (0, 16, 24, 32, 48, 64, 96, 128, 192, 256),
    "yaw": (0, 10, 20, 30, 40, 50, 60, 70, 80, 90),
    "quality": (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
_SPAN_S: Final = 60.0
_EVERY_S: Final = 1.0
#: Tracks at a time; more are not looked at.
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class _Sample:
    """One face at one moment; what each preset finds wrong with it, by name."""

    time: float
    person: int | None
    height: float
    yaw: float
    quality: float
    size: float
    reasons: Mapping[str, tuple[Reason, ...]]


class Placing:
    """A ring of one minute. Each track counts once a second, so that a face that stays counts as long as it stays.

    Args:
        presets: names of the gate's presets to judge by.

    Raises:
        InvalidInputError: no such preset.

    Examples:
        >>> placing = Placing()
        >>> placing.add(Faces.empty((640, 480)), None)
        >>> placing.summary()["faces"]
        {'now': 0, 'mean': 0.0, 'most': 0}
    """

    def __init__(self, presets: Sequence[str] = ("enrol", "verify", "attention")) -> None:
        for name in presets:
            if name not in PRESETS:
                raise must_be("preset", f"one of {', '.join(PRESETS)}", repr(name))
        self._gates = {name: QualityGate.preset(name) for name in presets}
        self._lock = threading.Lock()
        self._samples: deque[_Sample] = deque()
        self._counts: deque[tuple[float, int]] = deque()
        self._taken: dict[int | None, float] = {}

    def add(self, faces: Faces, frame: Frame | None, *, now: float | None = None) -> None:
        """Take what is due of the faces of one frame.

        Args:
            faces: with track ids; without them all faces of one frame a second count.
            frame: they were found in, for the tests of light and sharpness.
            now: seconds of a clock that never goes back; `time.monotonic` if None.
        """
        moment = time.monotonic() if now is None else now
        with self._lock:
            if not self._counts or moment - self._counts[-1][0] >= _EVERY_S:
                self._counts.append((moment, len(faces)))
            due = [i for i in range(min(len(faces), _MOST)) if self._due(_person(faces, i), moment)]
            self._taken |= {_person(faces, i): moment for i in due}
            self._forget(moment)
        if not due:
            return
        reports = {name: gate.check(faces, frame) for name, gate in self._gates.items()}
        samples = [_sample(faces, i, moment, {name: found[i] for name, found in reports.items()}) for i in due]
        with self._lock:
            self._samples.extend(samples)

    def summary(self, *, now: float | None = None) -> dict[str, Any]:
        """What the page shows, JSON-ready.

        Args:
            now: as of `add`.

        Returns:
            ``seconds`` that are covered; ``samples``; ``people``, tracks among them; ``faces``, their number now, on
            average and at most; for ``height`` (pixels of the upright picture), ``yaw`` (absolute, degrees) and
            ``quality`` the ``edges`` of bins (the last one is open), ``counts``, ``median`` and each preset's limit;
            ``presets`` with the ``share`` that would pass and ``reasons``, the commonest first, each with its share
            and words.
        """
        moment = time.monotonic() if now is None else now
        with self._lock:
            self._forget(moment)
            samples, counts = list(self._samples), list(self._counts)
        numbers = [count for _, count in counts]
        return {
            "seconds": round(min(_SPAN_S, moment - counts[0][0]), 1) if counts else 0.0,
            "samples": len(samples),
            "people": len({sample.person for sample in samples if sample.person is not None}),
            "faces": {
                "now": numbers[-1] if numbers else 0,
                "mean": round(float(np.mean(numbers)), 2) if numbers else 0.0,
                "most": max(numbers, default=0),
            },
            "height": _histogram("height", [s.height for s in samples], self._limits("min_size")),
            "yaw": _histogram("yaw", [s.yaw for s in samples], self._limits("max_yaw")),
            "quality": _histogram("quality", [s.quality for s in samples], self._limits("min_quality")),
            "presets": [self._judged(name, samples) for name in self._gates],
        }

    def _due(self, person: int | None, moment: float) -> bool:
        return moment - self._taken.get(person, -np.inf) >= _EVERY_S

    def _forget(self, moment: float) -> None:
        oldest = moment - _SPAN_S
        while self._samples and self._samples[0].time < oldest:
            self._samples.popleft()
        while self._counts and self._counts[0][0] < oldest:
            self._counts.popleft()
        self._taken = {person: taken for person, taken in self._taken.items() if moment - taken < _EVERY_S}

    def _limits(self, name: str) -> dict[str, float | None]:
        return {preset: getattr(gate, name) for preset, gate in self._gates.items()}

    def _judged(self, preset: str, samples: Sequence[_Sample]) -> dict[str, Any]:
        wrong = Counter(reason for sample in samples for reason in sample.reasons[preset])
        passed = sum(not sample.reasons[preset] for sample in samples)
        return {
            "name": preset,
            "share": round(passed / len(samples), 4) if samples else None,
            "reasons": [
                {
                    "reason": reason.value,
                    "share": round(count / len(samples), 4),
                    "words": self._words(preset, reason, count, samples),
                }
                # the order of `Reason` where two are as common
                for reason, count in sorted(wrong.items(), key=lambda entry: (-entry[1], list(Reason).index(entry[0])))
            ],
        }

    def _words(self, preset: str, reason: Reason, count: int, samples: Sequence[_Sample]) -> str:
        share = 100 * count / len(samples)
        words = f"{'under 1' if share < 1 else f'{share:.0f}'} % {WORDS[reason]}"
        needed = self._gates[preset].min_size
        if reason is Reason.TOO_SMALL and needed is not None:
            factor = needed / max(1.0, float(np.median([sample.size for sample in samples])))
            if factor > 1.05:
                words += f" (half of all would be large enough {factor:.1f} times closer)"
        return words


def _person(faces: Faces, index: int) -> int | None:
    return None if faces.track_ids is None else int(faces.track_ids[index])


def _sample(faces: Faces, index: int, moment: float, reports: Mapping[str, GateReport]) -> _Sample:
    face = faces[index]
    return _Sample(
        moment,
        face.track_id,
        face.width if faces.rotation % 180 else face.height,
        abs(face.yaw),
        face.quality,
        min(face.width, face.height),
        {name: report.reasons for name, report in reports.items()},
    )


def _histogram(name: str, values: Sequence[float], limits: Mapping[str, float | None]) -> dict[str, Any]:
    edges = _EDGES[name]
    bins = np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 1)
    return {
        "edges": list(edges),
        "counts": np.bincount(bins, minlength=len(edges)).tolist() if len(values) else [0] * len(edges),
        "median": round(float(np.median(values)), 3) if len(values) else None,
        "limits": dict(limits),
    }
