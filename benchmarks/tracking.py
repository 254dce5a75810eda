"""What tracking keeps and what it costs, on synthetic motion: id switches, recall, lag, jitter.

    python benchmarks/tracking.py [--photos val|train] [--count 20] [--model edgeface-s] [--simulated] [--json FILE]

Photos of "train" are for tuning the tracker, those of "val" for reporting.

Every frame is searched once; the trackers are then run on the same detections, so that they differ in nothing else.
``--simulated`` takes the truth instead of a network, with 3 % of jitter, 10 % of misses and a false alarm in every
tenth frame: it measures the tracker alone.

- switches: a face that was reported under one id is reported under another (also after an occlusion).
- recall, precision: of faces that are wholly visible and at least 28 px high, IoU >= .4.
- lag: by how many frames the box trails the truth on moving faces, with that of the unsmoothed track taken off (a
  detector may well centre its boxes elsewhere than the people who labelled).
- jitter: standard deviation of landmarks (thousandths of the face's height) and angles (degrees) of faces that stand
  still, under a sensor's noise.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matching import matched
from rich.console import Console
from rich.progress import track
from rich.table import Table
from synthetic_motion import FPS, MOTIONS, SETS, Truth, Video, labelled_photos

import edgeface
from edgeface.align import ALIGNED_POINTS
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.tracking.engine import track_frame

LOW_SCORE = 0.25
LEAST_IOU = 0.4


@dataclass
class Score:
    """Counts over any number of videos."""

    wanted: int = 0
    found: int = 0
    reported: int = 0
    wrong: int = 0
    switches: int = 0
    trails: list[tuple[float, float]] = field(default_factory=list)
    landmark_variances: list[float] = field(default_factory=list)
    angle_variances: list[float] = field(default_factory=list)

    def add(self, truths: list[Truth], results: list[Faces]) -> None:
        """Compare one video's results with its truth."""
        ids: dict[int, int] = {}
        still: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
        for number, (truth, faces) in enumerate(zip(truths, results, strict=True)):
            known = np.where(truth.known[:, None], truth.boxes, np.nan)
            pairs = matched(known, faces.boxes, LEAST_IOU)
            self.wanted += int(truth.wanted.sum())
            self.reported += len(faces)
            self.wrong += sum(1 for j in range(len(faces)) if j not in pairs.values())
            for i, j in pairs.items():
                if truth.wanted[i]:
                    self.found += 1
                name = int(faces.track_ids[j])
                self.switches += ids.get(i, name) != name
                ids[i] = name
                box, height = faces.boxes[j], truth.boxes[i, 3] - truth.boxes[i, 1]
                speed = float(np.linalg.norm(truth.velocity[i]))
                centre = (box[:2] + box[2:]) / 2
                if speed > 0.02 * height and truth.wanted[i]:
                    behind = (truth.boxes[i, :2] + truth.boxes[i, 2:]) / 2 - centre
                    self.trails.append((float(behind @ truth.velocity[i]), speed * speed))
                if speed == 0 and number > FPS // 2 and truth.wanted[i]:
                    face = faces[j]
                    still.setdefault((i, name), []).append((face.landmarks / height, np.asarray(face.angles)))
        for seen in still.values():
            if len(seen) >= FPS:
                self.landmark_variances.append(float(np.var([points for points, _ in seen], axis=0).mean()))
                self.angle_variances.append(float(np.var([angles for _, angles in seen], axis=0).mean()))

    @property
    def lag(self) -> float:
        """Frames: least squares of the trailing distance over the speed."""
        return sum(a for a, _ in self.trails) / max(sum(b for _, b in self.trails), 1e-9)

    def row(self, base_lag: float) -> dict[str, float]:
        """Rounded figures."""
        figures = {
            "switches": self.switches,
            "recall": round(self.found / max(self.wanted, 1), 4),
            "precision": round(1 - self.wrong / max(self.reported, 1), 4),
            "lag": round(self.lag - base_lag, 3),
        }
        if self.landmark_variances:
            figures["landmark jitter ‰"] = round(1000 * float(np.mean(self.landmark_variances)) ** 0.5, 2)
            figures["angle jitter °"] = round(float(np.mean(self.angle_variances)) ** 0.5, 3)
        return figures


