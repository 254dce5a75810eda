"""Ranges of a network's values, from those of single photos. numpy alone: the TFLite converter runs elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: "min" and "max" of each value, by its name.
Ranges = Mapping[str, Mapping[str, Any]]


def beside(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps the range of every photo, along a new first axis: ``a`` of all so far, ``b`` of the next one.

    >>> beside(beside({"min": -1, "max": 2}, {"min": -3, "max": 1}), {"min": 0, "max": 0})["min"].tolist()
    [-1, -3, 0]
    """
    former = a if a.get("of_photos") else {key: np.asarray(a[key])[None] for key in ("min", "max")}
    both = {key: np.concatenate([former[key], np.asarray(b[key])[None]]) for key in ("min", "max")}
    return {**both, "of_photos": True}


def cover(ranges: Ranges, share: float) -> dict[str, dict[str, Any]]:
    """The range that holds the least and the greatest value of ``share`` of the photos each. What only one photo has
    shown (a single photo, or a weight, which no photo changes) is left as it is.

    Raises:
        ValueError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of the photos must be above 0 and at most 1, but got {share}")
    return {
        name: {"min": np.quantile(r["min"], 1 - share, axis=0), "max": np.quantile(r["max"], share, axis=0)}
        if r.get("of_photos")
        else dict(r)
        for name, r in ranges.items()
    }


def widest(kinds: Sequence[Ranges]) -> dict[str, dict[str, Any]]:
    """The range that holds those of every kind of photo."""
    return {
        name: {
            "min": np.min([kind[name]["min"] for kind in kinds], axis=0),
            "max": np.max([kind[name]["max"] for kind in kinds], axis=0),
        }
        for name in kinds[0]
    }
