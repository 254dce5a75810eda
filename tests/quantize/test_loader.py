"""Batches of views: their sizes take turns, and who makes them does not matter."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.config import ViewOptions
from quantize.data.pack import pack
from quantize.data.sample import FaceLabel, Sample
from quantize.train.loader import ViewBatches, collate
from quantize.train.views import Targets

OPTIONS = ViewOptions(camera=0, grids=[1.0], smallest_side=20, most_upscale=3)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((300, 320, 3), 40, np.uint8))
    face = FaceLabel(np.array([110, 90, 190, 195], np.float32))
    assert not pack([Sample(tmp_path / "a.png", 320, 300, [face], True, "drawn")], tmp_path / "packed")
    return tmp_path / "packed"


def test_batches_of_two_sizes_take_turns(packed: Path) -> None:
    data = ViewBatches(packed, OPTIONS, np.ones(1), 7, [(96, 2), (64, 3)], [3, 4, 5], pose_quantile={})
    made = [(tuple(x.shape), batch.number.tolist()) for x, batch in data]
    # the fourth to the sixth batch of the run, each with room for three
    assert made == [((3, 3, 64, 64), [9, 10, 11]), ((2, 3, 96, 96), [12, 13]), ((3, 3, 64, 64), [15, 16, 17])]


def test_two_processes_share_the_views_of_a_step(packed: Path) -> None:
    def numbers(rank: int, world: int, batch: int) -> list[int]:
        data = ViewBatches(packed, OPTIONS, np.ones(1), 7, [(64, batch)], range(2), rank, world, pose_quantile={})
        return [n for _, b in data for n in b.number.tolist()]

    assert sorted(numbers(0, 2, 4) + numbers(1, 2, 4)) == numbers(0, 1, 4)


def test_views_without_faces_are_padded() -> None:
    none = Targets.of(Sample(Path("a.png"), 64, 64, [], True))
    one = Targets.of(Sample(Path("a.png"), 64, 64, [FaceLabel(np.array([1, 2, 3, 4], np.float32))], True))
    _, batch = collate([np.zeros((64, 64, 3), np.uint8)] * 2, [none, one], [0, 1])
    assert batch.real.tolist() == [[False], [True]]
    assert batch.ignore.tolist() == [[False], [False]]
    assert batch.box[1, 0].tolist() == [1, 2, 3, 4]
