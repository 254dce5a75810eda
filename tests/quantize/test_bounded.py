"""A first layer whose values end at 6, in every form that the network takes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from torch import nn  # noqa: E402

from quantize.compress.bounded_stem import BOUND, bound_stem  # noqa: E402
from quantize.compress.calibration import as_real  # noqa: E402
from quantize.models import Student, build_student, checkpoint_of, fuse, load_student# noqa: E402
from quantize.export.onnx import export_float, quantize_onnx  # noqa: E402
from quantize.compress.accuracy import layer_report  # noqa: E402


@pytest.fixture(params=["n", "s", "thinned"])
def model(request: pytest.FixtureRequest) -> Student:
    torch.manual_seed(1)
    return fuse(build_student(request.param))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (5, 64, 96, 3), dtype=np.uint8)


def stem(model: Student, images: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        value: torch.Tensor = model.stem[0](torch.from_numpy(as_real(images)))
    return value


def test_all_but_the_rarest_values_stay(model: Student, images: np.ndarray) -> None:
    before = stem(model, images)
    after = stem(bound_stem(copy.deepcopy(model), images, 95), images)
    for b, a in zip(before.transpose(0, 1), after.transpose(0, 1), strict=True):
        kept = a < BOUND
        assert 0.03 < 1 - kept.float().mean() < 0.07  # measured on a quarter of them
        factor = float(a[kept].sum() / b[kept].sum())
        assert torch.allclose(a, (b * factor).clamp(max=BOUND), atol=1e-4)


def test_a_channel_that_rarely_speaks_is_still_heard(model: Student, images: np.ndarray) -> None:
    """And one that never does gets no endless weights."""
    with torch.no_grad():
        largest = stem(model, images).amax((0, 2, 3))
        model.stem[0][0].bias[0] -= 0.7 * largest[0]
        model.stem[0][0].bias[1] -= 2 * largest[1]
    before = stem(model, images)
    rare = before[:, 0] > 0
    assert 0 < rare.float().mean() < 0.04 and float(before[:, 1].max()) == 0
    bounded = bound_stem(copy.deepcopy(model), images, 95)
    after = stem(bounded, images)[:, 0]
    assert float((after[rare] < BOUND).float().mean()) > 0.1  # not all of them end at once
    weight = bounded.stem[0][0].weight.detach()
    assert weight.isfinite().all() and float(weight.abs().max()) < 1e6


def test_what_is_not_cut_off_computes_the_same(model: Student, images: np.ndarray) -> None:
    bounded = bound_stem(copy.deepcopy(model), images, 99.9)
    dim = 128 + (images.astype(np.int16) - 128) // 8  # of contrasts that are never cut off
    with torch.no_grad():
        x = torch.from_numpy(as_real(dim.astype(np.uint8)))
        assert float(bounded.stem[0](x).max()) < BOUND
        for b, a in zip(model(x), bounded(x), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_a_hundred_percent_leaves_all_as_it_is(model: Student, images: np.ndarray) -> None:
    before = copy.deepcopy(model)
    assert bound_stem(model, images, 100) is model
    assert isinstance(model.stem[0][2], nn.ReLU) and not model.config.bounded
    assert all(torch.equal(v, before.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_checkpoint_keeps_the_bound(model: Student, images: np.ndarray, tmp_path: Path) -> None:
    bounded = bound_stem(model, images, 90)
    torch.save(checkpoint_of(bounded), tmp_path / "bounded.pt")
    again = load_student(tmp_path / "bounded.pt")
    assert again.config == bounded.config
    with torch.no_grad():
        x = torch.from_numpy(as_real(images))
        assert all(torch.equal(a, b) for a, b in zip(again(x), bounded(x), strict=True))


def test_int8_ends_where_the_layer_does(images: np.ndarray, tmp_path: Path) -> None:
    """ONNX Runtime's file keeps no operator for it: the first result's 255 steps are those from 0 to 6."""
    torch.manual_seed(1)
    export_float(bound_stem(fuse(build_student("n")), images, 90), tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", [images])
    graph = onnx.load(tmp_path / "int8.onnx").graph
    assert not {n.op_type for n in graph.node} & {"Clip", "Relu"}
    values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    first = next(n for n in graph.node if n.op_type == "Conv")
    rounding = next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == first.output[0])
    scale, zero = (values[name] for name in rounding.input[1:])
    assert float(scale) * 255 == pytest.approx(BOUND, rel=1e-3) and int(zero) == 0


def test_the_layer_report_measures_behind_the_bound(images: np.ndarray, tmp_path: Path) -> None:
    """What the float network cuts off by ReLU6 int8 cuts off by its range: that is no error of rounding."""
    torch.manual_seed(1)
    model = bound_stem(fuse(build_student("n")), images, 50)
    export_float(model, tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", [images])
    rows = layer_report(model, tmp_path / "float.onnx", tmp_path / "int8.onnx", images)
    assert next(r["result_db"] for r in rows if r["layer"] == "stem.0.0") > 30


def test_what_cannot_be_bounded_is_refused(images: np.ndarray) -> None:
    model = fuse(build_student("n"))
    for percentile in (0, -1, 100.5):
        with pytest.raises(ValueError, match="percentile must be above 0 and at most 100"):
            bound_stem(model, images, percentile)
    with pytest.raises(ValueError, match="batch norm folded"):
        bound_stem(build_student("n"), images, 99)
    with pytest.raises(ValueError, match="must be calibration photos"):
        bound_stem(model, images[:0], 99)
