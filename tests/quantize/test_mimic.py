"""YuNet in PyTorch against its own ONNX file, the losses by hand, and who learns from them when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.config import ConfigError  # noqa: E402
from quantize.model import Student, build_student  # noqa: E402
from quantize.teachers import YuNet  # noqa: E402
from quantize.teachers.yunet_layers import YuNetLayers  # noqa: E402
from quantize.train.enlarged import enlarged_answers, score_of  # noqa: E402
from quantize.train.loop import Trainer  # noqa: E402
from quantize.train.losses import Batch  # noqa: E402
from quantize.train.mimic import Mimic, answers_apart, boxes_apart, features_apart, heads_apart, silenced  # noqa: E402

TEACHERS = Path(__file__).parents[2] / ".." / "shared" / "teachers"
YUNET = TEACHERS / "yunet_n_dynamic.onnx"
shared = pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")


def test_features_apart_by_hand() -> None:
    teacher = torch.tensor([1.0, 2.0])
    assert features_apart([torch.zeros(2)], [teacher]).item() == pytest.approx(1)
    assert features_apart([torch.tensor([1.0, 1.0])], [teacher]).item() == pytest.approx(1 / 5)
    assert features_apart([torch.zeros(2), teacher], [teacher, teacher]).item() == pytest.approx(1 / 2)


def test_heads_apart_by_hand() -> None:
    """One cell that the teacher is half sure of (cls and obj .5), one that it holds for nothing."""
    teacher = torch.zeros(1, 2, 16)
    teacher[0, 1, :2] = -30.0
    assert heads_apart(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    student = teacher.clone()
    student[0, 0, 2:6] = 0.2  # beyond beta of .1: .2 − .05, times the cell's score, over a sum that counts as 1
    assert heads_apart(student, teacher).item() == pytest.approx(0.15 * 0.5, abs=1e-6)
    student = teacher.clone()
    student[0, 1, 1] = 0.0  # obj .5 instead of 0: .5² · ln 2 over a sum that counts as 1
    assert heads_apart(student, teacher).item() == pytest.approx(0.25 * np.log(2), abs=1e-5)
    student = teacher.clone()
    student[0, 1, 0] = 5.0  # cls where obj is 0 says nothing
    assert heads_apart(student, teacher).item() == pytest.approx(0, abs=1e-6)


def test_answers_apart_by_hand() -> None:
    """One cell that the teacher is half sure of (cls and obj .5), one that it holds for nothing."""
    teacher = torch.zeros(1, 2, 16)
    teacher[0, 1, :2] = -30.0
    student = torch.zeros(1, 2, 22)
    student[0, 1, 0] = -30.0
    student[0, 0, 2:4] = -0.5  # the centre of a box on a cell's corner, seen from the middle of the cell
    assert answers_apart(student, teacher).item() == pytest.approx(0, abs=1e-6)
    for channels, value, wanted in (
        (slice(2, 4), 0.0, 0.5 * (0.5 - 0.05) * 0.5),  # two of four off by .5, beyond beta of .1, times the score
        (slice(0, 1), 30.0, 0.25 * 30 * 0.5),  # score 1 instead of .5: .5² · 30 / 2
        (slice(1, 2), 9.0, 0.0),  # quality, points and rotation are not the detector's
        (slice(6, 22), 9.0, 0.0),
    ):
        other = student.clone()
        other[0, 0, channels] = value
        assert answers_apart(other, teacher).item() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("loss", "channels"),
    [(lambda s, t: features_apart([s], [t]), 16), (heads_apart, 16), (answers_apart, 22), (boxes_apart, 22)],
)
def test_gradients(loss: object, channels: int) -> None:
    g = torch.Generator().manual_seed(5)
    student = torch.rand(1, 3, channels, generator=g, dtype=torch.double)
    teacher = torch.rand(1, 3, 16, generator=g, dtype=torch.double) * 2
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), (student.requires_grad_(),), eps=1e-7, atol=1e-4)  # type: ignore[operator]


@shared
def test_the_module_is_the_onnx_file() -> None:
    yunet = YuNet(TEACHERS)
    image = np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8)
    out = yunet.session.run(None, {yunet.input: image.astype(np.float32).transpose(2, 0, 1)[None]})
    named = dict(zip(yunet.outputs, map(np.asarray, out), strict=True))
    network = YuNetLayers(YUNET)
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    raw = network.predict(network.pyramid((rgb - 128) / 128))[0]
    assert not raw.requires_grad
    parts = {"cls": raw[:, :1].sigmoid(), "obj": raw[:, 1:2].sigmoid(), "bbox": raw[:, 2:6], "kps": raw[:, 6:]}
    for name, part in parts.items():
        wanted = np.concatenate([named[f"{name}_{s}"].reshape(-1, part.shape[1]) for s in (8, 16, 32)])
        np.testing.assert_allclose(part.numpy(), wanted, atol=1e-4)


@shared
def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="must be YuNet n with 59 convolutions, but got"):
        YuNetLayers(TEACHERS / "fsanet-1x1-iter-688590.onnx")


def gradient(part: torch.nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)


@shared
@pytest.mark.parametrize(("name", "hints", "answers"), [("n", 0.0, 0.0), ("n", 1.0, 1.0), ("s", 1.0, 0.0)])
def test_the_student_learns_once_the_adapters_have(name: str, hints: float, answers: float) -> None:
    torch.manual_seed(1)
    student: Student = build_student(name)
    before = {k: v.clone() for k, v in student.state_dict().items()}
    mimic = Mimic(student, YUNET, {"hints": hints, "features": 1.0, "heads": 1.0, "answers": answers})
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())  # statistics of batch norm too
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    for attached in (False, True):
        mimic.zero_grad()
        mimic.attached = attached
        outputs, apart = mimic(x)
        assert all(torch.equal(a, b) for a, b in zip(outputs, student(x), strict=True))
        mimic.total(apart).backward()
        assert all(gradient(adapter) > 0 for adapter in mimic.helpers)
        assert len(mimic.helpers) == (6 if hints else 3)
        assert (gradient(student.stem) > 0) == attached
        assert (gradient(student.heads) > 0) == bool(attached and answers)  # else they learn from labels alone
    assert not any(p.requires_grad for p in mimic.detector.parameters())


@shared
def test_hints_are_of_the_backbone_and_begin_with_the_student_s_own_channels() -> None:
    """Nothing is apart from what it is adapted to: YuNet's features, given as if the student had them."""
    mimic = Mimic(build_student("s"), YUNET, {"hints": 3.0, "features": 2.0, "heads": 0.0, "answers": 0.0})
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    features = mimic.detector.features(x)
    levels = mimic.detector.neck(features)

    def apart(backbone: list[torch.Tensor], neck: list[torch.Tensor]) -> tuple[float, float, float]:
        mimic.student.backbone = lambda _: backbone  # type: ignore[method-assign,assignment,return-value]
        mimic.student.neck = lambda _: neck  # type: ignore[method-assign,assignment,return-value]
        parts = mimic(x)[1]
        return parts["hints"].item(), parts["features"].item(), mimic.total(parts).item()

    nothing = [torch.zeros_like(v) for v in levels]
    assert apart(features, levels) == pytest.approx((0, 0, 0), abs=1e-6)
    assert apart(features, nothing) == pytest.approx((0, 1, 2))
    assert apart([torch.zeros_like(v) for v in features], nothing) == pytest.approx((1, 1, 5))


