"""Figures by lightness of the skin: the angle of known colours, the groups, and that a worse group shows."""

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.data.detections import Found  # noqa: E402
from quantize.data.sample import FaceLabel, Sample  # noqa: E402
from quantize.evaluate.lightness import GROUPS, by_lightness, group_of, is_grey, typology_angle  # noqa: E402


def colour(lightness: float, yellow: float) -> np.ndarray:
    """A picture of one colour, BGR, of the CIELAB values given (a* of 12)."""
    lab = np.full((80, 80, 3), (lightness, 12, yellow), np.float32)
    return (cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("lightness", "yellow", "wanted"), [(70, 20, 45.0), (50, 15, 0.0), (35, 15, -45.0)])
def test_the_angle_of_known_colours(lightness: float, yellow: float, wanted: float) -> None:
    assert typology_angle(colour(lightness, yellow), np.array([10, 10, 70, 70])) == pytest.approx(wanted, abs=2)


def test_outside_of_the_photo_there_is_no_angle() -> None:
    assert np.isnan(typology_angle(colour(70, 20), np.array([100, 100, 160, 160])))
    assert group_of(float("nan")) is None
    assert {group_of(a) for a in (60.0, 41.0, -80.0)} == {name for name, *_ in GROUPS}


def test_a_group_that_is_not_found_shows(tmp_path: Path) -> None:
    box = np.array([10, 10, 70, 70], np.float32)
    samples, found = [], {}
    for i, (lightness, hit) in enumerate([(75, True), (75, True), (25, True), (25, False)]):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), colour(lightness, 15))
        samples.append(Sample(path, 80, 80, [FaceLabel(box), FaceLabel(box, ignore=True)], True))
        found[str(path)] = Found(np.array([box if hit else [0, 0, 5, 5]], float), np.array([0.9]))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((80, 80, 3), 90, np.uint8))
    assert is_grey(cv2.imread(str(tmp_path / "grey.png")))
    samples.append(Sample(tmp_path / "grey.png", 80, 80, [FaceLabel(box)], True))
    figures = by_lightness(samples, found)
    assert figures == {GROUPS[0][0]: {"n": 2, "recall": 1.0}, GROUPS[2][0]: {"n": 2, "recall": 0.5}}
