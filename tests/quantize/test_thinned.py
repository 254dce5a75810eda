"""The students with YuNet's pyramid, of units and of dense convolutions: their outputs, in torch and in ONNX, and what
equalising leaves as it was.
"""

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from torch import nn  # noqa: E402

from quantize.calibration import as_real  # noqa: E402
from quantize.dense import Dense  # noqa: E402
from quantize.equalise import equalise  # noqa: E402
from quantize.model import (  # noqa: E402
    CHANNELS,
    ConvBNReLU,
    StudentConfig,
    build_student,
    checkpoint_of,
    fuse,
    grow,
    load_student,
    student_of,
)
from quantize.onnx_export import INPUT, export_float, quantize_onnx  # noqa: E402
from quantize.soup import mean  # noqa: E402
from quantize.thinned import Thinned, Unit  # noqa: E402


@pytest.fixture(params=["s", "thinned"])
def model(request: pytest.FixtureRequest) -> Thinned:
    torch.manual_seed(3)
    built = build_student(request.param)
    assert isinstance(built, Thinned) and isinstance(built, Dense) == (request.param == "s")
    return built.eval()


def test_outputs_are_those_of_every_student(model: Thinned) -> None:
    with torch.no_grad():
        for height, width in ((64, 96), (240, 320), (48, 80)):
            ours, others = (m(torch.zeros(1, 3, height, width)) for m in (model, build_student("n").eval()))
            assert [o.shape for o in ours] == [o.shape for o in others]
            assert all(o.shape[1] == CHANNELS for o in ours)
        for student in (model, build_student("n").eval()):
            levels = student.backbone(torch.zeros(1, 3, 64, 64))
            assert student.backbone_widths == tuple(level.shape[1] for level in levels)


def test_what_goes_in_keeps_its_size_without_batch_norm(model: Thinned) -> None:
    """Else it would not learn from noise with batch norm folded."""
    with torch.no_grad():
        levels = fuse(model).pyramid(torch.randn(2, 3, 128, 128))
    assert all(0.05 < float(level.std()) < 20 for level in levels)


def test_a_checkpoint_comes_back(model: Thinned, tmp_path: Path) -> None:
    torch.save(checkpoint_of(fuse(model)), tmp_path / "t.pt")
    again = load_student(tmp_path / "t.pt")
    x = torch.randn(1, 3, 64, 64)
    assert type(again) is type(model) and again.config == model.config
    assert all(torch.equal(a, b) for a, b in zip(model(x), again(x), strict=True))


def test_only_the_branch_grows_and_means_stay_of_its_kind(model: Thinned) -> None:
    x = torch.randn(1, 3, 64, 64)
    before = model(x)
    at8, at16, branch = model.config.depths
    deeper = (at8, at16, branch + 1)
    grown = grow(copy.deepcopy(model), deeper)
    assert all(torch.equal(a, b) for a, b in zip(before, grown.eval()(x), strict=True))
    with pytest.raises(ValueError, match="depths must begin with"):
        grow(model, (at8 + 1, at16, branch))
    assert mean([copy.deepcopy(model), grown]).config.depths == deeper
    with pytest.raises(ValueError, match="models of one kind"):
        mean([model, build_student("separable")])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (StudentConfig(trunk="yunet"), r"must begin with 64, 64 and \(3, 2\)"),
        (StudentConfig(widths=(64, 64, 96), depths=(3, 2, 1), neck=32, trunk="yunet"), "neck be 64, but got"),
        (StudentConfig(widths=(64, 64, 160), depths=(3, 2, 3), trunk="dense"), r"must begin with 64, 64 and \(2, 2\)"),
        (StudentConfig(trunk="resnet"), "trunk must be separable, yunet or dense, but got 'resnet'"),
    ],
)
def test_other_shapes_are_refused(config: StudentConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        student_of(config)


def test_every_unit_is_in_a_chain(model: Thinned) -> None:
    """That nothing else reads a chain's convolutions shows where they are equalised, below."""
    chains = model.chains()
    alone = {id(model.join32)}
    assert {id(c) for chain in chains for c in chain} == {
        id(c) for c in model.modules() if isinstance(c, ConvBNReLU)
    } - alone
    for first, second in (pair for chain in chains for pair in pairwise(chain)):
        conv = second[0]
        assert isinstance(conv, nn.Conv2d)
        assert first[0].out_channels == conv.in_channels  # type: ignore[union-attr]


def test_onnx_pools_odd_sides_as_torch_does(model: Thinned, tmp_path: Path) -> None:
    """240 rows are 15 of stride 16, and 8 of stride 32: float and int8, at another size than the exporter's own."""
    model = fuse(model)  # type: ignore[assignment]
    images = np.random.default_rng(2).integers(0, 256, (2, 240, 320, 3), np.uint8)
    export_float(model, tmp_path / "f.onnx")
    quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [images], percentile=None)
    pixels = np.ascontiguousarray(images[:1].transpose(0, 3, 1, 2))
    with torch.no_grad():
        wanted = [o.numpy() for o in model(torch.from_numpy(as_real(images[:1])))]
    for name, x, share in (("f", as_real(images[:1]), 1e-4), ("q", pixels, 0.3)):
        options = ort.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")  # without VNNI sums of int8 saturate else
        got = ort.InferenceSession(tmp_path / f"{name}.onnx", options).run(None, {INPUT: x})
        for a, b in zip(got, wanted, strict=True):
            assert np.asarray(a).shape == b.shape
            assert np.abs(a - b).mean() < share * np.abs(b - b.mean((2, 3), keepdims=True)).mean()


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_equalised_channels_compute_the_same(model: Thinned, strength: float) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), np.uint8)
    even = equalise(copy.deepcopy(fuse(model)), images, strength)
    x = torch.from_numpy((images.astype(np.float32) - 128) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        for a, b in zip(model(x), even(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)

        def spread(m: Thinned) -> float:
            """Of the largest values of channels between two convolutions of a chain."""
            before, after = m.stage8[0](m.stem(x)), m.stage8[1]
            largest = (after.pointwise if isinstance(after, Unit) else after)(before).abs().amax((0, 2, 3))
            return float(largest.max() / largest.median())

        assert spread(even) < spread(model)
        if strength == 1.0:
            assert spread(even) == pytest.approx(1, rel=1e-3)
