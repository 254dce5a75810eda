"""The int8 ONNX file takes bytes of any size and is the same for the same weights."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from quantize.compress.calibration import as_real  # noqa: E402
from quantize.compress.channel_scales import channel_scales, fold_scales  # noqa: E402
from quantize.compress.qdq import quantize_onnx  # noqa: E402
from quantize.models import Student  # noqa: E402
from quantize.models.onnx import convolutions, export_float  # noqa: E402


@pytest.mark.parametrize(
    ("float_outputs", "kept"), [(True, 0), (False, 0), (True, 1), (True, 4)], ids=["", "rounded", "first", "four float"]
)
def test_int8_network_takes_bytes_of_any_size(
    model: Student, images: np.ndarray, tmp_path: Path, float_outputs: bool, kept: int
) -> None:
    """Also where accuracy control has left the first layers in float."""
    folded = fold_scales(copy.deepcopy(model), channel_scales(model, images))
    export_float(folded, tmp_path / "f.onnx")
    keep = convolutions(tmp_path / "f.onnx")[:kept]
    quantize_onnx(tmp_path / "f.onnx", tmp_path / "q.onnx", [images], keep_float=keep, float_outputs=float_outputs)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(str(tmp_path / "q.onnx"), options)
    assert [(i.name, i.type) for i in session.get_inputs()] == [("image", "tensor(uint8)")]
    pixels = np.random.default_rng(1).integers(0, 256, (1, 240, 320, 3)).astype(np.uint8)
    outputs = session.run(None, {"image": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})
    assert [o.shape for o in outputs] == [(1, 22, 30, 40), (1, 22, 15, 20), (1, 22, 8, 10)]
    with torch.no_grad():
        real = folded(torch.from_numpy(as_real(pixels)))
    for o, r in zip(outputs, real, strict=True):
        assert o.dtype == np.float32
        assert np.abs(o - r.numpy().clip(-1, 1) if not float_outputs else o - r.numpy()).mean() < 0.1
    rounded = [len(np.unique(o)) <= 256 for o in outputs]
    assert all(rounded) != float_outputs


def test_the_same_weights_give_the_same_bytes(model: Student, images: np.ndarray, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_float(model, tmp_path / f"{name}.onnx")
        quantize_onnx(tmp_path / f"{name}.onnx", tmp_path / f"{name}8.onnx", [images])
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a8.onnx").read_bytes() == (tmp_path / "b8.onnx").read_bytes()
