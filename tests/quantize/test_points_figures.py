"""Figures of edgeface-points on faces whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import photo, target

from edgeface.angles import rotation_to_angles
from quantize.data.detections import Found
from quantize.data.sample import FaceLabel, Sample
from quantize.points import collect as collecting
from quantize.points.collect import collect
from quantize.points.crop import carried
from quantize.points.evaluate import over_budget, record
from quantize.points.figures import figures_of, peer_figures
from quantize.points.mean_face import five_of
from quantize.points.model import OUTPUTS
from quantize.points.tables import markdown


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """24 photos of one drawn face each; photos are read from memory."""
    made, photos = [], {}
    for k in range(24):
        one = target((2.0 * k, 0, 0))
        face = FaceLabel(one.box.astype(np.float32), extra={"points68": one.points.tolist()})
        made.append(Sample(Path(f"{k}.png"), 240, 240, [face], False, "drawn"))
        photos[f"{k}.png"] = photo(one.points, k)
    monkeypatch.setattr(collecting, "read_photo", lambda s: photos[s.path.name])
    return made


class Finder:
    """Finds the drawn faces where they are, but misses every fourth photo."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples, self.calls = samples, -1

    def __call__(self, image: Any) -> Found:
        self.calls += 1
        face = self.samples[self.calls].faces[0]
        points = np.array(face.extra["points68"])
        box = np.r_[points.min(0), points.max(0)]
        angles = rotation_to_angles(target((2.0 * self.calls, 0, 0)).rotation)
        score = 0.1 if self.calls % 4 == 3 else 0.9
        return Found(box[None], np.array([score]), five_of(points)[None], angles[None])


def knowing(faces: list[Any], trials: list[str], off: float) -> Any:
    """A network that answers the truth, moved by ``off`` crop sides to the right, for crops in the order of trials."""
    answers = {f.crops[t].tobytes(): carried(f.truth, f.matrices[t]) for f in faces for t in trials if t in f.crops}

    def predict(crops: Any) -> dict[str, Any]:
        points = np.stack([answers[c.tobytes()] for c in crops]) + np.array([off, 0])
        rest = {name: np.zeros((len(crops), length)) for name, length in OUTPUTS.items() if name != "points"}
        return rest | {"points": points, "spread": np.full((len(crops), 68), np.log(0.01))}

    return predict


def test_the_truth_has_no_error_and_a_missed_face_is_a_failure(samples: list[Sample]) -> None:
    peers = {"mover": lambda image, box, five: np.zeros((68, 2))}
    faces = collect(samples, Finder(samples), peers, boxes=True)
    trials = list(faces[0].crops)
    assert {"true", "found", "shift 0.1", "scale 1.3"} <= set(trials)
    figures, curves = figures_of(faces, knowing(faces, trials, 0.0))
    assert figures["true"]["nme_eyes"] < 1e-3 and figures["true"]["failures"] == 0
    assert figures["found"]["missed"] == figures["found"]["failures"] == 0.25
    assert np.isnan(curves["found"]).sum() == 6
    assert figures["shift 0.3"]["nme_eyes"] < 1e-3
    assert peer_figures(faces)["mover"]["missed"] == 0.25
    assert peer_figures(faces)["the detector's five"]["five"] == 0


def test_an_error_counts_in_shares_of_eyes_and_box(samples: list[Sample]) -> None:
    faces = collect(samples[:1] * 24, Finder(samples[:1] * 24), {})
    one = faces[0]
    side = np.hypot(*one.matrices["true"][:, 0])
    eyes = np.linalg.norm(one.truth[36] - one.truth[45])
    figures, _ = figures_of(faces, knowing(faces, ["true", "found"], 0.01))
    assert figures["true"]["nme_eyes"] == pytest.approx(side / eyes, abs=2e-3)
    # x errs by the scale that the network says, y not at all: half of the coordinates lie within any interval
    assert figures["spread"]["within half"] == 0.5


def test_shut_eyes_count_and_narrowed_ones_do_not(samples: list[Sample]) -> None:
    """Faces of 5 px wide eyes have no label; of the others some are shut, some narrowed, some open."""
    for k, sample in enumerate(samples):
        one = target((0, 0, 0))
        points = one.points.copy()
        middle = (points[[37, 38, 43, 44]] + points[[41, 40, 47, 46]]) / 2
        for upper, lower, at in zip((37, 38, 43, 44), (41, 40, 47, 46), middle, strict=True):
            half = (points[lower] - at) * (0.0, 0.45, 1.0)[k % 3]
            points[upper], points[lower] = at - half, at + half
        sample.faces[0].extra["points68"] = points.tolist()
    faces = collect(samples, Finder(samples), {})
    answers = {f.crops["true"].tobytes(): k % 3 for k, f in enumerate(faces)}

    def predict(crops: Any) -> dict[str, Any]:
        out = {name: np.zeros((len(crops), length)) for name, length in OUTPUTS.items()}
        out["points"] = np.zeros((len(crops), 68, 2))
        out["state"][:, :2] = np.array([answers.get(c.tobytes(), 1) for c in crops])[:, None]
        return out

    eyes = figures_of(faces, predict)[0]["eyes"]
    assert (eyes["eyes"], eyes["shut"], eyes["open"], eyes["auc_shut"]) == (48, 16, 16, 1.0)


def test_int8_must_not_err_much_more_than_float() -> None:
    def of(error: float, faces: int = 200) -> dict[str, Any]:
        return {"true": {"faces": faces, "nme_eyes": error}}

    good = {"afw": {"onnx int8": of(5.1), "onnx float32": of(5.0)}}
    bad = {"afw": {"onnx int8": of(5.5), "onnx float32": of(5.0)}}
    few = {"afw": {"onnx int8": of(5.5, 20), "onnx float32": of(5.0, 20)}}
    assert over_budget(good, 0.03) == [] and over_budget(few, 0.03) == []
    assert over_budget(bad, 0.03) == ["onnx int8 on afw, true crops, must lose at most 0.03, but got 0.1000"]


def test_the_ledger_gets_a_line_without_dev(tmp_path: Path) -> None:
    row = {"faces": 2, "missed": 0.0, "nme_eyes": 5.0, "nme_box": 2.0, "failures": 0.0, "auc": 0.4}
    results = {"dev": {"onnx int8": {"true": row}}, "afw": {"onnx int8": {"true": row}, "peers": {"Peppa": row}}}
    record(tmp_path / "ledger.jsonl", "edgeface-points", "abc", results)
    line = json.loads((tmp_path / "ledger.jsonl").read_text())
    assert line["figures"] == {"onnx int8, afw, true crops": {"nme_eyes": 5.0, "nme_box": 2.0, "missed": 0.0}}
    assert "| Peppa | found boxes | 2 | 0.0 | 5.0 |" in markdown(results)
