"""Peers: networks of other people, on drawn networks that say known things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install -e '.[quantize]')")
pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.evaluate.peers import open_peer  # noqa: E402


def _constant(path: Path, shape: list[int], outputs: dict[str, np.ndarray[Any, Any]]) -> None:
    """A network that says the same of every picture."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value.astype(np.float32)))
        for name, value in outputs.items()
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    said = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(v.shape)) for n, v in outputs.items()]
    graph = helper.make_graph(nodes, "g", [given], said)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def _cells(stride: int) -> int:
    return (64 // stride) * (96 // stride)


def test_scrfd_by_hand(tmp_path: Path) -> None:
    """Of an input of 96x64 at stride 16, row 2 and column 3, the second anchor has a face."""
    outputs = {}
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        outputs |= {f"{kind}_{s}": np.zeros((2 * _cells(s), width)) for s in (8, 16, 32)}
    anchor = 2 * (2 * 6 + 3) + 1
    outputs["score_16"][anchor] = 0.9
    outputs["bbox_16"][anchor] = [1, 0.5, 1, 1.5]  # left, top, right, bottom in strides
    outputs["kps_16"][anchor] = [0, 0, 1, 0, 0, 1, 0, 2, 1, 2]
    _constant(tmp_path / "s.onnx", [1, 3, 64, 96], outputs)
    found = open_peer(f"scrfd:{tmp_path / 's.onnx'}", (96, 64), 0.02).detect(np.zeros((128, 192, 3), np.uint8))
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.boxes[0].tolist() == [64, 48, 128, 112]  # the photo is twice the input: (3·16 − 16) · 2 …
    assert found.landmarks is not None
    assert found.landmarks[0].tolist() == [[96, 64], [128, 64], [96, 96], [96, 128], [128, 128]]
    del outputs["kps_32"]
    _constant(tmp_path / "few.onnx", [1, 3, 64, 96], outputs)
    with pytest.raises(ValueError, match="must have nine outputs"):
        open_peer(f"scrfd:{tmp_path / 'few.onnx'}", (96, 64), 0.02)


def test_yunet_by_hand(tmp_path: Path) -> None:
    outputs = {}
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        outputs |= {f"{kind}_{s}": np.zeros((1, _cells(s), width)) for s in (8, 16, 32)}
    cell = 2 * 6 + 3
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.64, 1.0
    outputs["bbox_16"][0, cell] = [0.5, 0.5, np.log(2), np.log(3)]
    outputs["kps_16"][0, cell] = [0, 0, 1, 0, 0, 1, 0, 2, 1, 2]
    _constant(tmp_path / "y.onnx", [1, 3, 64, 96], outputs)
    found = open_peer(f"yunet:{tmp_path / 'y.onnx'}", (96, 64), 0.02).detect(np.zeros((128, 192, 3), np.uint8))
    assert found.scores.tolist() == pytest.approx([0.8])
    assert found.boxes[0].tolist() == pytest.approx([80, 32, 144, 128])  # centre (56, 40), size (32, 48), doubled
    assert found.landmarks is not None
    assert found.landmarks[0, 0].tolist() == [96, 64]


def test_unknown_peers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="peer must be ADAPTER:FILE with an adapter of yunet, scrfd, but got other:x"):
        open_peer("other:x", (96, 64), 0.1)
    with pytest.raises(FileNotFoundError):
        open_peer(f"scrfd:{tmp_path / 'none.onnx'}", (96, 64), 0.1)
