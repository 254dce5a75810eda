"""ncnn's files: read and written, int8 out of a QDQ network, levels that fit every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("ncnn", reason="ncnn is not installed")
pytest.importorskip("pnnx", reason="pnnx is not installed")

from edgeface.bundle import Bundle
from quantize.export import ncnn_files
from quantize.export.add_ncnn import add_ncnn, main
from quantize.export.ncnn import ConversionError, NcnnFiles, compare, convert_student
from quantize.export.ncnn_int8 import _may_overflow, convert_int8, convert_roughly
from quantize.export.qdq_layers import QuantisedConv, dequantised

MODELS = Path(__file__).parents[2] / "edgeface" / "models"


def conv(lowest: float = 0.0, value: int = 3, shape: tuple[int, ...] = (8, 8, 3, 3)) -> QuantisedConv:
    weights = np.full(shape, value, np.int8)
    return QuantisedConv(weights, np.full(shape[0], 0.5, np.float32), lowest, 6.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ONNX networks of edgeface-n."""
    folder = tmp_path_factory.mktemp("networks")
    found = {}
    for name, precision in (("edgeface-n", "int8"), ("edgeface-n-float32", "float32")):
        bundle = Bundle.open(MODELS / f"{name}.efm")
        model = bundle.select(("onnx",), None, precision)
        assert model is not None
        found[precision] = folder / model.file
        found[precision].write_bytes(bundle.read(model))
    return found


def test_what_is_written_is_read(files: dict[str, Path], tmp_path: Path) -> None:
    made = convert_student(files["float32"], tmp_path / "n", half=False)
    layers = ncnn_files.read(made.param.read_text())
    ncnn_files.read_weights(layers, made.bin.read_bytes())
    param, weights = ncnn_files.write(layers)
    assert weights == made.bin.read_bytes()
    assert [line.split() for line in param.splitlines()] == [
        line.split() for line in made.param.read_text().splitlines()
    ]
    with pytest.raises(ncnn_files.LayoutError, match=r"\.bin must be \d+ bytes long, but got"):
        ncnn_files.read_weights(layers, made.bin.read_bytes() + b"1234")
    with pytest.raises(ncnn_files.LayoutError, match=r"\.param must begin with 7767517"):
        ncnn_files.read("12")


def test_levels_fit_sizes_that_end_in_half_a_cell(files: dict[str, Path], tmp_path: Path) -> None:
    """`convert_student` compares at 320x240, 320x320 and 336x208; a network that fits one size only is refused."""
    made = convert_student(files["float32"], tmp_path / "n")
    compare(files["float32"], made, [(640, 480), (64, 48), (352, 352)])
    text = made.param.read_text()
    folded = tmp_path / "folded.param"
    enlarge = next(line for line in text.splitlines() if line.startswith("Interp"))
    kind, name, _, _, coarse, _, top, *_ = enlarge.split()
    folded.write_text(text.replace(enlarge, f"{kind} {name} 1 1 {coarse} {top} 0=1 1=2.0 2=2.0"))
    with pytest.raises(ConversionError, match="must compute what"):
        compare(files["float32"], NcnnFiles(folded, made.bin))


def test_int8_has_the_weights_and_ranges_of_the_qdq_network(files: dict[str, Path], tmp_path: Path) -> None:
    import onnx

    made = convert_int8(files["int8"], tmp_path / "n")
    _, convs = dequantised(onnx.load(files["int8"]))
    layers = [layer for layer in ncnn_files.read(made.param.read_text()) if layer.kind in ncnn_files.CONVOLUTIONS]
    assert all(layer.number(ncnn_files.INT8) for layer in layers)
    assert len(layers) == len(convs)
    data = made.bin.read_bytes()
    for one in convs:
        assert one.weights.tobytes() in data
        assert np.float32(127 / max(-one.lowest, one.highest)).tobytes() in data
    assert not any(layer.keys.get(ncnn_files.FEATURES) for layer in layers)  # Winograd cannot overflow in them


def test_winograd_goes_where_it_could_overflow() -> None:
    assert not _may_overflow(conv())
    assert _may_overflow(conv(value=127, shape=(8, 64, 3, 3)))
    # 24² · 127 · sum of weights < 2³¹: a sum of 29357 is too much
    assert not _may_overflow(conv(value=50, shape=(1, 587, 1, 1)))
    assert _may_overflow(conv(value=50, shape=(1, 588, 1, 1)))
    mixed = conv(value=50, shape=(1, 588, 1, 1))
    mixed.weights[0, ::2] *= -1
    assert not _may_overflow(mixed)
    assert _may_overflow(QuantisedConv(mixed.weights, mixed.weight_scales, -6.0, 6.0))


def test_a_range_from_zero_is_a_relu(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.array([[[[2]]]], np.int8), "w")
    constants = [
        weights,
        numpy_helper.from_array(np.float32(0.5), "ws"),
        numpy_helper.from_array(np.int8(0), "wz"),
        numpy_helper.from_array(np.float32(1 / 128), "xs"),
        numpy_helper.from_array(np.uint8(128), "xz"),
        numpy_helper.from_array(np.float32(0.1), "ys"),
        numpy_helper.from_array(np.uint8(0), "yz"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wr"]),
        helper.make_node("Conv", ["xr", "wr"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "ys", "yz"], ["y"]),
        helper.make_node("MaxPool", ["y"], ["p"], kernel_shape=[1, 1]),
    ]
    ends = [
        helper.make_tensor_value_info(name, kind, [1, 1, 2, 2])
        for name, kind in (("x", TensorProto.UINT8), ("p", TensorProto.FLOAT))
    ]
    network = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants), ir_version=9)
    real, (only,) = dequantised(network)
    assert [node.op_type for node in real.graph.node] == ["Conv", "Relu", "MaxPool"]
    assert real.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert (only.lowest, only.highest) == (-1.0, pytest.approx(127 / 128))
    np.testing.assert_array_equal(only.real, [[[[1.0]]]])


def test_rough_int8_has_the_layers_of_int8(files: dict[str, Path], tmp_path: Path) -> None:
    rough = convert_roughly(files["float32"], (320, 320), tmp_path / "rough")
    kinds = [(layer.kind, layer.number(ncnn_files.INT8) > 0) for layer in ncnn_files.read(rough.param.read_text())]
    assert {int8 for kind, int8 in kinds if kind in ncnn_files.CONVOLUTIONS} == {True}


def test_a_bundle_gets_new_files_and_keeps_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edgeface-n.efm"
    path.write_bytes((MODELS / "edgeface-n.efm").read_bytes())
    before = Bundle.open(path)
    add_ncnn(path, MODELS / "edgeface-n-float32.efm")
    after = Bundle.open(path)
    assert after.manifest == before.manifest
    assert after.files() == before.files()
    assert main([str(path), str(tmp_path / "nothing.efm")]) == 1
    assert "error: bundle must be a file or folder" in capsys.readouterr().err
