"""Methods of papers and pieces of a recipe, by values worked out by hand."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.config import LossOptions  # noqa: E402
from quantize.data.sample import FaceLabel, Sample  # noqa: E402
from quantize.data.shape_model import ShapeModel  # noqa: E402
from quantize.label.entropy import (  # noqa: E402
    drop_doubtful,
    dropped_before,
    entropy,
    has_entropies,
    keep_entropies,
)
from quantize.models import build_student, fuse  # noqa: E402
from quantize.train.losses import Batch, Losses  # noqa: E402
from quantize.train.methods.kd_loss import TOLERANT, TOUGH, assistive, kd_points_loss, main  # noqa: E402
from quantize.train.methods.mos import Feedback  # noqa: E402
from quantize.train.methods.semiuhpe import hide  # noqa: E402
from quantize.train.precision import Float32Conv2d, prefer_bfloat16  # noqa: E402


def one(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.double)


@pytest.mark.parametrize(
    ("pred", "wanted"),
    [
        (1.5, 1.9 * 0.5),  # beyond the teacher's error of 1: pulled in
        (-1.5, 1.9 * 0.5),  # on the other side as well, the teacher's point reflected
        (0.5, -0.45 * 0.5),  # between: eased off
        (0.1, 0.0),  # within 15 %: left alone
    ],
)
def test_a_teachers_part_by_hand(pred: float, wanted: float) -> None:
    assert assistive(one(pred), one(0.0), one(1.0), TOUGH).item() == pytest.approx(wanted)


def test_the_labels_part_is_linear_then_quadratic_and_has_no_step() -> None:
    assert main(one(0.2), one(0.0), one(0.5)).item() == pytest.approx(0.6)
    assert main(one(0.7), one(0.0), one(0.5)).item() == pytest.approx(0.49 + 1.5 - 0.25)
    at = [main(one(0.5 + d), one(0.0), one(0.5)).item() for d in (-1e-9, 1e-9)]
    assert at[0] == pytest.approx(at[1], abs=1e-6)


def test_kd_loss_by_hand_and_its_gradient() -> None:
    truth = torch.zeros(1, 5, 2, dtype=torch.double)
    pred, soft, hard = truth + 20, truth + 10, truth + 5
    side = torch.tensor([100.0], dtype=torch.double)
    # normalised: error .2, tolerant .1, tough .05
    wanted = 2 * (0.04 + 0.3 - 0.01) + 1.9 * 0.15 + 1.8 * 0.1
    assert kd_points_loss(pred, truth, soft, hard, side).item() == pytest.approx(wanted)
    assert TOLERANT[0] < TOUGH[0]
    start = (pred + torch.rand(1, 5, 2, dtype=torch.double)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: kd_points_loss(x, truth, soft, hard, side), (start,), eps=1e-7, atol=1e-4)


def faces(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points that vary along one direction, plus a little noise, in boxes anywhere."""
    rng = np.random.default_rng(seed)
    base = np.array([[-0.2, -0.15], [0.2, -0.15], [0, 0.05], [-0.15, 0.25], [0.15, 0.25]])
    along = np.zeros((5, 2))
    along[2, 0] = 1.0
    x = base + rng.normal(0, 0.1, (n, 1, 1)) * along + rng.normal(0, 0.01, (n, 5, 2))
    centre, side = rng.uniform(50, 500, (n, 1, 2)), rng.uniform(20, 200, (n, 1, 1))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], 2)[:, 0]
    return x * side + centre, boxes


def test_a_shape_model_keeps_what_faces_share_and_drops_the_rest() -> None:
    points, boxes = faces(400)
    model = ShapeModel.fit(points, boxes, 0.85)
    assert len(model.limits) == 1  # the nose's way
    side = (boxes[:, 2] - boxes[:, 0])[:, None, None]
    smoothed = model.smooth(points, boxes)
    nose = ((smoothed - points) / side)[:, 2, 0]
    assert np.abs(nose).mean() < 0.01  # kept, but for the noise
    eyes = (smoothed / side - boxes[:, None, :2] / side)[:, :2]
    assert eyes.std(0).max() < 0.003  # dropped
    everything = ShapeModel.fit(points, boxes, 1.0).smooth(points, boxes)
    assert np.abs((everything - points) / side).mean() < 0.001  # but for what is clipped


@pytest.mark.parametrize(("count", "variance"), [(400, 0.0), (400, 1.1), (1, 0.9)])
def test_a_shape_model_refuses(count: int, variance: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        ShapeModel.fit(*faces(count), variance)


@given(
    st.lists(
        st.tuples(*(st.floats(-60, 160) for _ in range(2)), *(st.floats(0, 120) for _ in range(2))),
        max_size=4,
    ),
    st.integers(0, 2**31),
)
def test_hiding_stays_inside_the_faces(corners: list[tuple[float, ...]], seed: int) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in corners]).reshape(-1, 4)
    image = np.full((90, 100, 3), 7, np.uint8)
    rng = np.random.default_rng(seed)
    hidden = hide(image, boxes, 1.0, rng, lambda h, w: np.full((h, w, 3), 200, np.uint8))
    for y, x in np.argwhere((image != 7).any(2)):
        assert any(
            x1 - 1 <= x <= x2 and y1 - 1 <= y <= y2 for (x1, y1, x2, y2), h in zip(boxes, hidden, strict=True) if h
        )
    assert not hidden[(boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) < 24].any()