@shared
def test_answers_may_be_those_to_the_view_enlarged() -> None:
    """They alone change: features, and what YuNet's heads make of them, are compared at the view's size."""
    weights = {"hints": 1.0, "features": 1.0, "heads": 1.0, "answers": 1.0}
    torch.manual_seed(3)
    student = build_student("s")
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    parts = []
    for enlarge in (False, True):
        torch.manual_seed(4)  # the adapters'
        mimic = Mimic(student, YUNET, weights, enlarge)
        mimic.attached = True
        plain, answers = mimic.look(x)[2:]
        wanted = enlarged_answers(mimic.detector, x, plain) if enlarge else plain
        assert torch.equal(answers, wanted)
        parts.append({name: value.item() for name, value in mimic(x)[1].items()})
    assert parts[0].pop("answers") != parts[1].pop("answers")
    assert parts[0] == pytest.approx(parts[1])


@shared
def test_answers_alone_need_no_adapters() -> None:
    """They are what they are beside the rest, the student learns from them alone, and at once."""
    torch.manual_seed(3)
    student = build_student("s")
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    nothing = {"hints": 0.0, "features": 0.0, "heads": 0.0}
    whole = Mimic(student, YUNET, {"hints": 1.0, "features": 1.0, "heads": 1.0, "answers": 2.0}, enlarge=True)
    alone = Mimic(student, YUNET, nothing | {"answers": 2.0}, enlarge=True)
    assert not list(alone.helpers)
    assert alone.total(alone(x)[1]).item() == 0  # not attached yet
    whole.attached = alone.attached = True
    outputs, apart = alone(x)
    assert list(apart) == ["answers"]
    boxes = Mimic(student, YUNET, nothing | {"answers": 2.0, "boxes": 1.0}, enlarge=True)
    boxes.attached = True
    assert list(boxes(x)[1]) == ["answers", "boxes"]
    assert apart["answers"].item() == pytest.approx(whole(x)[1]["answers"].item())
    assert all(torch.equal(a, b) for a, b in zip(outputs, student(x), strict=True))
    total = alone.total(apart)
    assert total.item() == pytest.approx(2 * apart["answers"].item())
    total.backward()
    assert gradient(student.stem) > 0 and gradient(student.heads) > 0


