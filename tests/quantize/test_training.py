"""Losses against values worked out by hand, their gradients, the assignment of faces to cells, and the schedule."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.config import LossOptions  # noqa: E402
from quantize.models import build_student, checkpoint_of, fuse, load_student  # noqa: E402
from quantize.train.assignment import Grid, assign, decode_boxes, flatten, pair_iou  # noqa: E402
from quantize.train.loop import Ema, learning_rate  # noqa: E402
from quantize.train.losses import (  # noqa: E402
    Batch,
    Losses,
    chordal,
    eiou,
    points_loss,
    quality_focal,
    rotation_from_6d,
)


def test_iou_of_a_quarter_overlap() -> None:
    a, b = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 1, 3, 3])
    assert pair_iou(a, b).item() == pytest.approx(1 / 7)


def test_eiou_by_hand() -> None:
    pred, target = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 4])
    # IoU 2/(4+8−2); hull 3x4; centres apart (1, 1); sizes apart (0, 2)
    wanted = 1 - 2 / 10 + (1 + 1) / (9 + 16) + 0 / 9 + 4 / 16
    assert eiou(pred, target).item() == pytest.approx(wanted, abs=1e-5)
    assert eiou(target, target).item() == pytest.approx(0, abs=1e-5)


def test_quality_focal_by_hand() -> None:
    logit, target = torch.tensor(0.0), torch.tensor(0.8)
    cross_entropy = -(0.8 * math.log(0.5) + 0.2 * math.log(0.5))
    assert quality_focal(logit, target).item() == pytest.approx(0.3**2 * cross_entropy, abs=1e-6)


def test_chordal_is_twice_the_sine_of_half_the_angle() -> None:
    a = torch.eye(3)
    c, s = math.cos(1.0), math.sin(1.0)
    b = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    assert chordal(a, b).item() == pytest.approx(2 * math.sin(0.5), abs=1e-4)


def test_points_loss_is_linear_beyond_two_percent() -> None:
    target, side = torch.zeros(1, 5, 2), torch.tensor([100.0])
    pred = torch.full((1, 5, 2), 10.0)  # a tenth of the side in each coordinate
    assert points_loss(pred, target, side).item() == pytest.approx(0.1 - 0.01, abs=1e-6)


def test_rotation_from_6d_is_a_rotation() -> None:
    r = rotation_from_6d(torch.randn(50, 6, generator=torch.Generator().manual_seed(1)).double())
    assert torch.allclose(r @ r.transpose(1, 2), torch.eye(3).double().expand(50, 3, 3), atol=1e-9)
    assert torch.allclose(torch.linalg.det(r), torch.ones(50).double(), atol=1e-9)


@pytest.mark.parametrize("name", ["eiou", "points", "chordal", "focal"])
def test_gradients(name: str) -> None:
    g = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.double)

    if name == "eiou":
        target = torch.tensor([[2.0, 3, 9, 8], [0, 0, 4, 5]]).double()
        start = target + random(2, 4) - 0.5
        check = lambda x: eiou(x, target)  # noqa: E731
    elif name == "points":
        start, target, side = random(3, 5, 2) * 20, random(3, 5, 2) * 20, random(3) + 10
        check = lambda x: points_loss(x, target, side)  # noqa: E731
    elif name == "chordal":
        start, target = random(4, 6), rotation_from_6d(random(4, 6))
        check = lambda x: chordal(rotation_from_6d(x), target)  # noqa: E731
    else:
        start, target = random(6) * 4 - 2, random(6)
        check = lambda x: quality_focal(x, target)  # noqa: E731
    assert torch.autograd.gradcheck(check, (start.requires_grad_(),), eps=1e-7, atol=1e-4)


def grid_and_cells() -> tuple[Grid, torch.Tensor]:
    grid = Grid.of(64, 64, torch.device("cpu"))
    raw = torch.zeros(1, len(grid.stride), 4)
    return grid, decode_boxes(raw, grid)


def test_cells_are_row_major_with_strides_ascending() -> None:
    grid, boxes = grid_and_cells()
    assert len(grid.stride) == 64 + 16 + 4
    assert grid.centre[1].tolist() == [12, 4] and grid.centre[64].tolist() == [8, 8]
    assert boxes[0, 0].tolist() == [0, 0, 8, 8]  # offsets and log sizes of zero: the cell itself
    levels = tuple(torch.full((1, 22, 64 // s, 64 // s), float(s)) for s in (8, 16, 32))
    assert torch.equal(flatten(levels)[0, :, 0], grid.stride)


def test_a_face_takes_cells_near_it_and_an_ignored_one_none() -> None:
    grid, boxes = grid_and_cells()
    faces = torch.tensor([[[8.0, 8, 40, 40], [48, 48, 56, 56]]])
    face = assign(torch.zeros(1, len(grid.stride)), boxes, grid, faces, torch.tensor([[True, False]]))[0]
    taken = grid.centre[face == 0]
    assert len(taken) >= 1 and ((taken - 24).abs() <= 16).all()
    assert not (face == 1).any()


def test_every_labelled_face_gets_a_cell() -> None:
    g = torch.Generator().manual_seed(5)
    grid = Grid.of(128, 128, torch.device("cpu"))
    centre = torch.tensor([[20.0, 20], [64, 20], [108, 20], [20, 80], [80, 90]])
    half = torch.tensor([[2.0, 3], [6, 7], [12, 15], [18, 20], [30, 36]])
    faces = torch.cat([centre - half, centre + half], 1)[None]
    boxes = decode_boxes(torch.randn(1, len(grid.stride), 4, generator=g) * 0.3, grid)
    logits = torch.randn(1, len(grid.stride), generator=g)
    face = assign(logits, boxes, grid, faces, torch.ones(1, 5, dtype=torch.bool))
    assert set(face.unique().tolist()) == {-1, 0, 1, 2, 3, 4}


ONES = LossOptions(score=1, box=1, points=1, rotation=1, quality=1)


def batch_of(box: list[float], ignore: bool = False, limit: float = float("inf"), confidence: float = 1.0) -> Batch:
    return Batch(
        torch.tensor([[box]]),
        torch.full((1, 1, 5, 2), 24.0),
        torch.eye(3).expand(1, 1, 3, 3),
        torch.full((1, 1), float("nan")),
        torch.full((1, 1), confidence),
        torch.full((1, 1), limit),
        torch.tensor([[not ignore]]),
        torch.tensor([[ignore]]),
        torch.tensor([0]),
    )


def test_an_ignored_region_costs_nothing_and_is_no_false_positive() -> None:
    losses = Losses(ONES)
    loud = tuple(torch.full((1, 22, 64 // s, 64 // s), 3.0) for s in (8, 16, 32))
    total, terms = losses(loud, batch_of([-50.0, -50, 200, 200], ignore=True))
    assert total.item() == 0 and terms["score"] == 0 and losses.false_positives.tolist() == [0]
    total, _ = losses(loud, batch_of([10.0, 10, 20, 20], ignore=True))
    assert total.item() > 0 and losses.false_positives.item() == pytest.approx(1 / (1 + math.exp(-3)))


def test_a_region_of_small_faces_ignores_low_finds_alone() -> None:
    """Raw boxes of zeros are as high as the stride of their cell: 8, 16 and 32 pixels."""
    losses = Losses(ONES)
    loud = tuple(torch.zeros(1, 22, 64 // s, 64 // s) for s in (8, 16, 32))
    for level in loud:
        level[:, 0] = 3.0
    each = quality_focal(torch.tensor(3.0), torch.tensor(0.0)).item()
    for limit, background in ((8.0, 64 + 16 + 4), (16.0, 16 + 4), (32.0, 4), (33.0, 0)):
        _, terms = losses(loud, batch_of([0.0, 0, 64, 64], ignore=True, limit=limit))
        assert terms["score"].item() == pytest.approx(each * background, rel=1e-4), limit


def test_a_doubtful_face_pulls_less() -> None:
    losses = Losses(ONES)
    outputs = tuple(torch.zeros(1, 22, 64 // s, 64 // s) for s in (8, 16, 32))
    sure, doubtful = (losses(outputs, batch_of([8.0, 8, 40, 40], confidence=c))[1] for c in (1.0, 0.25))
    assert doubtful["box"].item() == pytest.approx(sure["box"].item() / 4)
    assert 0 < doubtful["score"] < sure["score"]


def test_unknown_labels_cost_nothing() -> None:
    losses = Losses(ONES)
    outputs = tuple(torch.zeros(1, 22, 64 // s, 64 // s) for s in (8, 16, 32))
    batch = batch_of([8.0, 8, 40, 40])
    batch.points[:] = float("nan")
    batch.rotation = batch.rotation * float("nan")
    total, terms = losses(outputs, batch)
    assert terms["points"] == terms["rotation"] == terms["quality"] == 0 and math.isfinite(total.item())


def test_a_student_learns_one_face() -> None:
    torch.manual_seed(0)
    model = build_student("edgeface-n").train()
    losses = Losses(LossOptions(score=1, box=2, points=8, rotation=2, quality=0.5))
    x = torch.randn(2, 3, 64, 64)
    one = batch_of([8.0, 8, 40, 40])
    batch = Batch(*(torch.cat([v, v]) for v in vars(one).values()))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    values = []
    for _ in range(40):
        total, _ = losses(model(x), batch)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < values[0] / 2


def test_folding_batch_norm_changes_nothing() -> None:
    torch.manual_seed(1)
    model = build_student("edgeface-n")
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    model.eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = model(x)
        after = fuse(model)(x)
    for a, b in zip(before, after, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_everything_learns_after_folding() -> None:
    """PyTorch's own folding freezes the biases that it makes."""
    model = fuse(build_student("edgeface-n")).train()
    sum(level.square().sum() for level in model(torch.rand(2, 3, 64, 64))).backward()  # type: ignore[union-attr]
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max()]
    assert not still


