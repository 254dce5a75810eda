"""Detectors side by side: any bundle, checkpoint and peer on any labelled sets, with one scorer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from quantize.data.detections import Found
from quantize.data.metrics import score_samples
from quantize.data.sample import Sample
from quantize.engines import Engine
from quantize.evaluate.detectors import DetectorSpec
from quantize.evaluate.discard import score_quality
from quantize.evaluate.intervals import Resamples
from quantize.evaluate.lightness import by_lightness
from quantize.evaluate.peers import OtherInputError
from quantize.evaluate.predict import name_of, predict
from quantize.evaluate.tables import write_table
from quantize.evaluate.trials import LIGHTNESS_SETS, Sets, SplitSets, Trial
from quantize.models.detector import Detector

DETECTION = ("ap_", "n_ge", "recall@", "precision@")
"""What keys of figures begin with that need every face to be labelled."""


def evaluate(
    specs: Iterable[str],
    sets: Sets,
    folder: Path,
    trials: Sequence[Trial],
    *,
    runtime: str = "onnxruntime",
    precision: str | None = None,
    min_score: float = 0.5,
    engine: Engine | None = None,
    before: Sequence[dict[str, Any]] = (),
    resamples: Resamples | None = None,
) -> list[dict[str, Any]]:
    """Every detector on every trial.

    Args:
        specs: bundles (path or name), peers (``ADAPTER:FILE``), checkpoints (``float:FILE``).
        sets: where the labelled sets are.
        folder: receives predictions, ``table.json`` and ``table.md``.
        trials: sets and input sizes; one whose sets are not all there is left out, and for a peer of one input size
            those of other sizes.
        runtime, precision: of bundles.
        min_score: the default threshold, for what is found by lightness.
        engine: where photos are worked on; this process if None.
        before: results that stand in the tables already.
        resamples: receives what each comes to on resamples of the photos (`quantize.evaluate.intervals`).

    Returns:
        One result a detector and trial: ``model``, ``rule``, ``set`` and the figures of `quantize.data.metrics`, with
        ``resamples`` also ``between``, the lowest and highest of each in 95 % of them. Of several detectors that say
        the same name all but the first have what ``specs`` calls them besides.

    Raises:
        OtherInputError: a peer has an input size that no trial has.
    """
    results: list[dict[str, Any]] = []
    named: dict[str, str] = {}  # two bundles may say the same name: each gets a column of its own
    for model in specs:
        here = [trial for trial in trials if all(member in sets for member in trial.members)]
        refused = []
        for trial in here:
            spec = DetectorSpec(model, trial.size, runtime, precision, trial.turn)
            try:
                detector = spec.open()
            except OtherInputError as error:
                refused.append(error)
                if len(refused) == len(here):
                    raise
                continue
            samples, found = _predicted(spec, detector, sets, trial, folder, engine)
            if not samples:
                continue
            first = named.setdefault(detector.name, model)
            name = detector.name if first == model else f"{detector.name} ({model})"
            figures = _figures(sets, trial, samples, found, min_score)
            if resamples is not None:
                figures["between"] = resamples.add((trial.name, detector.rule), name, samples, found)
            results.append({"model": name, "rule": detector.rule, "set": trial.name, **figures})
            write_table(folder, [*before, *results])
    return results


def _predicted(
    spec: DetectorSpec, detector: Detector, sets: Sets, trial: Trial, folder: Path, engine: Engine | None
) -> tuple[list[Sample], dict[str, Found]]:
    """The photos of a trial and what is found in them; each of several sets has its own file of predictions."""
    samples: list[Sample] = []
    found: dict[str, Found] = {}
    for member in trial.members:
        here = sets.samples(member)
        path = folder / "predictions" / f"{name_of(spec, detector)}-{member.replace('/', '-')}.jsonl"
        found |= predict(spec, here, path, engine, detector if engine is None else None)
        samples += [s for s in here if trial.keeps(s)]
    return samples, found


def _figures(
    sets: Sets, trial: Trial, samples: Sequence[Sample], found: dict[str, Found], min_score: float
) -> dict[str, Any]:
    figures = score_samples(samples, found)
    if isinstance(sets, SplitSets) and not all(s.complete for s in samples):
        figures = {key: value for key, value in figures.items() if not key.startswith(DETECTION)}
    embeddings = sets.embeddings(trial.name)
    if embeddings is not None:
        figures |= score_quality(samples, found, embeddings)
    if trial.name in LIGHTNESS_SETS and not trial.turn:
        figures["by_lightness"] = by_lightness(samples, found, min_score)
    return figures
