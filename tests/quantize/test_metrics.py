"""The project's scores against the reference scorers (where they are), and against values checked by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.data import metrics
from quantize.data.detections import Found, read_predictions, write_predictions
from quantize.data.jsonl import read_jsonl
from quantize.data.sample import FaceLabel, Sample
from quantize.evaluate.discard import error_versus_discard, score_quality

SHARED = Path(__file__).parents[2] / ".." / "shared"
shared = pytest.mark.skipif(not (SHARED / "tools").is_dir(), reason="../shared is not there")


def _reference(scorer: str, folder: Path, predictions: Path) -> dict[str, Any]:
    """What the scorer prints; a process of its own, for it leaves its files open."""
    command = [sys.executable, str(SHARED / "tools" / scorer), str(folder), str(predictions)]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return result


def _random_predictions(samples: list[Sample], seed: int) -> dict[str, Found]:
    """Labelled faces with noise, some lost, some doubled, and false alarms; one photo in twelve is absent."""
    rng = np.random.default_rng(seed)
    found = {}
    for sample in samples:
        if rng.random() < 1 / 12:
            continue
        rows: list[dict[str, Any]] = []
        for face in sample.faces:
            for _ in range(int(rng.integers(0, 3))):
                side = float(max(face.box[2:] - face.box[:2]))
                pose = face.extra.get("pose_300wlp") or {"yaw": 0, "pitch": 0, "roll": 0}
                points = face.points if face.points is not None else np.zeros((5, 2), np.float32)
                rows.append(
                    {"box": (face.box + rng.normal(0, 0.08 * side, 4)).tolist(), "score": rng.uniform(0.02, 1)}
                    | {"landmarks": (points + rng.normal(0, 0.1 * side, (5, 2))).tolist(), "quality": rng.uniform()}
                    | {f"{k}_300wlp": v + rng.normal(0, 20) for k, v in pose.items()}
                )
        for _ in range(int(rng.integers(0, 3))):
            corner, size = rng.uniform(0, 300, 2), rng.uniform(8, 100)
            rows.append({"box": [*corner, *(corner + size)], "score": rng.uniform(0.02, 0.6), "quality": 0.5})
            rows[-1] |= {"landmarks": rng.uniform(0, 300, (5, 2)).tolist()}
            rows[-1] |= {f"{k}_300wlp": 0.0 for k in ("yaw", "pitch", "roll")}
        found[sample.key] = Found.from_json(rows)
    return found


@shared
@pytest.mark.parametrize("name", ["wider", "wider2", "mask_web", "afw", "aflw2000", "background"])
def test_same_as_reference_scorer(name: str, tmp_path: Path) -> None:
    folder = SHARED / "data" / "val" / name
    samples, skipped = read_jsonl(folder)
    assert not skipped
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, _random_predictions(samples, 3))
    ours = metrics.score_samples(samples, read_predictions(path))
    theirs = _reference("score.py", folder, path)
    assert len(theirs) >= 2
    assert {k: ours[k] for k in theirs} == theirs


@shared
def test_same_as_reference_quality_scorer(tmp_path: Path) -> None:
    folder = SHARED / "data" / "val" / "people_degraded"
    samples, _ = read_jsonl(folder)
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, _random_predictions(samples, 4))
    ours = score_quality(samples, read_predictions(path), folder / "embeddings.npz")
    assert ours == _reference("score_quality.py", folder, path)


def _sample(*boxes: list[float], name: str = "a.jpg") -> Sample:
    return Sample(Path(name), 100, 100, [FaceLabel(np.array(b, np.float32)) for b in boxes], True)


def _boxes(*rows: list[float]) -> Found:
    return Found.from_json([{"box": r[:4], "score": r[4]} for r in rows])


def test_average_precision_by_hand() -> None:
    samples = [_sample([0, 0, 20, 20], [50, 50, 80, 80])]
    # true (.9), false (.8), true (.7): recall 1/2 at precision 1, then 1 at 2/3
    found = {"a.jpg": _boxes([0, 0, 20, 20, 0.9], [30, 0, 50, 30, 0.8], [50, 50, 80, 80, 0.7])}
    assert metrics.average_precision(samples, found) == (pytest.approx(0.5 + 0.5 * 2 / 3), 2)
    # the face of 20 px counts neither way among those of at least 25
    assert metrics.average_precision(samples, found, 25) == (pytest.approx(0.5), 1)
    assert metrics.average_precision(samples, {}) == (0.0, 2)
    assert metrics.average_precision([_sample()], found) == (None, 0)


def test_operating_points_by_hand() -> None:
    samples = [_sample([0, 0, 40, 40], [50, 50, 90, 90], [0, 60, 20, 80])]  # the last one is too low to count
    found = {"a.jpg": _boxes([0, 0, 40, 40, 0.9], [60, 0, 99, 39, 0.55], [50, 50, 90, 90, 0.52], [0, 60, 20, 80, 0.8])}
    points = metrics.operating_points(samples, found)
    assert points == {"recall@0.5": 1.0, "precision@0.5": 0.6667, "recall@0.6": 0.5, "precision@0.6": 1.0}
    assert metrics.operating_points([_sample()], found) == {}
    assert metrics.operating_points(samples, {}) == {"recall@0.5": 0.0, "recall@0.6": 0.0}


def test_a_face_is_found_once() -> None:
    found = {"a.jpg": _boxes([0, 0, 20, 20, 0.9], [0, 0, 20, 20, 0.8])}
    assert metrics.average_precision([_sample([0, 0, 20, 20])], found)[0] == pytest.approx(1.0)
    judged = metrics.Judged(np.array([False, True]), np.array([0.9, 0.8]), np.array([0, 0]), np.array([1]))
    assert metrics.area_under_precision(judged) == pytest.approx(0.5)  # the false one came first


def test_ignored_faces_count_neither_way() -> None:
    sample = _sample([0, 0, 20, 20], [50, 50, 80, 80])
    sample.faces[1].ignore = True
    found = {"a.jpg": _boxes([0, 0, 20, 20, 0.8], [50, 50, 80, 80, 0.9])}
    assert metrics.average_precision([sample], found) == (pytest.approx(1.0), 1)


def _posed(yaw: float, name: str) -> Sample:
    points = np.array([[30, 30], [50, 30], [40, 40], [32, 50], [48, 50]], np.float32)
    extra = {"pose_300wlp": {"yaw": yaw, "pitch": 0.0, "roll": 0.0}, "box_from": "points"}
    return Sample(Path(name), 100, 100, [FaceLabel(np.array([30, 30, 50, 50], np.float32), points, extra=extra)], False)


def test_landmarks_and_pose_by_hand() -> None:
    samples = [_posed(10, "a.jpg"), _posed(-50, "b.jpg"), _posed(120, "c.jpg")]
    truth = samples[0].faces[0].points
    assert truth is not None
    face = {"box": [28, 28, 52, 54], "score": 0.9, "landmarks": (truth + np.array([3, 4])).tolist()}
    face |= {"yaw_300wlp": 13.0, "pitch_300wlp": 0.0, "roll_300wlp": 0.0}
    found = {"a.jpg": Found.from_json([face]), "c.jpg": Found.from_json([face])}
    marks = metrics.landmark_errors(samples, found)
    assert marks["nme5"] == pytest.approx(25.0)  # 5 pixels of 20 between the eyes, and the hull is 20 x 20
    assert marks["nme5_box"] == pytest.approx(25.0)
    assert marks["miss5"] == pytest.approx(1 / 3, abs=1e-4)
    pose = metrics.pose_errors(samples, found)
    assert (pose["n_pose"], pose["pose_miss"]) == (2, 0.5)  # 120° is beyond the range
    assert (pose["yaw"], pose["pose_mae"], pose["geodesic"]) == (3.0, 1.0, 3.0)
    assert pose["within_20"] == 1.0  # of the one that was found
    far = Found.from_json([face | {"yaw_300wlp": 31.0}])
    assert metrics.pose_errors(samples, found | {"a.jpg": far})["within_20"] == 0.0
    assert pose["pose_by_yaw"] == {
        "0-30": {"n": 1, "miss": 0.0, "pose_mae": 1.0, "geodesic": 3.0},
        "30-60": {"n": 1, "miss": 1.0, "pose_mae": None, "geodesic": None},
    }


def test_false_positives_by_hand() -> None:
    samples = [_sample(name="a.jpg"), _sample(name="b.jpg")]
    result = metrics.score_samples(samples, {"a.jpg": _boxes([0, 0, 9, 9, 0.6], [0, 0, 9, 9, 0.35])})
    assert (result["fp_per_100@0.3"], result["fp_per_100@0.5"], result["fp_per_100@0.7"]) == (100.0, 50.0, 0.0)


def test_the_threshold_of_one_false_positive_in_a_hundred_by_hand() -> None:
    samples = [_sample(name=f"{i}.jpg") for i in range(200)]
    found = {f"{i}.jpg": _boxes([0, 0, 9, 9, score]) for i, score in enumerate((0.9, 0.8, 0.7, 0.6))}
    threshold = metrics.false_positives(samples, found)["score_1fp"]
    assert threshold == pytest.approx(0.7, abs=1e-3)  # above it are two of two hundred photos
    assert "score_1fp" not in metrics.false_positives(samples[:99], found)
    assert metrics.false_positives(samples, {})["score_1fp"] == pytest.approx(0, abs=1e-3)


def test_photos_of_one_name_in_two_folders_are_two() -> None:
    one, other = _sample([0, 0, 20, 20], name="x/a.jpg"), _sample([50, 50, 80, 80], name="y/a.jpg")
    found = {one.key: _boxes([0, 0, 20, 20, 0.9]), other.key: _boxes([50, 50, 80, 80, 0.8])}
    assert metrics.average_precision([one, other], found) == (pytest.approx(1.0), 2)


def test_discarding_the_failures_first_is_ideal() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(30), 4)
    centre = rng.normal(size=(30, 16))[person]
    noise = rng.uniform(0, 3, len(person))
    embedding = centre + noise[:, None] * rng.normal(size=centre.shape)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    good = error_versus_discard(person, embedding, -noise)
    none = error_versus_discard(person, embedding, np.ones(len(person)))
    bad = error_versus_discard(person, embedding, noise)
    assert good["ideal"] <= good["edc_area"] < none["edc_area"] + 0.05 < bad["edc_area"] + 0.05
    assert good["pairs"] == 30 * 6


def test_without_a_quality_the_score_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    person, embedding = np.repeat(np.arange(20), 3), rng.normal(size=(60, 8))
    names = [f"{i}.jpg" for i in range(60)]
    np.savez(tmp_path / "embeddings.npz", files=names, person=person, embedding=embedding)
    samples = [_sample([0, 0, 20, 20], name=name) for name in names]
    scores = rng.uniform(0.3, 1, 60)

    def figures(*fields: str) -> dict[str, float]:
        rows = [{"box": [0, 0, 20, 20], "score": s} | dict.fromkeys(fields, s) for s in scores]
        found = {f"{i}.jpg": Found.from_json([row]) for i, row in enumerate(rows)}
        return score_quality(samples, found, tmp_path / "embeddings.npz")

    assert figures() == figures("quality")
    assert figures()["detected"] == 1


def test_predictions_survive_the_file(tmp_path: Path) -> None:
    samples = [_posed(10, "a.jpg")]
    found = _random_predictions(samples * 30, 1)
    write_predictions(tmp_path / "p.jsonl", found)
    again = read_predictions(tmp_path / "p.jsonl")
    assert again.keys() == found.keys()
    assert again["a.jpg"].angles is not None
    assert np.allclose(again["a.jpg"].boxes, found["a.jpg"].boxes, atol=1e-3)
