"""Batches of views: their sizes take turns."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed")

import cv2

from quantize.config import ConfigError, batches_of
from quantize.data.pack import pack
from quantize.data.sample import FaceLabel, Sample
from quantize.train.loader import ViewBatches
from quantize.train.loop import _check


def test_batches_of_two_sizes_take_turns(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((300, 320, 3), 40, np.uint8))
    face = FaceLabel(np.array([110, 90, 190, 195], np.float32))
    assert not pack([Sample(tmp_path / "a.png", 320, 300, [face], True, "drawn")], tmp_path / "packed")
    views = {"weights": {"drawn": 1}, "camera": 0.0, "grids": [1.0], "smallest_side": 20, "most_upscale": 3.0}
    data = ViewBatches(tmp_path / "packed", views, 7, batches_of({"size": [96, 64], "batch": [2, 3]}), [3, 4, 5])
    made = [(tuple(x.shape), batch.number.tolist()) for x, batch in data]
    # the fourth to the sixth batch of the run, each with room for three
    assert made == [((3, 3, 64, 64), [9, 10, 11]), ((2, 3, 96, 96), [12, 13]), ((3, 3, 64, 64), [15, 16, 17])]


def test_one_size_needs_no_list() -> None:
    assert batches_of({"size": 96, "batch": 2}) == [(96, 2)]


@pytest.mark.parametrize("phase", [{"size": [96, 64], "batch": 2}, {"size": [], "batch": []}])
def test_sizes_without_their_batches_are_an_error_of_the_config(phase: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"phases.batch must be as many as phases.size, but got"):
        batches_of(phase)


def test_whole_photos_of_no_set_are_an_error() -> None:
    config = {"phases": [{"size": 64, "batch": 1, "views": {"whole": {"share": 0.5}}}]}
    with pytest.raises(ConfigError, match=r"\[views.whole\] must have weights"):
        _check(config)
    _check(config | {"views": {"whole": {"weights": {"drawn": 1.0}}}})  # a phase has what all of them have
