"""Intervals against photos that are really there so often, against what statistics says, and against the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.data.detections import Found, Predictions
from quantize.data.metrics import area_under_precision, average_precision, judge, score_samples
from quantize.data.sample import FaceLabel, Sample
from quantize.evaluate.intervals import RESAMPLES, Interval, Resamples, interval_rows, intervals, resampled

FACES = [[0, 0, 40, 40], [50, 50, 90, 90]]


def _photo(stem: str, faces: list[list[int]]) -> Sample:
    points = np.array([[30, 30], [50, 30], [40, 40], [32, 50], [48, 50]], np.float32)
    pose = {"pose_300wlp": {"yaw": 10.0, "pitch": 0.0, "roll": 0.0}}
    labels = [FaceLabel(np.array(box, np.float32), points, extra=pose) for box in faces]
    return Sample(Path(f"{stem}.jpg"), 100, 100, labels, True)


def _said(rng: np.random.Generator) -> Found:
    boxes = np.array([*FACES, [5, 60, 45, 100]], float) + rng.normal(0, 6, (3, 4))
    points = np.array([[30, 30], [50, 30], [40, 40], [32, 50], [48, 50]]) + rng.normal(0, 2, (3, 5, 2))
    return Found(boxes, rng.uniform(size=3), points, rng.normal(0, 9, (3, 3)))


def _intervals(
    samples: list[Sample], found: dict[str, Predictions], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    return intervals({name: resampled(samples, said, resamples, seed) for name, said in found.items()})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any), st.integers(0, 1000))
def test_a_photo_that_counts_twice_is_as_two_photos(times: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [_photo(str(i), FACES) for i in range(5)]
    found = {f"{i}.jpg": _said(rng) for i in range(5)}
    weighted = area_under_precision(judge(samples, found, 0), np.array(times))
    copies = [(f"{i}-{k}", f"{i}.jpg") for i, n in enumerate(times) for k in range(n)]
    copied = average_precision(
        [_photo(name, FACES) for name, _ in copies], {f"{name}.jpg": found[of] for name, of in copies}
    )
    assert weighted == pytest.approx(copied[0])


def test_the_figure_itself_is_that_of_the_table() -> None:
    rng = np.random.default_rng(3)
    samples = [_photo(str(i), FACES) for i in range(9)]
    found = {f"{i}.jpg": _said(rng) for i in range(8)}
    table, figures = score_samples(samples, found), _intervals(samples, {"a": found}, 20)
    assert set(figures) == {"ap_all", "ap_ge16", "ap_ge32", "nme5", "nme5_box", "pose_mae"}  # no face of 64 px
    for key, columns in figures.items():
        assert columns["a"].value == pytest.approx(table[key], abs=6e-4), key
        assert columns["a"].low <= columns["a"].value <= columns["a"].high
        assert columns["a"].difference is None


def test_the_width_is_that_of_a_binomial() -> None:
    samples = [_photo(str(i), []) for i in range(400)]
    loud = Found(np.array([[0, 0, 9, 9]], float), np.array([0.9]))
    found = {"few": {f"{i}.jpg": loud for i in range(40)}, "many": {f"{i}.jpg": loud for i in range(60)}}
    figures = _intervals(samples, found)["fp_per_100@0.5"]
    few, many = figures["few"], figures["many"]
    sigma = 100 * np.sqrt(0.1 * 0.9 / 400)
    assert (few.value, many.value) == (10.0, 15.0)
    assert few.high - few.low == pytest.approx(2 * 1.96 * sigma, rel=0.12)
    # forty of the photos are the same: the difference is of twenty alone, and is more certain than either
    assert many.difference is not None
    assert many.difference[0] == 5.0
    assert many.difference[2] - many.difference[1] == pytest.approx(
        2 * 1.96 * 100 * np.sqrt(0.05 * 0.95 / 400), rel=0.12
    )


def test_a_mean_spreads_as_its_photos_do() -> None:
    samples = [_photo(str(i), [[28, 28, 52, 54]]) for i in range(200)]
    truth = samples[0].faces[0].points
    assert truth is not None
    found = {}
    for i in range(200):  # a half of them by 5 pixels off, of 20 between the eyes
        points = truth + np.array([3, 4]) * (i % 2)
        found[f"{i}.jpg"] = Found(np.array([[28, 28, 52, 54]], float), np.array([0.9]), points[None].astype(float))
    nme = _intervals(samples, {"a": found})["nme5"]["a"]
    assert nme.value == pytest.approx(12.5)
    assert nme.high - nme.low == pytest.approx(2 * 1.96 * 12.5 / np.sqrt(200), rel=0.12)


def test_a_detector_does_not_differ_from_itself() -> None:
    rng = np.random.default_rng(4)
    samples = [_photo(str(i), FACES) for i in range(6)]
    found = {f"{i}.jpg": _said(rng) for i in range(6)}
    for columns in _intervals(samples, {"a": found, "b": dict(found)}, 30).values():
        assert columns["b"].difference == (0.0, 0.0, 0.0)
    again = _intervals(samples, {"a": found}, 30)["ap_all"]["a"]
    assert again == _intervals(samples, {"a": found}, 30)["ap_all"]["a"]
    assert again != _intervals(samples, {"a": found}, 30, seed=1)["ap_all"]["a"]


def test_what_a_resample_has_none_of_is_left_out_of_it() -> None:
    samples = [_photo("a", FACES), *(_photo(str(i), []) for i in range(3))]
    found = {"a.jpg": Found(np.array(FACES, float), np.array([0.9, 0.8]))}  # found, but without points
    figures = _intervals(samples, {"x": found}, 50)
    assert (figures["ap_all"]["x"].low, figures["ap_all"]["x"].high) == (1.0, 1.0)
    assert set(figures) == {"ap_all", "ap_ge16", "ap_ge32"}
    with_points = Found(np.array([[28, 28, 52, 54]], float), np.array([0.9]), np.zeros((1, 5, 2)))
    figures = _intervals(samples, {"x": found, "y": {"a.jpg": with_points}}, 50)
    assert list(figures["nme5"]) == ["y"]
    assert figures["nme5"]["y"].difference is None


def test_each_set_keeps_its_own() -> None:
    rng = np.random.default_rng(5)
    samples, found = [_photo(str(i), FACES) for i in range(6)], {f"{i}.jpg": _said(rng) for i in range(6)}
    resamples = Resamples(30)
    between = resamples.add(("wider", "640"), "a", samples, found)
    resamples.add(("wider", "320"), "a", samples[:3], found)
    resamples.add(("wider", "640"), "b", samples, {})
    assert {where: list(values) for where, values in resamples.values.items()} == {
        ("wider", "640"): ["a", "b"],
        ("wider", "320"): ["a"],
    }
    whole = _intervals(samples, {"a": found}, 30)
    assert between == {key: [round(of["a"].low, 4), round(of["a"].high, 4)] for key, of in whole.items()}
    assert intervals(resamples.values["wider", "640"])["ap_all"]["a"] == whole["ap_all"]["a"]


@pytest.mark.parametrize(("photos", "resamples"), [(0, 10), (3, 0)])
def test_nothing_to_draw_from_is_an_error(photos: int, resamples: int) -> None:
    with pytest.raises(ValueError, match=f"must be photos and resamples, but got {photos} and {resamples}"):
        _intervals([_photo(str(i), []) for i in range(photos)], {"a": {}}, resamples)


def test_lines_of_the_table() -> None:
    samples = [_photo(str(i), []) for i in range(4)]
    loud = {"0.jpg": Found(np.array([[0, 0, 5, 5]], float), np.array([0.9]))}
    figures = _intervals(samples, {"quiet": {}, "loud": loud}, 40)
    (line,) = interval_rows("x", figures, {"fp_per_100@0.5": "loud ones"}, ["quiet", "absent", "loud"])
    assert line == (
        "| x | loud ones | 0.0000 (0.0000 to 0.0000) | – | 25.00 (0.00 to 75.00), +25.00 (+0.00 to +75.00) |"
    )
