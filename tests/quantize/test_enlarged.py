"""What a detector says of a view enlarged twofold, put to the view's own cells."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.teachers.yunet_layers import BOX, KPS, YuNetLayers  # noqa: E402
from quantize.train.assign import Grid  # noqa: E402
from quantize.train.enlarged import enlarged_answers, score_of  # noqa: E402

ROOT = Path(__file__).parents[2]
TEACHERS = ROOT / ".." / "shared" / "teachers"
SIDE = 64
SIZES = [8, 4, 2]  # cells a side of each level of a view of 64 px


def nothing(sizes: list[int]) -> torch.Tensor:
    raw = torch.zeros(1, sum(s * s for s in sizes), 16)
    raw[..., :2] = -30
    return raw


def cell(sizes: list[int], level: int, column: int, row: int) -> int:
    return sum(s * s for s in sizes[:level]) + row * sizes[level] + column


def say(score: float, *, at: tuple[float, float] = (0.25, 0.5), size: float = 2.0) -> torch.Tensor:
    """A row of raw outputs: the middle of the box is ``at`` strides from the cell's corner, and so are all points."""
    logit = math.log(score / (1 - score))
    return torch.tensor([logit, logit, *at, math.log(size), math.log(size), *(at * 5)])


class Scripted:
    """A detector that says ``enlarged`` to whatever is twice as large as the view."""

    def __init__(self, enlarged: torch.Tensor) -> None:
        self.enlarged = enlarged

    def pyramid(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape == (1, 3, 2 * SIDE, 2 * SIDE)
        return x

    def predict(self, _: torch.Tensor) -> torch.Tensor:
        return self.enlarged


def answered(enlarged: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
    return enlarged_answers(Scripted(enlarged), torch.zeros(1, 3, SIDE, SIDE), plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(("column", "row"), [(4, 6), (5, 6), (4, 7), (5, 7)])
def test_a_fine_cell_speaks_for_the_cell_around_it(column: int, row: int) -> None:
    big = [2 * s for s in SIZES]
    enlarged = nothing(big)
    enlarged[0, cell(big, 0, column, row)] = say(0.8)
    answer = answered(enlarged, nothing(SIZES))
    assert int((score_of(answer) > 0.5).sum()) == 1
    said = answer[0, cell(SIZES, 0, 2, 3)]
    # middle and size in pixels of the view: half of what they are in the enlarged one
    middle = (torch.tensor([column, row]) + torch.tensor([0.25, 0.5])) * 8 / 2
    assert torch.allclose((torch.tensor([2, 3]) + said[BOX][:2]) * 8, middle)
    assert torch.allclose((torch.tensor([2, 3]) + said[KPS].reshape(5, 2)) * 8, middle.expand(5, 2))
    assert torch.allclose(said[BOX][2:].exp() * 8, torch.tensor(2.0 * 8 / 2))


def test_the_firmest_of_five_cells_speaks_at_stride_8() -> None:
    big = [2 * s for s in SIZES]
    enlarged = nothing(big)
    enlarged[0, cell(big, 0, 4, 6)] = say(0.6)
    enlarged[0, cell(big, 1, 2, 3)] = say(0.7, size=3)
    said = answered(enlarged, nothing(SIZES))[0, cell(SIZES, 0, 2, 3)]
    assert torch.equal(said, say(0.7, size=3))  # a cell of stride 16 there is one of stride 8 here, in all its numbers


def test_both_looks_share_stride_16_and_stride_32_is_the_plain_one() -> None:
    big = [2 * s for s in SIZES]
    enlarged, plain = nothing(big), nothing(SIZES)
    enlarged[0, cell(big, 2, 1, 2)] = say(0.5, size=3)
    plain[0, cell(SIZES, 1, 1, 2)] = say(0.9)
    plain[0, cell(SIZES, 2, 1, 0)] = say(0.95)
    plain[0, cell(SIZES, 0, 5, 5)] = say(0.95)
    answer = answered(enlarged, plain)
    said = answer[0, cell(SIZES, 1, 1, 2)]
    assert score_of(said).item() == pytest.approx(0.7, abs=1e-4)
    assert torch.equal(said[2:], say(0.9)[2:])
    assert torch.equal(answer[0, cell(SIZES, 2, 1, 0)], say(0.95))
    assert score_of(answer[0, cell(SIZES, 0, 5, 5)]).item() < 0.01  # what the plain look says at stride 8 is not asked
    assert torch.isfinite(answer).all()


@pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")
def test_more_faces_of_a_small_picture_are_found() -> None:
    """On the collage, shrunk until the detector loses faces."""
    detector = YuNetLayers(TEACHERS / "yunet_n_dynamic.onnx")
    photo = cv2.cvtColor(cv2.imread(str(ROOT / "examples" / "collage.jpg")), cv2.COLOR_BGR2RGB)
    view = np.full((128, 128, 3), 128, np.uint8)
    scale = 128 / max(photo.shape)
    small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:128, :128]
    view[: small.shape[0], : small.shape[1]] = small
    x = (torch.from_numpy(view).permute(2, 0, 1)[None].float() - 128) / 128
    plain = detector.predict(detector.pyramid(x))
    answer = enlarged_answers(detector, x, plain)
    assert answer.shape == plain.shape
    places = [
        {tuple(c.tolist()) for c in Grid.of(128, 128, x.device).centre[(score_of(raw)[0] > 0.5)] // 24}
        for raw in (plain, answer)
    ]
    assert len(places[1]) > len(places[0])
