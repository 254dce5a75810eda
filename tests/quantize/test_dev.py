"""The figures of the dev split while a network learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.data.detections import Found  # noqa: E402
from quantize.data.jsonl import read_jsonl  # noqa: E402
from quantize.train import dev  # noqa: E402


class Oracle:
    """Says the label of each photo, in the order in which `measure` shows them, with its faces turned by 5°."""

    name, rule = "oracle", "as it is"

    def __init__(self, samples: list, size: tuple[int, int]) -> None:  # type: ignore[type-arg]
        self.samples = iter(samples)

    def detect(self, image: np.ndarray) -> Found:  # type: ignore[type-arg]
        faces = next(self.samples).faces
        points = np.array([f.points for f in faces], float)
        angles = np.tile([5.0, 0.0, 0.0], (len(faces), 1))
        return Found(np.array([f.box for f in faces], float), np.full(len(faces), 0.9), points, angles)


def test_what_is_found_is_measured_on_its_own_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "set", 3, seed=1, faces=2)
    samples, skipped = read_jsonl(tmp_path / "set")
    assert len(samples) == 3 and not skipped
    for s in samples:
        s.source = "set"
    monkeypatch.setattr(dev, "FloatDetector", lambda model, size: Oracle(samples, size))
    figures = dev.measure(torch.nn.Identity(), samples, {"set": "detection"})
    assert figures["dev_ap_ge16_640"] == figures["dev_ap_ge16_320"] == 1
    for s in samples:
        for f in s.faces:
            right, left, nose, *mouth = f.points.tolist()
            f.extra["points68"] = [nose] * 36 + [right] * 6 + [left] * 6 + [mouth[0]] * 6 + [mouth[1]] * 14
    figures = dev.measure(torch.nn.Identity(), samples, {"set": "landmarks"})
    assert figures["dev_nme5_box_640"] == 0
    assert figures["dev_pose_320"] == pytest.approx(5, abs=1e-4)
    figures = dev.measure(torch.nn.Identity(), samples, {"set": "negatives"})
    assert figures["dev_fp_per_100"] == 200


def test_photos_may_be_turned_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that sees a photo on its side and says what stands upright in it is wrong."""
    write_set(tmp_path / "set", 3, seed=1, faces=2)
    samples, _ = read_jsonl(tmp_path / "set")
    for s in samples:
        s.source = "set"
    monkeypatch.setattr(dev, "FloatDetector", lambda model, size: Oracle(samples, size))
    assert dev.measure(torch.nn.Identity(), samples, {"set": "detection"}, turn=90)["dev_ap_ge16_640"] < 0.5
    with pytest.raises(ValueError, match="turn must be one of 0, 90, 180, 270, but got 45"):
        dev.measure(torch.nn.Identity(), samples, {"set": "detection"}, turn=45)
