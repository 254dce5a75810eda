"""How far figures would move on other photos of the same kind, and whether two detectors differ by more than that: a
bootstrap (Efron and Tibshirani 1993), over photos since faces of one photo are not independent of each other. Each
resample is scored for all detectors alike, so that their differences are of the same photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Array, Predictions
from quantize.data.metrics import (
    HEIGHTS,
    Judged,
    area_under_precision,
    faces_are_boxed,
    false_positive_counts,
    judge,
    points_by_face,
    poses_by_face,
)
from quantize.data.sample import Sample

RESAMPLES = 1000
LEVEL = 0.95

Figure = Callable[[NDArray[np.intp]], float]
"""How often each photo counts (photos,) → the figure; NaN where nothing of its kind is among them."""


@dataclass(frozen=True)
class Interval:
    """A figure, and between which values it lies in `LEVEL` of the resamples; ``difference`` from the first detector's,
    with the same of it, is None for the first, and where that has no such figure.
    """

    value: float
    low: float
    high: float
    difference: tuple[float, float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """``value``, ``low``, ``high``, and ``difference`` with its own three."""
        row: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        if self.difference is not None:
            row["difference"] = dict(zip(("value", "low", "high"), self.difference, strict=True))
        return row


def resampled(
    samples: Sequence[Sample], found: Predictions, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Array]:
    """What every figure that is a mean or an AP, named as in `quantize.data.metrics.score_samples`, comes to.

    Args:
        samples: a labelled set.
        found: what a detector said.
        resamples: sets of as many photos, drawn from these with replacement: the same for every detector.
        seed: of the drawing.

    Returns:
        By figure (1 + resamples,): for the photos as they are, then for each resample, NaN for one with nothing of its
        kind. Without figures that nothing in the set is labelled for, or that the detector does not have.

    Raises:
        ValueError: no photo, or fewer than one resample.

    Examples:
        >>> from pathlib import Path
        >>> from quantize.data.detections import Found
        >>> empty = [Sample(Path(f"{i}.jpg"), 9, 9, [], True) for i in range(4)]
        >>> loud = {"0.jpg": Found(np.array([[0, 0, 5, 5]]), np.array([0.9]))}
        >>> resampled(empty, loud, 50)["fp_per_100@0.5"][0]
        np.float64(25.0)
    """
    if not samples or resamples < 1:
        raise ValueError(f"there must be photos and resamples, but got {len(samples)} and {resamples}")
    share = np.full(len(samples), 1 / len(samples))
    drawn = [
        np.ones(len(samples), np.intp),
        *np.random.default_rng(seed).multinomial(len(samples), share, resamples),
    ]
    figures = _figures(samples, found).items()
    values = {key: np.array([figure(times) for times in drawn]) for key, figure in figures}
    return {key: of for key, of in values.items() if not np.isnan(of[0])}


def intervals(values: Mapping[str, Mapping[str, Array]]) -> dict[str, dict[str, Interval]]:
    """By figure, then by detector, from what `resampled` gave for each on the same photos; differences are to the
    first.
    """
    columns: dict[str, dict[str, Array]] = {}
    for name, figures in values.items():
        for key, of in figures.items():
            columns.setdefault(key, {})[name] = of
    first = next(iter(values), "")
    return {key: _compared(of, first) for key, of in columns.items()}


class Resamples:
    """What detectors came to on the resamples of every set they were measured on, set by set."""

    def __init__(self, count: int = RESAMPLES) -> None:
        self.count = count
        self.values: dict[tuple[str, str], dict[str, dict[str, Array]]] = {}
        """By set and input rule, then by detector, what `resampled` gave."""

    def add(
        self, where: tuple[str, str], name: str, samples: Sequence[Sample], found: Predictions
    ) -> dict[str, list[float]]:
        """Detector ``name`` on set and input rule ``where``; lowest and highest of each of its figures."""
        values = resampled(samples, found, self.count)
        self.values.setdefault(where, {})[name] = values
        return {key: [round(v, 4) for v in _spread(of)[1:]] for key, of in values.items()}


def _compared(columns: dict[str, Array], first: str) -> dict[str, Interval]:
    return {
        name: Interval(
            *_spread(values), _spread(values - columns[first]) if name != first and first in columns else None
        )
        for name, values in columns.items()
    }


def _spread(values: Array) -> tuple[float, float, float]:
    """The figure of the photos as they are, which comes first, and the percentiles of the resamples that have one."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(values[0]), float(low), float(high)


def _figures(samples: Sequence[Sample], found: Predictions) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for height in HEIGHTS if faces_are_boxed(samples) else ():
        judged = judge(samples, found, height)
        if judged.faces.any():
            figures[f"ap_ge{height}" if height else "ap_all"] = partial(_ap, judged)
    points, poses = points_by_face(samples, found), poses_by_face(samples, found)
    if len(points.photo):
        figures["nme5"] = _mean(100 * points.ocular, points.photo)
        figures["nme5_box"] = _mean(100 * points.box, points.photo)
    if len(poses.photo):
        figures["pose_mae"] = _mean(poses.angles.mean(1), poses.photo)
    if not any(s.faces for s in samples):
        loud = false_positive_counts(samples, found, 0.5)
        figures["fp_per_100@0.5"] = lambda times: float(100 * (loud @ times) / times.sum())
    return figures


def _ap(judged: Judged, times: NDArray[np.intp]) -> float:
    return area_under_precision(judged, times) if judged.faces @ times else float("nan")


def _mean(values: Array, photo: NDArray[np.intp]) -> Figure:
    """Of the values that are known, each as often as its photo counts."""
    known = ~np.isnan(values)

    def figure(times: NDArray[np.intp]) -> float:
        weight = times[photo[known]]
        return float(values[known] @ weight / weight.sum()) if weight.any() else float("nan")

    return figure


def interval_rows(
    name: str, figures: Mapping[str, Mapping[str, Interval]], headings: Mapping[str, str], models: Sequence[str]
) -> list[str]:
    """Lines of a Markdown table for one set, ``name``: a figure a line, a detector a column."""
    return [
        f"| {name} | {headings[key]} | {' | '.join(_said(columns.get(model)) for model in models)} |"
        for key, columns in figures.items()
    ]


def _said(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    places = max(0, 4 - len(str(int(interval.value)).lstrip("0")))  # of four digits
    said = f"{interval.value:.{places}f} ({interval.low:.{places}f} to {interval.high:.{places}f})"
    if interval.difference is not None:
        less, low, high = (f"{v:+.{places}f}" for v in interval.difference)
        said += f", {less} ({low} to {high})"
    return said
