"""The landmark forest: it learns what landmarks tell, and only for detections that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install -e '.[quantize]')")

from quantize.data.detections import Found
from quantize.data.sample import FaceLabel, Sample
from quantize.evaluate.forest import features, train_forest, with_quality


def _faces(count: int, seed: int) -> tuple[list[Sample], dict[str, Found]]:
    """Faces whose quality is how far apart the eyes are: a profile is of little use."""
    rng = np.random.default_rng(seed)
    samples, found = [], {}
    for i in range(count):
        spread = float(rng.uniform(0, 20))
        points = np.array(
            [[50 - spread, 40], [50 + spread, 40], [50, 50], [50 - spread / 2, 60], [50 + spread / 2, 60]]
        )
        box = np.array([25.0, 20.0, 75.0, 80.0])
        face = FaceLabel(box.astype(np.float32), points.astype(np.float32), quality=spread / 20)
        samples.append(Sample(Path(f"{seed}-{i}.png"), 100, 100, [face], True))
        found[f"{seed}-{i}.png"] = Found(box[None], np.array([0.9]), points[None])
    return samples, found


def test_features_do_not_depend_on_place_and_size() -> None:
    _, found = _faces(1, 0)
    (one,) = found.values()
    assert one.landmarks is not None
    moved = Found(one.boxes * 3 + 7, one.scores, one.landmarks * 3 + 7)
    assert np.allclose(features(one), features(moved))
    with pytest.raises(ValueError, match="must give landmarks"):
        features(Found(one.boxes, one.scores))


def test_it_learns_and_predicts() -> None:
    forest = train_forest(*_faces(150, 1), seed=0)
    samples, found = _faces(50, 2)
    rated = with_quality(found | {"nothing": Found(np.zeros((0, 4)), np.zeros(0))}, forest)
    told = np.array([rated[s.key].quality for s in samples]).ravel()  # type: ignore[misc]
    true = np.array([s.faces[0].quality for s in samples])
    assert np.corrcoef(told, true)[0, 1] > 0.9  # the flattest faces are too narrow to be matched, and stay unseen
    assert rated["nothing"].quality is None
    with pytest.raises(ValueError, match="detected faces with a quality target"):
        train_forest(samples, {}, seed=0)
