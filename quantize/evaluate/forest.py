"""Quality without a network's head: a random forest on landmarks (arXiv 2507.15961), as a baseline and as an option for
detectors that say nothing of quality.

The five landmarks, or the 68 of edgeface-points, go in, in units of the detection's box around its centre; the quality
target of step ``label`` comes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import edgeface
from edgeface.engine import parse_size
from quantize.data.detections import Array, Found
from quantize.data.metrics import MATCH_SCORE, match
from quantize.data.sample import Sample, read_samples
from quantize.evaluate.detectors import DetectorSpec
from quantize.evaluate.discard import score_quality
from quantize.evaluate.predict import name_of, predict
from quantize.evaluate.trials import FolderSets
from quantize.models.bundle_detector import BundleDetector
from quantize.models.detector import Detector
from quantize.run import Run, StepError, content

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

TREES = 100
POINTS = Path(edgeface.__file__).parent / "models" / "edgeface-points.efm"


def features(found: Found) -> Array:
    """(n, 2k): x and y of each of k landmarks from the box's centre, over its width and height.

    Raises:
        ValueError: the detector gives no landmarks.
    """
    if found.landmarks is None:
        raise ValueError("the detector must give landmarks, but got none")
    low, high = found.boxes[:, None, :2], found.boxes[:, None, 2:]
    size = np.maximum(high - low, 1e-6)
    inside = np.asarray((found.landmarks - (low + high) / 2) / size)
    return inside.reshape(len(inside), 2 * inside.shape[1])


def train_forest(samples: Sequence[Sample], found: Mapping[str, Found], seed: int) -> RandomForestRegressor:
    """A forest fitted to the detections of faces with a quality target.

    Args:
        samples: with points and ``quality``, as `quantize.label.quality.make_tiles` makes them; of training sets only.
        found: what the detector says of their photos, by `Sample.key`.
        seed: of the forest.

    Raises:
        ValueError: no such face was detected.
        ImportError: scikit-learn is not installed.
    """
    from sklearn.ensemble import RandomForestRegressor

    inputs, targets = [], []
    for sample in samples:
        said = found.get(sample.key)
        for face in sample.faces:
            if said is None or said.landmarks is None or face.quality is None or face.points is None:
                continue
            which, _ = match(face, said)
            if which is not None:
                inputs.append(features(said)[which])
                targets.append(face.quality)
    if not inputs:
        raise ValueError("there must be detected faces with a quality target, but got none")
    forest = RandomForestRegressor(TREES, min_samples_leaf=5, random_state=seed, n_jobs=1)
    return forest.fit(np.array(inputs), np.array(targets))


def with_quality(found: Mapping[str, Found], forest: RandomForestRegressor) -> dict[str, Found]:
    """The same detections with the forest's quality."""
    return {
        key: replace(f, quality=np.asarray(forest.predict(features(f)), float)) if len(f.scores) else f
        for key, f in found.items()
    }


class DescribedDetector:
    """A bundle and the shipped edgeface-points behind it, for what scores at least `MATCH_SCORE`.

    `detect` gives 73 landmarks a face: five of the bundle, then 68 in iBUG order, which are NaN beyond the ``top``
    largest faces.
    """

    def __init__(self, detector: BundleDetector, top: int = 8) -> None:
        self.engine, self.top = detector.engine, top
        self.name, self.rule = f"{detector.name} + 68 points", f"{detector.rule} points68"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`."""
        faces = self.engine.detect(image, "bgr")
        faces = self.engine.describe(image, faces[faces.scores >= MATCH_SCORE], "bgr", top=self.top)
        assert faces.points68 is not None
        return replace(Found.of(faces), landmarks=np.concatenate([faces.landmarks, faces.points68], 1, dtype=float))


def only(found: Mapping[str, Found], which: slice) -> dict[str, Found]:
    """The same detections with some of their landmarks."""
    return {key: f if f.landmarks is None else replace(f, landmarks=f.landmarks[:, which]) for key, f in found.items()}


HELD_OUT = "people_degraded"
"""The set of ``evaluate.sets`` that both are measured on."""


def measure(run: Run, model: str, size: str = "320x320", most: int | None = None) -> dict[str, Any]:
    """Verb ``forest``: a forest on a detector's landmarks against the detector's own quality.

    Args:
        run: its step ``label`` gives the faces with a quality target to learn from.
        model: bundle or peer, see `quantize.evaluate.detectors.DetectorSpec`. Only faces of a bundle get 68 points.
        size: input of the detector.
        most: learn from so many of the faces, evenly spread over the list; None for all.

    Returns:
        ``own``, ``forest`` on five landmarks and, of a bundle, ``forest68``, each with the figures of
        `quantize.evaluate.discard.score_quality`. The run's folder ``forest/…`` gets them as ``forest.json``.

    Raises:
        StepError: no face has a quality target, or the recipe's ``evaluate.sets`` has no people_degraded.
    """
    labelled = read_samples(run.need("label", "samples.jsonl"))
    samples = [s for s in labelled if any(f.quality is not None for f in s.faces)]
    if not samples:
        raise StepError("forest needs faces with a quality target, but there are none: set label.quality_sets")
    if most is not None and most < len(samples):
        samples = [samples[i * len(samples) // most] for i in range(most)]
    folder = run.recipe.evaluate.sets
    if folder is None or HELD_OUT not in (sets := FolderSets(folder)):
        raise StepError(f"evaluate.sets must be a folder with {HELD_OUT}, but got {folder}")
    test, embeddings = sets.samples(HELD_OUT), sets.embeddings(HELD_OUT)
    if embeddings is None:
        raise StepError(f"{folder / HELD_OUT} must have embeddings.npz, but has none")
    spec = DetectorSpec(model, parse_size(size))
    detector: Detector = spec.open()
    name, forests = name_of(spec, detector), {"forest": slice(5)}
    if isinstance(detector, BundleDetector):
        detector, forests["forest68"] = DescribedDetector(detector), slice(5, None)
        name += f"-{content(POINTS)[:10]}"
    out = run.path("forest", name)
    seen = predict(spec, samples, out / "train.jsonl", detector=detector)
    found = predict(spec, test, out / f"{HELD_OUT}.jsonl", detector=detector)
    result = {"own": score_quality(test, found, embeddings)}
    for kind, which in forests.items():
        forest = train_forest(samples, only(seen, which), run.recipe.seed)
        result[kind] = score_quality(test, with_quality(only(found, which), forest), embeddings)
    (out / "forest.json").write_text(json.dumps(result, indent=1))
    return result
