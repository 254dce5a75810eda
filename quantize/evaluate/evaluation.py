"""Step ``evaluate``: any bundle and any peer, through the path that ships, on any labelled sets, side by side.

Predictions are kept as JSON lines (one file a detector, input rule and set), so that an interrupted run goes on where
it stopped and anybody can score them again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from edgeface.engine import parse_size
from quantize.data.jsonl import read_jsonl
from quantize.data.sample import Sample
from quantize.evaluate.detectors import BundleDetector, DetectorSpec, FloatDetector, core_functions
from quantize.evaluate.discard import score_quality
from quantize.engines import Engine, open_engine
from quantize.data.detections import Found, read_predictions
from quantize.evaluate.intervals import Resamples
from quantize.data.metrics import score_samples
from quantize.evaluate.peers import Detector
from quantize.evaluate.tables import write_table
from quantize.evaluate.lightness import by_tone
from quantize.evaluate.turned import TURNED, TURNS, TurnedDetector


@dataclass(frozen=True)
class Trial:
    """One set at one input size: ``name`` of the folder, (width, height), and how far its photos are turned."""

    name: str
    size: tuple[int, int]
    turn: int = 0

    @staticmethod
    def parse(text: str) -> Trial:
        """``SET@WxH``, or ``SET@WxH+90`` with photos turned (`quantize.evaluate.turned`). Raises ValueError for anything else.

        Examples:
            >>> Trial.parse("wider@640x480+90")
            Trial(name='wider', size=(640, 480), turn=90)
        """
        name, _, rest = text.rpartition("@")
        size, plus, turn = rest.partition("+")
        if not name or (plus and turn not in map(str, TURNS)):
            raise ValueError(f"trial must be SET@WxH or SET@WxH+90, +180, +270, but got {text!r}")
        return Trial(name, parse_size(size), int(turn or 0))


#: What the tables of the documentation are made of.
TRIALS = (
    Trial("wider", (640, 640)),
    Trial("wider", (320, 320)),
    Trial("wider", (640, 640), turn=90),
    Trial("mask_web", (640, 640)),
    Trial("aflw2000", (320, 320)),
    Trial("afw", (640, 640)),
    Trial("background", (640, 640)),
    Trial("people_degraded", (320, 320)),
)

#: Sets in colour with faces large enough for `quantize.evaluate.lightness`.
TONE_SETS = ("wider", "aflw2000")


def predict(
    spec: DetectorSpec,
    samples: Sequence[Sample],
    path: Path,
    engine: Engine | None = None,
    detector: Detector | None = None,
) -> dict[str, Found]:
    """Runs a detector over photos, appending to ``path``; photos that stand there already are not run again.

    ``detector`` is an opened one, for work in this process. A photo that cannot be read raises ValueError: a figure
    over some of the photos would pass for one over all of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _finished_lines(path)
    todo = [s for s in samples if s.path.stem not in done]
    if todo:
        local = engine or open_engine("local")
        work = detector.detect if detector is not None else None
        with path.open("a") as f:
            for line in local.map(_Worker(spec, work), [str(s.path) for s in todo], f"{spec.model} {path.stem}"):
                f.write(line)
    return read_predictions(path)


def look(specs: Sequence[DetectorSpec], samples: Sequence[Sample], engine: Engine) -> Iterator[list[Found]]:
    """What each of the detectors finds in each photo, in their order. Raises ValueError for one that cannot be read."""
    for lines in engine.map(partial(_lines, specs), [str(s.path) for s in samples], "look"):
        yield [Found.from_json(json.loads(line)["faces"]) for line in lines]


def _lines(specs: Sequence[DetectorSpec], file: str) -> list[str]:
    return [_Worker(spec)(file) for spec in specs]


class _Worker:
    """Photo path to line of JSON; opens its detector where it runs, once a process."""

    _open: dict[DetectorSpec, Detector] = {}  # noqa: RUF012 - one for the whole process is what is wanted

    def __init__(self, spec: DetectorSpec, detect: Any = None) -> None:
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
        return json.dumps({"file": Path(file).stem, "faces": detect(np.asarray(image, np.uint8)).to_json()}) + "\n"


def _finished_lines(path: Path) -> set[str]:
    """Stems whose line is whole; a line that an interruption cut is removed from the file."""
    if not path.is_file():
        return set()
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
        path.write_text("".join(lines))
    return {str(json.loads(line)["file"]) for line in lines}


def evaluate(
    specs: Iterable[str],
    sets: Path,
    run: Path,
    trials: Sequence[Trial] = TRIALS,
    *,
    runtime: str = "onnxruntime",
    precision: str | None = None,
    engine: Engine | None = None,
    before: Sequence[dict[str, Any]] = (),
    resamples: Resamples | None = None,
) -> list[dict[str, Any]]:
    """Every detector on every trial.

    Args:
        specs: bundles (path or name) and peers (``ADAPTER:FILE``).
        sets: folder that holds the labelled sets.
        run: receives predictions, ``table.json`` and ``table.md``.
        trials: sets and input sizes; one whose folder is not there is left out and said in the table.
        runtime, precision: of bundles.
        engine: where photos are worked on; this process if None.
        before: results that stand in the tables already.
        resamples: receives what each comes to on resamples of the photos (`quantize.evaluate.intervals`).

    Returns:
        One result a detector and trial: ``model``, ``rule``, ``set`` and the figures of `quantize.data.metrics`, with
        ``resamples`` also ``between``, the lowest and highest of each in 95 % of them. Of several detectors that say
        the same name all but the first have what ``specs`` calls them besides.
    """
    results = []
    named: dict[str, str] = {}  # two bundles may say the same name: each gets a column of its own
    for model in specs:
        for trial in trials:
            folder = sets / trial.name
            if not (folder / "labels.jsonl").is_file():
                continue
            spec = DetectorSpec(model, trial.size, runtime, precision, trial.turn)
            detector = spec.open()
            samples, skipped = read_jsonl(folder)
            if skipped:
                raise ValueError(f"labels to measure by must all be readable, but got {skipped[0]}")
            path = run / "predictions" / f"{_name(detector, spec)}-{trial.name}.jsonl"
            found = predict(spec, samples, path, engine, detector if engine is None else None)
            figures = score_samples(samples, found)
            if (folder / "embeddings.npz").is_file():
                figures |= score_quality(samples, found, folder / "embeddings.npz")
            if trial.name in TONE_SETS and not trial.turn:
                figures["by_tone"] = by_tone(samples, found)
            first = named.setdefault(detector.name, model)
            name = detector.name if first == model else f"{detector.name} ({model})"
            if resamples is not None:
                figures["between"] = resamples.add((trial.name, detector.rule), name, samples, found)
            results.append({"model": name, "rule": detector.rule, "set": trial.name, **figures})
            write_table(run, [*before, *results])
    return results