@pytest.mark.parametrize("folded", [False, True])
def test_checkpoints_come_back(tmp_path, folded: bool) -> None:  # type: ignore[no-untyped-def]
    model = build_student("edgeface-n").eval()
    if folded:
        fuse(model)
    torch.save(checkpoint_of(model, step=3), tmp_path / "ema.pt")
    again = load_student(tmp_path / "ema.pt")
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(model(x), again(x), strict=True))
    torch.save({"something": 1}, tmp_path / "else.pt")
    with pytest.raises(ValueError, match="must be a student's checkpoint"):
        load_student(tmp_path / "else.pt")


def test_schedule_warms_up_and_ends_low() -> None:
    assert learning_rate(0, 100, 1.0, 10, 0.01) == pytest.approx(0.1)
    assert learning_rate(10, 100, 1.0, 10, 0.01) == pytest.approx(1.0)
    assert learning_rate(100, 100, 1.0, 10, 0.01) == pytest.approx(0.01)
    assert learning_rate(55, 100, 1.0, 10, 0.01) == pytest.approx(0.505)
    assert learning_rate(70, 100, 1.0, 10, 0.01, decay=1 / 3) == 1.0
    assert learning_rate(85, 100, 1.0, 10, 0.01, decay=1 / 3) == pytest.approx(0.505)


def test_ema_follows_and_forgets() -> None:
    model = build_student("edgeface-n")
    ema = Ema(model, 0.5)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
    for _ in range(40):
        ema.update(model)
    assert all(np.allclose(p.detach().numpy(), 1, atol=1e-4) for p in ema.model.parameters())
