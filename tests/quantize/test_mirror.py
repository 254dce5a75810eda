"""Views in a mirror: targets, and what a detector says of both looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from quantize.model import build_student  # noqa: E402
from quantize.teachers.yunet_layers import BOX, KPS, OBJ  # noqa: E402
from quantize.train.assign import Grid, decode_boxes  # noqa: E402
from quantize.train.enlarged import score_of  # noqa: E402
from quantize.train.losses import Batch  # noqa: E402
from quantize.train.mimic import Mimic  # noqa: E402
from quantize.train.mirror import both_ways, mirrored_answers, mirrored_batch  # noqa: E402

YUNET = Path(__file__).parents[3] / "shared" / "teachers" / "yunet_n_dynamic.onnx"
HEIGHT, WIDTH = 32, 64
CELLS = 4 * 8 + 2 * 4 + 2


def answers(seed: int, n: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, CELLS, 16)).astype(np.float32))


def places(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (n, p, 4) and points (n, p, 5, 2) that a detector's raw outputs mean, in pixels."""
    grid = Grid.of(HEIGHT, WIDTH, torch.device("cpu"))
    box = decode_boxes(raw[..., BOX] - torch.tensor([0.5, 0.5, 0, 0]), grid)
    corner = grid.centre - grid.stride[:, None] / 2
    return box, raw[..., KPS].unflatten(-1, (5, 2)) * grid.stride[:, None, None] + corner[:, None]


def test_targets_are_those_of_the_mirror_image() -> None:
    box, none = torch.tensor([[[10.0, 4, 30, 28], [0, 0, 0, 0]]]), torch.full((1, 2), float("nan"))
    points = torch.stack([torch.tensor([[14.0, 10], [26, 11], [20, 16], [15, 22], [25, 23]]), torch.full((5, 2), 9.0)])
    yaw = torch.linalg.matrix_exp(torch.tensor([[0.0, 0, 0.4], [0, 0, 0], [-0.4, 0, 0]]))
    real = torch.tensor([[True, False]])
    batch = Batch(box, points[None], torch.stack([yaw, yaw])[None], none, real, ~real, torch.tensor([7]))
    seen = mirrored_batch(batch, WIDTH)
    assert seen.box[0, 0].tolist() == [34, 4, 54, 28]
    assert seen.points[0, 0].tolist() == [[38, 11], [50, 10], [44, 16], [39, 23], [49, 22]]
    assert torch.allclose(seen.rotation[0, 0], yaw.T)
    again = mirrored_batch(seen, WIDTH)
    for name in ("box", "points", "rotation", "quality", "real", "ignore"):
        assert torch.allclose(getattr(again, name)[:, 0], getattr(batch, name)[:, 0], equal_nan=True), name
    assert torch.equal(again.number, batch.number) and torch.equal(batch.box, box), "what is kept must not change"


def test_answers_are_those_of_the_mirror_image() -> None:
    raw = answers(1, 2)
    kept = raw.clone()
    seen = mirrored_answers(raw, HEIGHT, WIDTH)
    assert torch.equal(raw, kept)
    assert torch.allclose(mirrored_answers(seen, HEIGHT, WIDTH), raw, atol=1e-5)
    (box, points), (box_seen, points_seen) = places(raw), places(seen)
    cell, other = 8 + 2, 8 + 5  # third from the left and third from the right in the second row of stride 8
    x1, y1, x2, y2 = box[0, cell].tolist()
    assert box_seen[0, other].tolist() == pytest.approx([WIDTH - x2, y1, WIDTH - x1, y2], abs=1e-3)
    x, y = points[0, cell, 0].tolist()  # the right eye is the left one in a mirror
    assert points_seen[0, other, 1].tolist() == pytest.approx([WIDTH - x, y], abs=1e-3)
    assert torch.equal(score_of(seen)[:, other], score_of(raw)[:, cell])


@given(st.integers(0, 99))
def test_both_looks_speak_in_proportion_to_their_scores(seed: int) -> None:
    one, other = answers(seed), answers(seed + 100)
    together = both_ways(one, other)
    a, b = score_of(one), score_of(other)
    assert torch.allclose(score_of(together), (a + b) / 2, atol=2e-3)
    assert torch.allclose(together[..., OBJ].sigmoid(), (one[..., OBJ].sigmoid() + other[..., OBJ].sigmoid()) / 2)
    share = (a / (a + b))[..., None]
    assert torch.allclose(together[..., BOX], one[..., BOX] * share + other[..., BOX] * (1 - share), atol=1e-5)


def test_looks_that_see_nothing_are_no_division_by_zero() -> None:
    assert both_ways(torch.full((1, 1, 16), -200.0), torch.full((1, 1, 16), -200.0)).isfinite().all()


@pytest.mark.skipif(not YUNET.is_file(), reason="../shared is not there")
@pytest.mark.parametrize("enlarge", [False, True])
def test_a_view_and_its_mirror_image_get_the_same_answers(enlarge: bool) -> None:
    torch.manual_seed(3)
    student, x = build_student("s"), torch.rand(1, 3, HEIGHT, WIDTH) * 2 - 1
    weights = {"hints": 0.0, "features": 0.0, "heads": 0.0, "answers": 1.0}
    said, of_mirror = (Mimic(student, YUNET, weights, enlarge, mirror=True).look(v)[-1] for v in (x, x.flip(3)))
    back = mirrored_answers(of_mirror, HEIGHT, WIDTH)
    assert torch.allclose(score_of(said), score_of(back), atol=1e-4)
    assert torch.allclose(said[..., BOX], back[..., BOX], atol=1e-3)
    alone = Mimic(student, YUNET, weights, enlarge).look(x)[-1]
    assert not torch.allclose(score_of(said), score_of(alone), atol=1e-4)