def name_of(spec: DetectorSpec) -> str:
    """A file name for a detector and its input; see `_name`."""
    return _name(spec.open(), spec)


def _name(detector: Detector, spec: DetectorSpec) -> str:
    """It includes the hash of the network, and that of the core which decodes what is ours, so that neither new weights
    nor a new core ever meet old predictions.
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


def validate_float(
    model: nn.Module, sets: Path, *, wider: int = 60, aflw2000: int = 150, background: int = 0
) -> dict[str, float]:
    """A quick look at a float network on every n-th photo of two sets, for curves while training.

    Args:
        model: takes and returns what `quantize.models.Student` does; put into evaluation mode for the time being.
        sets: folder that holds ``wider`` and ``aflw2000``.
        wider: photos for AP, letterboxed to 640x640.
        aflw2000: photos for pose and points, letterboxed to 320x320.
        background: photos without a face for false positives, letterboxed to 640x640; none by default.

    Returns:
        ``val_ap_ge16``, ``val_ap_ge32``, ``val_ap_ge64``, ``val_pose_mae``, ``val_nme5_box``, ``val_pose_miss``; with
        ``background`` also ``val_fp_per_100``.
        They rank checkpoints; they are not the figures of `evaluate`, which takes every photo.
    """
    was_training = model.training
    model.eval()
    result: dict[str, float] = {}
    keys = {"wider": ("ap_ge16", "ap_ge32", "ap_ge64"), "aflw2000": ("pose_mae", "nme5_box", "pose_miss")}
    for name, count, side in (("wider", wider, 640), ("aflw2000", aflw2000, 320)):
        detector = FloatDetector(model, (side, side))
        samples = every_nth(read_jsonl(sets / name)[0], count)
        found = {s.path.stem: detector.detect(_photo(s)) for s in samples}
        figures = score_samples(samples, found)
        result |= {f"val_{key}": float("nan") if figures.get(key) is None else figures[key] for key in keys[name]}
    if background:
        detector = FloatDetector(model, (640, 640))
        samples = every_nth(read_jsonl(sets / "background")[0], background)
        figures = score_samples(samples, {s.path.stem: detector.detect(_photo(s)) for s in samples})
        result["val_fp_per_100"] = figures["fp_per_100@0.5"]
    model.train(was_training)
    return result


def every_nth(samples: list[Sample], count: int) -> list[Sample]:
    """About ``count`` samples, spread evenly."""
    return samples[:: max(1, len(samples) // count)]


def photos(samples: Iterable[Sample]) -> Iterator[tuple[Sample, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Samples with their photos, BGR (h, w, 3)."""
    return ((s, _photo(s)) for s in samples)


def _photo(sample: Sample) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"photo must be a readable picture, but got {sample.path}")
    return np.asarray(image, np.uint8)


#: Key of a budget, the figure it is for, and what int8 loses to float32 by it.
LOSSES: tuple[tuple[str, str, Callable[[float, float], float]], ...] = (
    ("ap", "ap_ge16", lambda int8, full: full - int8),
    ("ap", "ap_ge32", lambda int8, full: full - int8),
    ("ap", "ap_ge64", lambda int8, full: full - int8),
    ("degrees", "pose_mae", lambda int8, full: int8 - full),
    ("nme", "nme5_box", lambda int8, full: int8 / full - 1),
)


def over_budget(results: Sequence[dict[str, Any]], name: str, budget: dict[str, Any]) -> list[str]:
    """Where the int8 network of bundle ``name`` loses more than ``budget`` (ap, degrees: absolute; nme: relative)
    against ``name-float32``, a sentence each. A table in it with the name of a set or a runtime goes before.

    Turned photos are left out: what float itself mostly misses, as the cards say, is measured and not promised.
    """
    broken = []
    for r in results:
        if not r["model"].startswith(f"{name} int8") or r["rule"].startswith(TURNED):
            continue
        runtime = r["model"].rpartition(" ")[2]
        most = budget | budget.get(r["set"], {}) | budget.get(runtime, {})
        for f in results:
            if not f["model"].startswith(f"{name}-float32 ") or (f["set"], f["rule"]) != (r["set"], r["rule"]):
                continue
            for key, figure, lost in LOSSES:
                if key in most and r.get(figure) is not None and f.get(figure):
                    loss = lost(r[figure], f[figure])
                    if loss > most[key]:
                        broken.append(
                            f"{figure} on {r['set']}, {r['rule']} must lose at most {most[key]:g}, but got {loss:.4g}"
                        )
    return broken