class Simulated:
    """A detector that sees the truth, badly."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, frame: Frame, truth: Truth) -> Faces:
        seen = np.flatnonzero(truth.wanted & (self._rng.random(len(truth.wanted)) > 0.1))
        boxes = truth.boxes[seen]
        if self._rng.random() < 0.1:
            x, y, size = self._rng.uniform([0, 0, 30], [560, 400, 80])
            boxes = np.concatenate([boxes, [[x, y, x + size, y + size]]])
        if not len(boxes):
            return Faces.empty(frame.size, timestamp_ns=frame.timestamp_ns, sequence=frame.sequence)
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        boxes = boxes + (self._rng.normal(0, 0.03, (len(boxes), 2, 2)) * sides).reshape(-1, 4)
        points = (ALIGNED_POINTS - [20, 16]) / [72, 96]
        return Faces(
            boxes=boxes,
            scores=self._rng.uniform(0.3, 1, len(boxes)),
            landmarks=boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2]),
            rotations=np.tile(np.eye(3), (len(boxes), 1, 1)),
            quality=np.full(len(boxes), 0.5),
            size=frame.size,
            timestamp_ns=frame.timestamp_ns,
            sequence=frame.sequence,
        )


TRACKERS: dict[str, Callable[[], edgeface.Tracker]] = {
    "default": lambda: edgeface.Tracker(best_shots=False),
    "no smoothing": lambda: edgeface.Tracker(best_shots=False, smoothing=None),
}
_SPARSE = ((2, "motion"), (3, "motion"), (3, "flow"), (5, "motion"), (5, "flow"), (10, "motion"), (10, "flow"))
for every, between in _SPARSE:
    TRACKERS[f"every {every}, {between}"] = lambda every=every, between=between: edgeface.Tracker(
        best_shots=False, detect_every=every, between=between
    )


def replay(frames: list[Frame], found: list[Faces], tracker: edgeface.Tracker, min_score: float) -> Iterator[Faces]:
    """Run a tracker over detections that are there already."""

    def detect(frame: Frame, *, min_score: float) -> Faces:
        faces = found[frame.sequence or 0]
        return faces[faces.scores >= min_score]

    engine: Any = SimpleNamespace(detect=detect, info=SimpleNamespace(min_score=min_score))
    return (track_frame(engine, frame, tracker) for frame in frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", choices=sorted(SETS), default="val")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--size", default=None)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = SETS[options.photos]
    if not folder.exists():
        raise SystemExit(f"{folder} must hold labelled photos, but there is no such folder")
    photos = labelled_photos(folder, options.count)
    engine = None if options.simulated else edgeface.FaceEngine(options.model, size=options.size)
    simulated = Simulated()
    scores = {(name, motion): Score() for name in TRACKERS for motion in MOTIONS}
    console = Console()
    for seed, photo in enumerate(track(photos, "videos", console=Console(stderr=True), transient=True)):
        for motion in MOTIONS:
            frames, truths, found = [], [], []
            for i, (image, truth) in enumerate(Video(photo, motion, seed).frames()):
                frame = Frame.from_array(image, "bgr", timestamp_ns=round(i * 1e9 / FPS), sequence=i)
                frames.append(frame)
                truths.append(truth)
                found.append(simulated(frame, truth) if engine is None else engine.detect(frame, min_score=LOW_SCORE))
            for name, make in TRACKERS.items():
                least = 0.5 if engine is None else engine.info.min_score
                scores[name, motion].add(truths, list(replay(frames, found, make(), least)))
    what = "simulated detector" if engine is None else f"{engine}, sha256 {engine.info.sha256[:12]}"
    console.print(
        f"{len(photos)} photos of {options.photos} x {len(MOTIONS)} motions x 90 frames at {FPS} fps, 640x480; {what}"
    )
    report = {}
    for motion in MOTIONS:
        base = scores["no smoothing", motion].lag
        rows = {name: scores[name, motion].row(base) for name in TRACKERS}
        report[motion] = rows
        table = Table(title=f"{motion}: {scores['default', motion].wanted} faces to find", title_justify="left")
        for column in ("tracker", *next(iter(rows.values()))):
            table.add_column(column, justify="left" if column == "tracker" else "right")
        for name, row in rows.items():
            table.add_row(name, *(f"{value:g}" for value in row.values()))
        console.print(table)
    if options.json is not None:
        options.json.write_text(
            json.dumps({"detector": what, "photos": len(photos), "set": options.photos, "motions": report}, indent=1)
        )


if __name__ == "__main__":
    main()
