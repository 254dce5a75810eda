"""The landmark forest: it learns what landmarks tell, and only for detections that are there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed (pip install -e '.[quantize]')")

from quantize.data.detections import Found
from quantize.data.sample import FaceLabel, Sample
from quantize.evaluate.detectors import DetectorSpec
from quantize.evaluate.forest import DescribedDetector, features, only, train_forest, with_quality
from quantize.models.bundle_detector import BundleDetector

ASTRONAUT = Path(__file__).parents[2] / "examples" / "astronaut.jpg"


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


def test_the_forest_learns_from_the_landmarks_that_it_is_given() -> None:
    """Of 73 landmarks only the last 68 tell the quality: the forest on the first five knows nothing."""
    rng = np.random.default_rng(3)
    right = {}
    for which in (slice(5), slice(5, None)):
        told, true = [], []
        forest = None
        for seed in (1, 2):
            samples, found = _faces(120, seed)
            for key, f in found.items():
                assert f.landmarks is not None
                more = np.concatenate([rng.uniform(30, 70, (1, 5, 2)), np.tile(f.landmarks, (1, 14, 1))[:, :68]], 1)
                found[key] = Found(f.boxes, f.scores, more)
            some = only(found, which)
            if forest is None:
                forest = train_forest(samples, some, seed=0)
                assert forest.n_features_in_ == 2 * len(range(73)[which])
            else:
                rated = with_quality(some, forest)
                told = [rated[s.key].quality for s in samples]
                true = [s.faces[0].quality for s in samples]
        right[which.start] = np.corrcoef(np.array(told, float).ravel(), np.array(true, float))[0, 1]
    assert right[5] > 0.9
    assert abs(right[None]) < 0.4


def test_described_detections_have_five_and_68_points_in_the_photo() -> None:
    image = np.asarray(cv2.imread(str(ASTRONAUT), cv2.IMREAD_COLOR), np.uint8)
    plain = DetectorSpec("edgeface-s", (320, 320)).open()
    assert isinstance(plain, BundleDetector)
    found, five = DescribedDetector(plain).detect(image), plain.detect(image)
    assert found.landmarks is not None
    assert five.landmarks is not None
    assert found.landmarks.shape == (1, 73, 2)  # of the many detections at a low threshold, those that count
    assert np.array_equal(found.landmarks[0, :5], five.landmarks[0])
    eyes = np.stack([found.landmarks[0, 41:47].mean(0), found.landmarks[0, 47:53].mean(0)])
    apart = np.linalg.norm(five.landmarks[0, 0] - five.landmarks[0, 1])
    assert np.linalg.norm(eyes - five.landmarks[0, :2], axis=1).max() < 0.2 * apart
    assert features(found).shape == (1, 146)
    blank = DescribedDetector(plain).detect(np.full((320, 320, 3), 90, np.uint8))
    assert features(blank).shape == (0, 146)
