"""Peers: networks of other people, on drawn networks that say known things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install -e '.[quantize]')")
pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from quantize.data.detections import Found  # noqa: E402
from quantize.evaluate.detectors import DetectorSpec  # noqa: E402
from quantize.evaluate.evaluation import evaluate  # noqa: E402
from quantize.evaluate.peers import OtherInputError, open_peer  # noqa: E402
from quantize.evaluate.peers.mediapipe import MediaPipePeer, anchors, averaged  # noqa: E402
from quantize.evaluate.trials import FolderSets, Trial  # noqa: E402


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


def test_mediapipe_by_hand() -> None:
    """Anchors lie at the centres of cells, two of each of 16x16, then six of each of 8x8."""
    places = anchors(128)
    assert places.shape == (896, 2)
    assert places[2 * (3 * 16 + 5)].tolist() == places[2 * (3 * 16 + 5) + 1].tolist() == [44, 28]
    assert places[512 + 6 * 9].tolist() == places[512 + 6 * 9 + 5].tolist() == [24, 24]
    assert anchors(192).shape == (2304, 2)
    assert anchors(192)[49].tolist() == [6, 6]
    boxes, scores = averaged(np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60.0]]), np.array([0.9, 0.3, 0.5]))
    np.testing.assert_allclose(boxes, [[0.5, 0, 10.5, 10], [50, 50, 60, 60]])  # weights of 3 and 1
    assert scores.tolist() == [0.9, 0.5]


@pytest.mark.parametrize("turned", [False, True])
def test_mediapipe_boxes_come_back_to_the_photo(monkeypatch: pytest.MonkeyPatch, turned: bool) -> None:
    """A photo of 256x128 fills the middle half of 128x128, at half its size."""
    peer = object.__new__(MediaPipePeer)
    peer.side, peer.shape = 128, np.array([0.0, 0.25, 0.5, 1.5])
    found = np.array([[32.0, 48, 64, 80]])
    monkeypatch.setattr(peer, "_raw", lambda canvas: (found[:, [1, 0, 3, 2]] if turned else found, np.array([0.75])))
    said = peer.detect(np.zeros((256, 128, 3) if turned else (128, 256, 3), np.uint8))
    box = np.array([64.0, 32, 128, 96])  # in the photo, before its shape
    box = box[[1, 0, 3, 2]] if turned else box
    middle, size = (box[:2] + box[2:]) / 2 + [0, 16], (box[2:] - box[:2]) * [0.5, 1.5]
    np.testing.assert_allclose(said.boxes, [[*(middle - size / 2), *(middle + size / 2)]])
    assert said.scores.tolist() == [0.75]


def test_unknown_peers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"peer must be .* of yunet, scrfd, mediapipe, but got other:x"):
        open_peer("other:x", (96, 64), 0.1)
    with pytest.raises(FileNotFoundError):
        open_peer(f"scrfd:{tmp_path / 'none.onnx'}", (96, 64), 0.1)
    with pytest.raises(FileNotFoundError):
        open_peer(f"mediapipe:{tmp_path / 'none.tflite'}", (128, 128), 0.1)


def test_a_peer_of_one_size_is_measured_where_a_trial_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        name, rule = "fixed", "letterbox 128x128"

        def detect(self, image: np.ndarray[Any, Any]) -> Found:
            return Found(np.array([[10.0, 10, 50, 50]]), np.array([0.9]))

    def opened(spec: DetectorSpec) -> Fixed:
        if spec.size != (128, 128):
            raise OtherInputError("the input of fixed must be 128x128")
        return Fixed()

    monkeypatch.setattr(DetectorSpec, "open", opened)
    folder = tmp_path / "wider"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((64, 64, 3), np.uint8))
    line = {"file": "a.png", "width": 64, "height": 64, "complete": True, "faces": [{"box": [10, 10, 50, 50]}]}
    (folder / "labels.jsonl").write_text(json.dumps(line))
    (tmp_path / "x.tflite").write_bytes(b"x")
    given = ([f"mediapipe:{tmp_path / 'x.tflite'}"], FolderSets(tmp_path), tmp_path / "out")
    small, fitting = Trial("wider", (64, 64)), Trial("wider", (128, 128))
    results = evaluate(*given, [small, fitting])
    assert [(r["rule"], r["ap_ge32"]) for r in results] == [("letterbox 128x128", 1.0)]
    with pytest.raises(OtherInputError, match="must be 128x128"):
        evaluate(*given, [small])
