"""Any float ONNX network: int8 with a scale for each channel, a report by layer, the user's own metric."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install -e '.[quantize]')")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.compress.any_onnx import compress_onnx, image_input, metric_of  # noqa: E402
from quantize.compress.control import BudgetError  # noqa: E402

METRIC = '''
import numpy as np
import onnxruntime as ort

def near_float(path):
    """1 for what the float network says of a fixed picture, less by what differs."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(5).uniform(0, 1, (1, 3, 24, 32)).astype(np.float32)
    return 1 - float(np.abs(session.run(None, {session.get_inputs()[0].name: x})[0] - np.load("wanted.npy")).mean())

number = 3
'''


def _network(path: Path, open_size: bool = False) -> None:
    """Two convolutions and a matrix. One weight of each channel of ``wide`` is a thousand times the others: eight bits
    of one scale a channel leave nothing of the rest."""
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    wide = rng.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32)
    wide[:, 0, 0, 0] = 300
    matrix = rng.normal(0, 0.3, (8, 4)).astype(np.float32)
    weights = {"w1": first, "w2": wide, "w3": matrix}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "wide", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "pool"),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("MatMul", ["e", "w3"], ["y"], "matrix"),
    ]
    shape = [1, 3, "h", "w"] if open_size else [1, 3, 24, 32]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(1)
    (root / "photos" / "more").mkdir(parents=True)
    for i in range(6):
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (64, 48))
        assert cv2.imwrite(str(root / "photos" / ("more" if i % 2 else "") / f"{i}.png"), image)
    (root / "photos" / "no.jpg").write_bytes(b"no photo")
    _network(root / "net.onnx")
    return root


def test_int8_and_a_report_by_layer(folder: Path) -> None:
    result = compress_onnx(folder / "net.onnx", folder / "photos", folder / "plain")
    assert (result["photos"], result["layers"], result["float_layers"]) == (6, 3, [])
    graph = onnx.load(folder / "plain" / "int8.onnx").graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for name, channels in (("w1", 8), ("w2", 8), ("w3", 4)):
        assert stored[f"{name}_quantized"].dtype == np.int8
        assert stored[f"{name}_scale"].shape == (channels,)
    rows = json.loads((folder / "plain" / "layers.json").read_text())
    assert [r["alone_db"] for r in rows] == sorted(r["alone_db"] for r in rows)
    by_layer = {r["layer"]: r for r in rows}
    assert set(by_layer) == {"first", "wide", "matrix"}
    assert by_layer["wide"]["parameters"] == 8 * 8 * 9
    assert by_layer["first"]["weight_db"] > 35
    assert "| first | Conv | 216 |" in (folder / "plain" / "layers.md").read_text()
    sessions = [ort.InferenceSession(str(p)) for p in (folder / "net.onnx", folder / "plain" / "int8.onnx")]
    image = image_input(folder / "net.onnx").tensor(folder / "photos" / "0.png")
    full, int8 = (s.run(None, {"x": image})[0] for s in sessions)
    noise = 10 * np.log10(np.square(full).sum() / np.square(full - int8).sum())
    assert noise == pytest.approx(result["output_db"], abs=12) and noise > 10


def test_accuracy_control_by_the_users_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "own_metric.py").write_text(METRIC)
    session = ort.InferenceSession(str(folder / "net.onnx"))
    x = np.random.default_rng(5).uniform(0, 1, (1, 3, 24, 32)).astype(np.float32)
    np.save(folder / "wanted.npy", session.run(None, {"x": x})[0])
    free = compress_onnx(
        folder / "net.onnx", folder / "photos", folder / "free", metric="own_metric:near_float", most_loss=1e9
    )
    assert free["float_layers"] == [] and free["metric"]["float"] == pytest.approx(1)
    lost = free["metric"]["float"] - free["metric"]["int8"]
    held = compress_onnx(
        folder / "net.onnx", folder / "photos", folder / "held", metric="own_metric:near_float", most_loss=lost / 2
    )
    worst = json.loads((folder / "held" / "layers.json").read_text())[0]["layer"]
    assert held["float_layers"][0] == worst
    assert held["metric"]["float"] - held["metric"]["int8"] <= lost / 2
    tries = json.loads((folder / "held" / "control.json").read_text())
    assert tries[0]["broken"] and not tries[-1]["broken"]
    with pytest.raises(BudgetError, match="metric must lose at most -1, but got"):
        compress_onnx(
            folder / "net.onnx",
            folder / "photos",
            folder / "never",
            metric="own_metric:near_float",
            most_loss=-1,
            most_float_layers=1,
        )
    for text, message in (
        ("own_metric", "must be MODULE:CALLABLE"),
        ("no_such_module:f", "a module that Python finds"),
        ("own_metric:number", "no such number"),
    ):
        with pytest.raises(ValueError, match=message):
            metric_of(text)


def test_what_cannot_be_quantised_is_named(folder: Path, tmp_path: Path) -> None:
    _network(tmp_path / "open.onnx", open_size=True)
    with pytest.raises(ValueError, match="say --size WxH"):
        image_input(tmp_path / "open.onnx")
    assert image_input(tmp_path / "open.onnx", (64, 32)).size == (64, 32)
    with pytest.raises(ValueError, match="must be that of the network, 32x24, but got 64x32"):
        image_input(folder / "net.onnx", (64, 32))
    (tmp_path / "bad.onnx").write_bytes(b"\x08not onnx")
    with pytest.raises(ValueError, match="must be an ONNX file"):
        image_input(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match="must be an ONNX file"):
        image_input(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="folder with readable photos"):
        compress_onnx(folder / "net.onnx", tmp_path, tmp_path / "out")


def test_the_input_by_hand(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 16, 3), (10, 20, 30), np.uint8))
    image = image_input(folder / "net.onnx", mean=(10, 10, 10), std=(2, 2, 2))
    tensor = image.tensor(tmp_path / "a.png")
    assert tensor is not None and tensor.shape == (1, 3, 24, 32)
    assert tensor[0, :, 0, 0].tolist() == [10, 5, 0]  # RGB
    assert tensor[0, :, 0, 31].tolist() == [-5, -5, -5]  # black beside the photo
