"""Ranges of values over photos of several kinds."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.compress import ranges


def test_a_range_leaves_out_the_outlier_of_one_photo_but_no_kind_of_photo() -> None:
    def of_photos(highest: list[float]) -> dict[str, dict[str, np.ndarray]]:
        entry: dict[str, np.ndarray] = {"min": np.float32([0]), "max": np.float32([highest[0]])}
        for value in highest[1:]:
            entry = ranges.beside(entry, {"min": np.float32([-value]), "max": np.float32([value])})
        return {"value": entry, "weight": {"min": np.float32([-2, -3]), "max": np.float32([1, 9])}}

    usual, filled = of_photos([1.0] * 20 + [50.0]), of_photos([4.0, 4.0, 4.0])
    assert ranges.cover(usual, 1.0)["value"]["max"] == 50 and ranges.cover(usual, 0.9)["value"]["max"] == 1
    found = ranges.widest([ranges.cover(usual, 0.9), ranges.cover(filled, 0.9)])
    assert found["value"]["max"].tolist() == [4] and found["value"]["min"].tolist() == [-4]
    assert found["weight"]["max"].tolist() == [1, 9]  # of every channel, as it was
    one = of_photos([7.0])
    assert ranges.cover(one, 0.9)["value"]["max"].tolist() == [7]
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="share of the photos must be above 0 and at most 1"):
            ranges.cover(one, share)