def test_silenced_answers_speak_of_labelled_places_alone() -> None:
    """A view of 64 x 32 px: 4 x 8 cells of stride 8, 2 x 4 of 16, 1 x 2 of 32. In the first view a face lies in the
    left half, a place that labels leave open in the right lower corner; of the second view's two boxes none is real.
    """
    rng = np.random.default_rng(1)
    answers = torch.from_numpy(rng.normal(size=(2, 42, 16)).astype(np.float32))
    box = torch.tensor([[[0.0, 0, 30, 32], [56, 24, 64, 32]]] * 2)
    real, ignore = torch.zeros(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
    real[0, 0] = ignore[0, 1] = True
    unknown = torch.full((2, 2, 1), float("nan"))
    batch = Batch(box, unknown, unknown, unknown[..., 0], real, ignore, torch.arange(2))
    before = answers.clone()
    after = silenced(answers, batch, 32, 64)
    fine, middle, coarse = np.full((4, 8), "empty"), np.full((2, 4), "empty"), np.full((1, 2), "face ")
    fine[:, :5], middle[:, :3] = "face ", "face "  # what lies up to 12, 24 and 48 px beside the box
    fine[2:, 6:], middle[:, 3] = "open ", "open "
    cells = np.r_[fine.ravel(), middle.ravel(), coarse.ravel()]
    assert torch.equal(answers, before), "what is kept for echoes must not change under them"
    assert torch.equal(after[0][cells == "face "], before[0][cells == "face "])
    score = score_of(after)
    assert score[0, cells == "open "].isnan().all()
    assert (score[0, cells == "empty"] < 0.0025).all() and (score[1] < 0.0025).all()
    assert torch.equal(after[..., 1:], before[..., 1:]), "boxes teach everywhere, and obj says how much"


def test_boxes_apart_by_hand() -> None:
    """Two confident cells, obj of .5 and .8, and one that is not; boxes of 2 x 4 and 1 x 1 strides."""
    teacher = torch.zeros(1, 3, 16)
    teacher[0, :, 0] = -30.0  # what is silenced, or open, teaches boxes all the same
    teacher[0, 1, 0] = float("nan")
    teacher[0, :, 1] = torch.tensor([0.0, np.log(4), -2.0])
    teacher[0, 0, 4:6] = torch.tensor([2.0, 4.0]).log()
    student = torch.zeros(1, 3, 22)
    student[0, :, 2:4] = -0.5
    student[0, 0, 4:6] = torch.tensor([2.0, 4.0]).log()
    assert boxes_apart(student, teacher).item() == pytest.approx(0, abs=1e-6)
    for cell, channel, off, wanted in (
        (0, 2, 1.0, (0.5 - 0.05) * 0.5),  # a stride is half the width: beyond beta of .1
        (0, 3, 1.0, (0.25 - 0.05) * 0.5),  # and a quarter of the height
        (1, 2, 1.0, (1.0 - 0.05) * 0.8),
        (1, 5, 0.3, (0.3 - 0.05) * 0.8),
        (2, 2, 1.0, 0.0),
    ):
        other = student.clone()
        other[0, cell, channel] += off
        assert boxes_apart(other, teacher).item() == pytest.approx(wanted / 4 / 1.3, abs=1e-5)


def test_what_is_left_open_pulls_at_no_score() -> None:
    teacher = torch.zeros(1, 2, 16)
    student = torch.zeros(1, 2, 22, requires_grad=True)
    with torch.no_grad():
        student[0, :, 2:4] = -0.5
    teacher[0, 1, :2] = float("nan")
    teacher[0, 0, :2] = 2.0
    apart = answers_apart(student, teacher)
    assert apart.item() == pytest.approx(answers_apart(student[:, :1], teacher[:, :1]).item()) and apart.item() > 0
    apart.backward()
    assert student.grad is not None and student.grad.isfinite().all()
    assert student.grad[0, 0, 0] != 0 and (student.grad[0, 1] == 0).all()


def test_silenced_answers_are_compared_alone(tmp_path: Path) -> None:
    weights = {"hints": 1.0, "features": 0.0, "heads": 0.0, "answers": 1.0}
    mimic = {"detector": str(YUNET), "alone": 0, "silent": True, **weights}
    with pytest.raises(ConfigError, match=r"mimic.silent goes with answers alone, but got \[mimic\] with hints"):
        Trainer({"phases": [], "mimic": mimic}, tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["mirror", "silent", "boxes"])
def test_what_is_made_of_answers_needs_them(name: str, tmp_path: Path) -> None:
    nothing = {"hints": 0.0, "features": 0.0, "heads": 0.0, "answers": 0.0}
    mimic = {"detector": str(YUNET), "alone": 0, name: 1, **nothing}
    with pytest.raises(ConfigError, match=rf"mimic.{name} needs mimic.answers, but got 0.0"):
        Trainer({"phases": [], "mimic": mimic}, tmp_path, tmp_path)


def test_half_a_table_is_an_error(tmp_path: Path) -> None:
    config = {"phases": [], "mimic": {"detector": str(YUNET), "head": 1.0}}
    with pytest.raises(
        ConfigError, match=r"must have alone, answers, detector, features, heads, hints, but got detector, head"
    ):
        Trainer(config, tmp_path, tmp_path)


def test_a_step_without_a_batch_is_an_error(tmp_path: Path) -> None:
    phase = {"size": 64, "batch": 1}
    with pytest.raises(ConfigError, match=r"phases.parts must be 1 or more, but got 0"):
        Trainer({"phases": [phase, phase | {"parts": 0}]}, tmp_path, tmp_path)
