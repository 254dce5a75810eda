"""Robust summaries of timings, and whether two sets of runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.errors import must_be

__all__ = ["PERCENTILES", "Ratio", "compare_runs", "half_sample_mode", "mad", "summarise"]

#: Name -> percent.
PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

MIN_RUNS: Final = 4  # fewer say nothing about how much one run differs from the next


def mad(values: ArrayLike) -> float:
    """Median absolute deviation from the median, unscaled (times 1.4826 it estimates a normal's sigma)."""
    array = _checked(values)
    return float(np.median(np.abs(array - np.median(array))))


def half_sample_mode(values: ArrayLike) -> float:
    """Mode by repeatedly taking the half of the sample that is densest (Bickel & Frühwirth 2006, "On a fast, robust
    estimator of the mode"). Latencies have a hard lower edge and a long tail: this is their typical value.

    Examples:
        >>> half_sample_mode([1.0, 5.0, 5.1, 5.2, 9.0, 30.0])
        5.05
    """
    array = np.sort(_checked(values))
    while len(array) > 3:
        half = (len(array) + 1) // 2
        spans = array[half - 1 :] - array[: len(array) - half + 1]
        narrowest = np.flatnonzero(spans == spans.min())
        first = int(narrowest[(len(narrowest) - 1) // 2])  # of equally dense halves the middle one
        array = array[first : first + half]
    if len(array) == 3:
        left, right = array[1] - array[0], array[2] - array[1]
        array = array[1:2] if left == right else (array[:2] if left < right else array[1:])
    return float(array.mean())


def summarise(values: ArrayLike) -> dict[str, float | int | None]:
    """Summary of one sample.

    Returns:
        n, mean, median, mad, mode, min, max, and the percentiles of `PERCENTILES`. A percentile is None where fewer
        values lie beyond it than one: a P99.9 needs a thousand.
    """
    array = _checked(values)
    summary: dict[str, float | int | None] = {
        "n": len(array),
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "mad": mad(array),
        "mode": half_sample_mode(array),
        "min": float(array.min()),
        "max": float(array.max()),
    }
    for name, percent in PERCENTILES.items():
        enough = len(array) * (100 - percent) >= 100 - 1e-6 or percent == 50
        summary[name] = float(np.percentile(array, percent)) if enough else None
    return summary


@dataclass(frozen=True, slots=True)
class Ratio:
    """B over A.

    Attributes:
        ratio: of the typical values; above 1 means that B is slower.
        low, high: confidence interval; None with fewer than four runs on a side.
        significant: whether 1 lies outside of the interval; None if there is none.
    """

    ratio: float
    low: float | None
    high: float | None
    significant: bool | None


def compare_runs(
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    *,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Ratio:
    """Compare two sets of runs by a bootstrap over runs.

    Frames of one run depend on each other (clock, temperature, memory layout), so that a bootstrap over frames finds
    differences everywhere. Here the run is the unit: each gives its median; the mean of the runs' log medians is
    compared, with the studentised ("bootstrap-t") interval of Efron & Tibshirani 1993, which holds its level with few
    runs where the plain percentile interval is too narrow.

    Args:
        a, b: timings of one stage, by run; positive.
        confidence: of the interval, 0 to 1.
        resamples: how many bootstrap samples.
        seed: of their random numbers; the same gives the same answer.

    Raises:
        InvalidInputError: no runs, an empty run, or a timing that is not positive.
    """
    if not 0 < confidence < 1:
        raise must_be("confidence", "between 0 and 1", confidence)
    x, y = _log_medians("A", a), _log_medians("B", b)
    difference = float(y.mean() - x.mean())
    ratio = float(np.exp(difference))
    if min(len(x), len(y)) < MIN_RUNS:
        return Ratio(ratio, None, None, None)
    error = _standard_error(x, y)
    if error == 0:  # a clock too coarse for the difference, or made-up numbers
        return Ratio(ratio, ratio, ratio, difference != 0)
    rng = np.random.default_rng(seed)
    xs = x[rng.integers(0, len(x), (resamples, len(x)))]
    ys = y[rng.integers(0, len(y), (resamples, len(y)))]
    # a resample that drew one run over and over has no spread: take a hundredth of the sample's
    errors = np.maximum(np.sqrt(xs.var(1, ddof=1) / len(x) + ys.var(1, ddof=1) / len(y)), error / 100)
    t = (ys.mean(1) - xs.mean(1) - difference) / errors
    tail = (1 - confidence) / 2
    low_t, high_t = np.quantile(t, [tail, 1 - tail])
    low, high = difference - high_t * error, difference - low_t * error
    return Ratio(ratio, float(np.exp(low)), float(np.exp(high)), bool(low > 0 or high < 0))


def _log_medians(name: str, runs: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    if len(runs) == 0 or any(len(run) == 0 for run in runs):
        raise must_be(f"the runs of {name}", "at least one, none of them empty", [len(run) for run in runs])
    medians = np.array([np.median(run) for run in runs], dtype=np.float64)
    if not (medians > 0).all():
        raise must_be(f"the timings of {name}", "positive", medians.min())
    return np.log(medians)


def _standard_error(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y)))


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise must_be("values", "a list of at least one finite number", f"shape {array.shape}")
    return array
