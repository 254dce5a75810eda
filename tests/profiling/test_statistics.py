"""Summaries and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.errors import InvalidInputError
from edgeface.profiling.statistics import compare_runs, half_sample_mode, mad, summarise

finite = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=300)


def test_summary_by_hand() -> None:
    summary = summarise([5.0, 1.0, 3.0, 2.0, 4.0])
    assert {key: summary[key] for key in ("n", "mean", "median", "mad", "min", "max", "p50")} == {
        "n": 5,
        "mean": 3.0,
        "median": 3.0,
        "mad": 1.0,
        "min": 1.0,
        "max": 5.0,
        "p50": 3.0,
    }


@pytest.mark.parametrize(("n", "known"), [(9, []), (10, ["p90"]), (20, ["p90", "p95"]), (100, ["p90", "p95", "p99"])])
def test_percentiles_that_the_sample_cannot_show_are_none(n: int, known: list[str]) -> None:
    summary = summarise(np.arange(n) + 1.0)
    assert [key for key in ("p90", "p95", "p99", "p999") if summary[key] is not None] == known
    assert summarise(np.arange(1000) + 1.0)["p999"] == pytest.approx(999.001)


def test_median_and_mode_do_not_move_with_outliers() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(10, 0.1, 900)
    dirty = np.concatenate([clean, rng.uniform(50, 500, 100)])
    assert abs(half_sample_mode(dirty) - 10) < 0.15
    assert abs(float(np.median(dirty)) - 10) < 0.05
    assert mad(dirty) < 0.12
    assert dirty.mean() > 20, "the mean is why there are robust statistics"


def test_mode_of_a_skewed_sample_is_its_peak() -> None:
    sample = 5 + np.random.default_rng(2).lognormal(0, 1, 4000)  # peak of the density at 5 + exp(-1)
    assert half_sample_mode(sample) == pytest.approx(5 + math.exp(-1), abs=0.25)
    assert float(np.median(sample)) == pytest.approx(6, abs=0.1)


@given(finite)
def test_summaries_are_in_range(values: list[float]) -> None:
    summary = summarise(values)
    low, high = min(values), max(values)
    for key in ("mean", "median", "mode", "p50"):
        value = summary[key]
        assert value is not None
        assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)


@given(finite, st.randoms())
def test_order_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = summarise(values), summarise(shuffled)
    assert a.pop("mean") == pytest.approx(b.pop("mean"))  # sums of floats depend on the order
    assert a == b


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [[1.0]]])
def test_what_is_no_sample_is_refused(bad: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="values must be"):
        summarise(bad)


def runs(
    rng: np.random.Generator, typical: float, between: float = 0.02, within: float = 0.1, n: int = 10
) -> list[list[float]]:
    """Runs whose medians differ by chance, as on a real machine."""
    return [list(typical * rng.lognormal(0, between) * rng.lognormal(0, within, 50)) for _ in range(n)]


def test_a_real_difference_is_found_with_its_size() -> None:
    rng = np.random.default_rng(3)
    found = [compare_runs(runs(rng, 10), runs(rng, 11), seed=i) for i in range(50)]
    assert sum(bool(f.significant) for f in found) == 50
    inside = sum(f.low < 1.1 < f.high for f in found)  # type: ignore[operator]
    assert inside >= 44, "a 95 % interval holds the truth about 95 times in a hundred"


def test_chance_is_rarely_called_a_difference() -> None:
    rng = np.random.default_rng(4)
    n = 300
    wrong = sum(bool(compare_runs(runs(rng, 10), runs(rng, 10), resamples=1000, seed=i).significant) for i in range(n))
    # 5 % of 300 is 15; a bootstrap over the frames instead of the runs gives more than 100 here
    assert wrong <= 28


def test_a_bootstrap_over_frames_would_be_fooled() -> None:
    """Why the run is the unit: the same data as single frames look like a difference."""
    rng = np.random.default_rng(4)
    fooled = 0
    for _ in range(50):
        a, b = np.concatenate(runs(rng, 10, 0.05, 0.02)), np.concatenate(runs(rng, 10, 0.05, 0.02))
        fooled += (
            abs(np.log(a).mean() - np.log(b).mean()) > 1.96 * math.hypot(np.log(a).std(), np.log(b).std()) / 500**0.5
        )
    assert fooled > 25


def test_few_runs_give_no_verdict() -> None:
    found = compare_runs([[1.0, 2.0]] * 3, [[3.0]] * 9)
    assert (found.ratio, found.low, found.significant) == (2.0, None, None)


def test_equal_numbers_are_no_difference_and_shifted_ones_are() -> None:
    assert compare_runs([[2.0]] * 5, [[2.0]] * 5).significant is False
    assert compare_runs([[2.0]] * 5, [[3.0]] * 5).significant is True


def test_the_order_of_runs_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    a, b = runs(rng, 10), runs(rng, 10.3)
    there, back = compare_runs(a, b, seed=1), compare_runs(a[::-1], b[::-1], seed=1)
    assert there.ratio == pytest.approx(back.ratio, rel=1e-12)
    assert there.low == pytest.approx(back.low, rel=0.01)


@pytest.mark.parametrize("bad", [[], [[]], [[0.0]], [[-1.0, -2.0]]])
def test_bad_runs_are_refused(bad: list[list[float]]) -> None:
    with pytest.raises(InvalidInputError, match="must be"):
        compare_runs(bad, [[1.0]])