def test_nothing_is_hidden_where_the_share_is_zero() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    assert not hide(image, np.array([[0, 0, 50, 50.0]]), 0.0, np.random.default_rng(0), lambda h, w: image).any()
    assert not image.any()


def test_feedback_gives_back_what_it_was_given_once() -> None:
    feedback = Feedback(slots=2)
    assert not feedback.take_stitch()
    feedback.stitch_next()
    assert feedback.take_stitch() and not feedback.take_stitch()
    feedback.show_again([4, 5, 6])
    taken: list[int] = []
    until = time.monotonic() + 60
    while len(taken) < 3 and time.monotonic() < until:  # a queue hands over when its thread gets to it
        taken += feedback.take_again()
        time.sleep(0.01)
    assert taken == [4, 5, 6]


def test_the_share_of_small_faces_is_that_of_their_boxes() -> None:
    losses = Losses(LossOptions())
    outputs = tuple(torch.zeros(1, 22, 256 // s, 256 // s) for s in (8, 16, 32))

    def batch(*sides: float) -> Batch:
        box = torch.tensor([[[40.0 * i, 40.0 * i, 40.0 * i + s, 40.0 * i + s] for i, s in enumerate(sides)]])
        n = len(sides)
        nan = float("nan")
        return Batch(
            box,
            torch.full((1, n, 5, 2), nan),
            torch.full((1, n, 3, 3), nan),
            torch.full((1, n), nan),
            torch.ones(1, n),
            torch.full((1, n), float("inf")),
            torch.ones(1, n, dtype=torch.bool),
            torch.zeros(1, n, dtype=torch.bool),
            torch.tensor([0]),
        )

    losses(outputs, batch(10.0))  # .055 of 256 is 14 pixels
    assert float(losses.small_share) == pytest.approx(1)
    losses(outputs, batch(30.0))
    assert float(losses.small_share) == 0
    losses(outputs, batch(10.0, 30.0))
    assert 0 < float(losses.small_share) < 1


def test_bfloat16_keeps_names_and_nearly_the_answers() -> None:
    torch.manual_seed(2)
    model = fuse(build_student("edgeface-n"))
    names = list(model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        prefer_bfloat16(model)
        assert list(model.state_dict()) == names
        with torch.autocast("cpu", torch.bfloat16):
            after = model(x)
    assert sum(isinstance(m, Float32Conv2d) for m in model.modules()) == 3  # the heads
    for a, b in zip(before, after, strict=True):
        assert b.dtype == torch.float32 and not torch.equal(a, b)
        assert torch.allclose(a, b, atol=0.05)


def test_entropy_of_a_known_spread() -> None:
    # σ of one radian: the mean length of a normal vector in space is √(8/π) of it
    degrees = math.degrees(math.sqrt(8 / math.pi))
    assert entropy(degrees) == pytest.approx(1.5 * math.log(2 * math.pi * math.e))
    assert entropy(2) - entropy(1) == pytest.approx(3 * math.log(2))


def spread(source: str, degrees: float | None) -> Sample:
    """A photo of one head whose teachers lie so many degrees apart."""
    extra = {} if degrees is None else {"pose_spread": degrees}
    face = FaceLabel(np.array([0, 0, 9, 9], np.float32), None, np.eye(3, dtype=np.float32), extra=extra)
    return Sample(Path(f"{source}{degrees}.png"), 10, 10, [face], True, source)


def test_doubtful_rotations_are_dropped_by_set() -> None:
    wild = [spread("wild", s) for s in (1, 2, 3, 4, 50)]
    other = [spread("other", 60.0), spread("wild", None)]
    keep_entropies([*wild, *other], {})
    assert drop_doubtful([*wild, *other], {"wild": 0.75, "absent": 0.5}) == 1
    assert [s.faces[0].rotation is None for s in wild] == [False] * 4 + [True]
    assert all(s.faces[0].rotation is not None for s in other)
    with pytest.raises(ValueError, match="must be in 0 to 1"):
        drop_doubtful(wild, {"wild": 75})


def test_rotations_are_dropped_once_and_those_of_people_never() -> None:
    wild = [spread("wild", s) for s in (1, 2, 3, 4, 50)]
    plain = [s.to_json() for s in wild]
    keep_entropies(wild, {("wild", wild[-1].key): [True]})
    assert has_entropies(wild) and not dropped_before(wild)
    assert drop_doubtful(wild, {"wild": 0.5}) == 2  # of 1, 2, 3 and 4; 50 is a person's
    assert [s.faces[0].rotation is None for s in wild] == [False, False, True, True, False]
    assert not has_entropies(wild) and dropped_before(wild)
    assert drop_doubtful(wild, {"wild": 0.5}) == 0
    # to the last bit what an earlier version wrote
    assert [s.to_json() | {"faces": [f.to_json() | {"rotation": None} for f in s.faces]} for s in wild] == [
        p | {"faces": [f | {"rotation": None} for f in p["faces"]]} for p in plain
    ]
