"""Detections of a set, kept as JSON lines: an interrupted run goes on, and anybody can score them again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Found, read_predictions
from quantize.data.sample import Sample
from quantize.engines import Engine, open_engine
from quantize.evaluate.detectors import DetectorSpec
from quantize.models.bundle_detector import BundleDetector
from quantize.models.detector import Detector, FloatDetector, core_functions
from quantize.models.turned import TurnedDetector

Detect = Callable[[NDArray[np.uint8]], Found]


def predict(
    spec: DetectorSpec,
    samples: Sequence[Sample],
    path: Path,
    engine: Engine | None = None,
    detector: Detector | None = None,
) -> dict[str, Found]:
    """Runs a detector over photos, appending to ``path``; photos that stand there already are not run again.

    Args:
        spec: the detector, for work in other processes.
        samples: photos.
        path: JSON lines; its name should change with the network (`name_of`).
        engine: where photos are worked on; this process if None.
        detector: ``spec`` opened, for work in this process.

    Returns:
        Detections by `Sample.key`.

    Raises:
        ValueError: a photo cannot be read: a figure over the rest would mislead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _finished_lines(path)
    todo = [s.key for s in samples if s.key not in done]
    if todo:
        work = _Worker(spec, detector.detect if detector is not None else None)
        with path.open("a") as f:
            for line in (engine or open_engine("local")).map(work, todo, path.stem[-60:]):
                f.write(line)
    found = read_predictions(path)
    return {s.key: found[s.key] for s in samples}


class _Worker:
    """Photo path to line of JSON; opens its detector where it runs, once a process."""

    _open: dict[DetectorSpec, Detector] = {}  # noqa: RUF012 - one for the whole process is what is wanted

    def __init__(self, spec: DetectorSpec, detect: Detect | None = None) -> None:
        self.spec, self.detect = spec, detect

    def __call__(self, file: str) -> str:
        detect = self.detect
        if detect is None:
            if self.spec not in self._open:
                cv2.setNumThreads(1)
                self._open[self.spec] = self.spec.open()
            detect = self._open[self.spec].detect
        image = cv2.imread(file, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"photo must be a readable picture, but got {file}")
        return json.dumps({"file": file, "faces": detect(np.asarray(image, np.uint8)).to_json()}) + "\n"


def _finished_lines(path: Path) -> set[str]:
    """Photos whose line is whole; a line that an interruption cut is removed from the file."""
    if not path.is_file():
        return set()
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return {str(json.loads(line)["file"]) for line in lines}


def name_of(spec: DetectorSpec, detector: Detector) -> str:
    """A file name for a detector and its input.

    It has the hash of the network, and that of the core which decodes what is ours: neither new weights nor a new core
    ever meet old predictions.
    """
    core = hashlib.sha256(Path(core_functions().__file__).read_bytes()).hexdigest()[:6]
    upright = detector.detector if isinstance(detector, TurnedDetector) else detector
    if isinstance(upright, BundleDetector):
        info = upright.engine.info
        text = f"{info.model}-{info.precision}-{info.runtime}-{info.sha256[:10]}-{core}"
    else:
        adapter, _, _ = spec.model.partition(":")
        text = f"{adapter}-{hashlib.sha256(b''.join(f.read_bytes() for f in spec.files())).hexdigest()[:10]}"
        if isinstance(upright, FloatDetector):
            text += f"-{core}"
    return re.sub(r"[^A-Za-z0-9.-]+", "_", f"{text}-{detector.rule}")
