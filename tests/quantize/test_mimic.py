"""The detector that a student mimics: by hand, in training that is resumed, and gone from the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from interrupted import cut_off
from numpy.typing import NDArray
from synthetic import drawn_detector, write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
onnx = pytest.importorskip("onnx", reason="the toolchain's extra is not installed")

from quantize.config import LossOptions, MimicOptions, Recipe, checked  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.label.network import Network  # noqa: E402
from quantize.label.step import label  # noqa: E402
from quantize.models import STRIDES, build_student, load_student  # noqa: E402
from quantize.run import Run  # noqa: E402
from quantize.train.assignment import Grid  # noqa: E402
from quantize.train.loop import Trainer  # noqa: E402
from quantize.train.losses import Batch, Losses  # noqa: E402
from quantize.train.methods.mimic import Detector, Look, Mimic, answers_apart  # noqa: E402

YUNET = Path(__file__).parents[3] / "shared" / "teachers" / "yunet_n_dynamic.onnx"


def batch_of(real: bool, ignore: bool) -> Batch:
    nan = float("nan")
    return Batch(
        torch.tensor([[[8.0, 8, 24, 24]]]),
        torch.full((1, 1, 5, 2), nan),
        torch.full((1, 1, 3, 3), nan),
        torch.full((1, 1), nan),
        torch.ones(1, 1),
        torch.full((1, 1), float("inf")),
        torch.tensor([[real]]),
        torch.tensor([[ignore]]),
        torch.tensor([0]),
    )


def test_the_detector_is_shown_bgr_from_0_to_255(tmp_path: Path) -> None:
    path = drawn_detector(tmp_path / "drawn.onnx")
    view: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (64, 96, 3)).astype(np.uint8)  # BGR
    x = (torch.from_numpy(view[..., ::-1].copy()).permute(2, 0, 1)[None].float() - 128) / 128
    look = Detector(path)(x.contiguous(memory_format=torch.channels_last))
    told = Network(path)(view)
    wanted = [np.sqrt(told[f"cls_{s}"] * told[f"obj_{s}"]).ravel() for s in STRIDES]
    np.testing.assert_allclose(look.score[0].numpy(), np.concatenate(wanted), rtol=1e-5)
    assert [tuple(t.shape) for t in (*look.hints, *look.features)] == [
        (1, 64, 64 // s, 96 // s) for s in (*STRIDES, *STRIDES)
    ]


@pytest.mark.skipif(not YUNET.exists(), reason="the teachers' weights are not beside the repository")
def test_yunet_has_these_levels() -> None:
    look = Detector(YUNET)(torch.zeros(2, 3, 64, 96))
    levels = [*look.hints, *look.features]
    assert [tuple(t.shape) for t in levels] == [(2, 64, 64 // s, 96 // s) for s in (*STRIDES, *STRIDES)]
    assert min(float(t.min()) for t in levels) == 0, "they end in ReLU"
    assert look.score.shape == (2, 126)


def test_another_network_is_an_error(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", info[:1], info[1:])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"must be yunet_n_dynamic\.onnx, but lacks 241"):
        Detector(tmp_path / "other.onnx")


def test_answers_are_silent_where_labels_have_no_face_and_say_nothing_where_they_leave_it_open() -> None:
    grid = Grid.of(64, 64, torch.device("cpu"))
    score = torch.full((1, 84), 0.8)
    at_score = torch.full((1, 84), 0.8).logit()
    nowhere = batch_of(real=False, ignore=False)
    assert answers_apart(at_score, score, nowhere, grid) > 1, "what the detector says of background is its mistake"
    assert answers_apart(torch.full((1, 84), -20.0), score, nowhere, grid) == pytest.approx(0, abs=1e-6)
    face, open_place = batch_of(real=True, ignore=False), batch_of(real=False, ignore=True)
    # cells by the box's middle: one that a face may have, and one beyond every face
    near, far = 1 + 8, 63
    for batch, cell, slope in ((face, near, 0), (face, far, 1), (open_place, near, 0), (open_place, far, 1)):
        logits = at_score.clone().requires_grad_()
        answers_apart(logits, score, batch, grid).backward()
        assert logits.grad is not None
        assert bool(logits.grad[0, cell].abs() > 1e-6) == bool(slope)


def test_a_student_learns_through_its_features_and_less_as_the_weight_falls() -> None:
    torch.manual_seed(0)
    student = build_student("edgeface-n").train()
    mimic = Mimic(student, MimicOptions(hints=2, features=3, answers=5))
    mimic.watch(student)
    zero = LossOptions(score=0, box=0, points=0, rotation=0, quality=0)
    losses = Losses(zero, mimic=mimic)
    levels = [torch.rand(1, 64, 64 // s, 64 // s) for s in (*STRIDES, *STRIDES)]
    look = Look(levels[:3], levels[3:], torch.full((1, 84), 0.1))
    outputs = student(torch.randn(1, 3, 64, 64))
    total, terms = losses(outputs, batch_of(real=True, ignore=False), look=look)
    assert total.item() == pytest.approx(
        2 * terms["hints"].item() + 3 * terms["features"].item() + 5 * terms["answers"].item(), rel=1e-5
    )
    less, _ = losses(outputs, batch_of(real=True, ignore=False), look=look, mimicry=0.25)
    assert less.item() == pytest.approx(total.item() / 4, rel=1e-5)
    total.backward()
    first = next(student.parameters()).grad
    assert first is not None and first.abs().max() > 0
    for adapter in mimic.adapters:  # of a student that says nothing each level is 1 away
        torch.nn.init.zeros_(adapter.weight)
        torch.nn.init.zeros_(adapter.bias)
    _, terms = losses(student(torch.randn(1, 3, 64, 64)), batch_of(real=True, ignore=False), look=look)
    assert terms["hints"].item() == pytest.approx(1) == terms["features"].item()


def recipe(root: Path) -> Recipe:
    return checked(
        {
            "name": "drawn",
            "run": str(root / "run"),
            "data": {"sets": [{"name": "drawn", "reader": "jsonl", "path": str(root / "drawn")}], "dev_share": 0.25},
            "model": {"architecture": "edgeface-n"},
            "train": {
                "precision": "float32",
                "checkpoint_minutes": 1e-9,
                "mimic": {"detector": str(root / "detector.onnx")},
                "phases": [{"views": 12, "size": [64], "batch": [4]}],
            },
        }
    )


def test_a_run_goes_on_and_the_network_has_the_weights_that_it_has_without(tmp_path: Path) -> None:
    write_set(tmp_path / "drawn", 6, 1)
    drawn_detector(tmp_path / "detector.onnx")
    run = Run(recipe(tmp_path))
    data(run)
    label(run)
    packed = tmp_path / "run" / "label" / "pack"
    Trainer(recipe(tmp_path), packed, tmp_path / "whole", "cpu").train()

    with cut_off(lambda trainer: trainer.step == 2):
        Trainer(recipe(tmp_path), packed, tmp_path / "cut", "cpu").train()
    again = Trainer(recipe(tmp_path), packed, tmp_path / "cut", "cpu")
    assert again.step == 2
    again.train()
    one, two = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "cut"))
    for part in ("model", "ema", "losses"):
        assert all(torch.equal(one[part][k], two[part][k]) for k in one[part]), part
    assert {f"mimic.adapters.{i}.weight" for i in range(6)} < set(one["losses"])
    network = load_student(tmp_path / "whole" / "ema.pt")
    assert list(network.state_dict()) == list(build_student("edgeface-n").state_dict())
