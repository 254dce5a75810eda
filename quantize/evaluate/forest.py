"""Quality without a network's head: a random forest on the five landmarks (arXiv 2507.15961), as a baseline and as an
option for detectors that say nothing of quality.

The landmarks, in units of the detection's box around its centre, go in; the quality target of step ``label`` comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quantize.data.sample import Sample
from quantize.data.detections import Array, Found
from quantize.data.metrics import match

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

TREES = 100


def features(found: Found) -> Array:
    """(n, 10): x and y of each landmark from the box's centre, over its width and height.

    Raises:
        ValueError: the detector gives no landmarks.
    """
    if found.landmarks is None:
        raise ValueError("the detector must give landmarks, but got none")
    low, high = found.boxes[:, None, :2], found.boxes[:, None, 2:]
    size = np.maximum(high - low, 1e-6)
    return np.asarray((found.landmarks - (low + high) / 2) / size).reshape(len(found.boxes), 10)


def train_forest(samples: Sequence[Sample], found: Mapping[str, Found], seed: int) -> RandomForestRegressor:
    """A forest fitted to the detections of faces with a quality target.

    Args:
        samples: with points and ``quality``, as `quantize.label.quality.make_tiles` makes them; of training sets only.
        found: what the detector says of their photos, by stem.
        seed: of the forest.

    Raises:
        ValueError: no such face was detected.
        ImportError: scikit-learn is not installed.
    """
    from sklearn.ensemble import RandomForestRegressor

    inputs, targets = [], []
    for sample in samples:
        said = found.get(sample.path.stem)
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
        stem: replace(f, quality=np.asarray(forest.predict(features(f)), float)) if len(f.scores) else f
        for stem, f in found.items()
    }
