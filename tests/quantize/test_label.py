"""What teachers add to a photo's labels, by finds made by hand; and step ``label`` on photos that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from synthetic import write_set

pytest.importorskip("quantize.label.ensemble", reason="the teachers' code or its packages are not here")

from quantize.data.sample import FaceLabel, Sample, points5_from_68
from quantize.label.labeller import Finds, LabelRules, cached, grown_hull, joined, with_measured_pan

RULES = LabelRules()


def finds(*rows: tuple[list[float], float]) -> Finds:
    boxes = np.array([r[0] for r in rows], np.float32).reshape(-1, 4)
    points = np.repeat((boxes[:, None, :2] + boxes[:, None, 2:]) / 2, 5, 1)
    return Finds(boxes, points, np.array([r[1] for r in rows], np.float32))


def photo(*boxes: list[float], complete: bool = True, **extra: Any) -> Sample:
    faces = [FaceLabel(np.array(b, np.float32), extra=dict(extra)) for b in boxes]
    return Sample(Path("a.jpg"), 200, 200, faces, complete)


FACE, OTHER, THIRD = [10.0, 10, 50, 60], [100.0, 100, 140, 150], [150.0, 20, 180, 60]


def test_a_labelled_face_gets_points_and_keeps_its_box() -> None:
    (face,) = joined(photo(FACE), finds(([12, 12, 50, 60], 0.9), (OTHER, 0.95)), "detection", RULES)
    assert face.box.tolist() == FACE
    assert face.points is not None and face.points[0].tolist() == [31, 36]
    assert face.extra["points_from"] == "ensemble" and face.extra["ensemble_score"] == pytest.approx(0.9)


def test_nothing_is_added_where_all_faces_are_labelled() -> None:
    assert len(joined(photo(FACE), finds((OTHER, 0.99)), "detection", RULES)) == 1
    assert len(joined(photo(), finds((OTHER, 0.99)), "detection", RULES)) == 0


@pytest.mark.parametrize(("complete", "use"), [(False, "detection"), (True, "landmarks"), (False, "unlabelled")])
def test_elsewhere_sure_finds_are_faces_and_doubtful_ones_ignore_regions(complete: bool, use: str) -> None:
    found = finds((OTHER, 0.5), (THIRD, 0.49), ([60, 150, 90, 190], 0.29))
    known, sure, doubtful = joined(photo(FACE, complete=complete), found, use, RULES)
    assert known.box.tolist() == FACE
    assert (sure.box.tolist(), sure.ignore, sure.confidence) == (OTHER, False, 0.5)
    assert (doubtful.box.tolist(), doubtful.ignore) == (THIRD, True)
    assert sure.points is not None and doubtful.points is None


def test_a_doubtful_find_on_a_face_is_nothing() -> None:
    on_labelled = finds(([10, 10, 40, 40], 0.4))  # IoU .36: not the face itself
    assert len(joined(photo(FACE, complete=False), on_labelled, "unlabelled", RULES)) == 1
    on_sure = finds((OTHER, 0.9), ([100, 100, 125, 125], 0.4))
    assert len(joined(photo(complete=False), on_sure, "unlabelled", RULES)) == 1


def test_small_or_doubtful_finds_give_no_points_and_tiny_ones_are_left_out() -> None:
    small, tiny = [10.0, 10, 22, 25], [30.0, 30, 35, 36]
    (face,) = joined(photo(small), finds((small, 0.9)), "detection", RULES)
    assert face.points is None
    (face,) = joined(photo(FACE), finds((FACE, 0.39)), "detection", RULES)
    assert face.points is None
    assert joined(photo(complete=False), finds((tiny, 0.9)), "unlabelled", RULES) == []


def test_points_that_people_drew_stay() -> None:
    sample = photo(FACE)
    sample.faces[0].points = np.ones((5, 2), np.float32)
    (face,) = joined(sample, finds((FACE, 0.9)), "landmarks", RULES)
    assert face.points is not None and (face.points == 1).all()


def test_a_box_of_points_becomes_the_find_or_grows() -> None:
    (face,) = joined(photo(FACE, box_from="points"), finds(([12, 8, 50, 60], 0.9)), "landmarks", RULES)
    assert face.box.tolist() == [12, 8, 50, 60]
    (face,) = joined(photo(FACE, box_from="points"), finds(), "landmarks", RULES)
    assert face.box.tolist() == pytest.approx(grown_hull(np.array(FACE, np.float32)).tolist())
    assert face.box[1] == pytest.approx(10 - 50 * 0.33)


def test_a_head_box_takes_the_best_face_in_it_or_is_ignored() -> None:
    pan = {"pan": 30.0, "tilt": 0.0}
    inside = finds(([20, 30, 40, 55], 0.8), ([22, 20, 42, 45], 0.6))
    (face,) = joined(photo(FACE, pose_pointing04=pan), inside, "pose", RULES)[:1]
    assert face.box.tolist() == [20, 30, 40, 55]
    (face,) = joined(photo(FACE, pose_pointing04=pan), finds(), "pose", RULES)
    assert face.ignore


def test_a_measured_pan_corrects_the_yaw_half_way() -> None:
    from edgeface.angles import angles_to_rotation, rotation_to_angles

    rotation = angles_to_rotation([60.0, 0, 0]).astype(np.float32)
    yaw = float(np.ravel(rotation_to_angles(with_measured_pan(rotation, {"pan": -80.0})[None]))[0])
    assert abs(yaw) == pytest.approx(70, abs=0.5)
    assert with_measured_pan(rotation, {"pan": 30.0}) is rotation


def test_five_points_of_68() -> None:
    p = np.zeros((68, 2), np.float32)
    p[36:42], p[42:48], p[30], p[48], p[54] = 1, 2, 3, 4, 5
    assert points5_from_68(p)[:, 0].tolist() == [1, 2, 3, 4, 5]


class Counting:
    """A labeller that adds nothing and counts its photos."""

    rules, asked = RULES, 0

    def __call__(self, sample: Sample, image: Any, use: str) -> Sample:
        self.asked += 1
        return sample


def test_labels_are_cached_by_photo_and_label(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    labeller, sample = Counting(), photo(FACE)
    sample.path = tmp_path / "a.png"
    for _ in range(2):
        assert cached(sample, labeller, "detection", tmp_path / "cache") is not None  # type: ignore[arg-type]
    assert labeller.asked == 1
    cached(sample, labeller, "unlabelled", tmp_path / "cache")  # type: ignore[arg-type]
    assert labeller.asked == 2
    sample.path = tmp_path / "missing.png"
    assert cached(sample, labeller, "detection", tmp_path / "cache") is None  # type: ignore[arg-type]


TEACHERS = Path(__file__).parents[3] / "shared" / "teachers"


@pytest.mark.skipif(not TEACHERS.is_dir(), reason="the teachers' weights are not here")
def test_two_dask_workers_label_as_one_process_does(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (pip install '.[scale]')")
    pytest.importorskip("openvino", reason="openvino is not installed")
    write_set(tmp_path / "photos", 4, 1)
    (tmp_path / "x.toml").write_text(
        f'[data]\nsets = [{{name = "p", reader = "folder", path = "{tmp_path}/photos", use = "unlabelled"}}]\n'
        f'[label]\nteachers = "{TEACHERS}"\n[model]\narchitecture = "edgeface-n"\n'
        "[train]\nphases = [{views = 1, size = [64], batch = [1]}]\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    written = []
    for engine in ("local", "dask"):
        for verb in (["data"], ["label", "--engine", engine, "--workers", "2"]):
            command = [sys.executable, "-m", "quantize", *verb, "-c", "x.toml", "--run", engine]
            command += ["-s", f"label.cache={engine}-cache"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
            assert done.returncode == 0, done.stderr[-2000:]
        written.append((tmp_path / engine / "label" / "samples.jsonl").read_text())
        assert len(list((tmp_path / f"{engine}-cache").rglob("*.json"))) == 4, "each photo once"
    assert written[0] == written[1]
