"""Drawn faces with all their labels, so that the steps can run where there are no photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: Landmarks within a face of side 1, centre at the origin.
POINTS = np.array([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.05], [-0.15, 0.25], [0.15, 0.25]])


def draw_face(image: np.ndarray[Any, Any], centre: tuple[float, float], side: float) -> dict[str, Any]:
    """Draws an oval with eyes, nose and mouth; returns its label."""
    x, y = centre
    points = POINTS * side + [x, y]

    def at(p: Any) -> tuple[int, int]:
        return round(float(p[0])), round(float(p[1]))

    cv2.ellipse(image, at(centre), (int(side * 0.4), int(side * 0.5)), 0, 0, 360, (140, 170, 220), -1)
    for p in points[:3]:
        cv2.circle(image, at(p), max(1, int(side * 0.05)), (40, 30, 30), -1)
    cv2.line(image, at(points[3]), at(points[4]), (60, 60, 160), max(1, int(side * 0.05)))
    box = [x - side * 0.4, y - side * 0.5, x + side * 0.4, y + side * 0.5]
    return {
        "box": [round(v, 2) for v in box],
        "points5": points.round(2).tolist(),
        "pose_300wlp": {"yaw": 0.0, "pitch": 0.0, "roll": 0.0},
    }


def write_set(folder: Path, count: int, seed: int, faces: int = 1, size: tuple[int, int] = (160, 120)) -> None:
    """``labels.jsonl`` and PNG photos, each with ``faces`` drawn faces on noise."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(count):
        image = rng.integers(60, 120, (size[1], size[0], 3)).astype(np.uint8)
        image = cv2.GaussianBlur(image, (0, 0), 2)
        labels = []
        for k in range(faces):
            side = float(rng.uniform(30, 60))
            centre = (size[0] * (k + 0.5) / faces, float(rng.uniform(side / 2, size[1] - side / 2)))
            labels.append(draw_face(image, centre, side))
        name = f"images/{folder.name}{i}.png"
        assert cv2.imwrite(str(folder / name), image)
        rows.append({"file": name, "width": size[0], "height": size[1], "complete": True, "faces": labels})
    (folder / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def write_voc(folder: Path, count: int, seed: int) -> None:
    """``count`` photos and a Pascal VOC ``.xml`` beside each."""
    write_set(folder, count, seed, faces=2, size=(320, 240))
    for row in map(json.loads, (folder / "labels.jsonl").read_text().splitlines()):
        corners = [zip(("xmin", "ymin", "xmax", "ymax"), face["box"], strict=True) for face in row["faces"]]
        boxes = ["".join(f"<{k}>{v}</{k}>" for k, v in box) for box in corners]
        objects = "".join(f"<object><name>face</name><bndbox>{box}</bndbox></object>" for box in boxes)
        size = f"<size><width>{row['width']}</width><height>{row['height']}</height><depth>3</depth></size>"
        name = Path(row["file"])
        text = f"<annotation><filename>{name.name}</filename>{size}{objects}</annotation>"
        (folder / name).with_suffix(".xml").write_text(text)
    (folder / "labels.jsonl").unlink()


def drawn_detector(path: Path) -> Path:
    """A network with the tensors of YuNet that are looked at: each level is one strided convolution of noise."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from quantize.models import STRIDES
    from quantize.train.methods.mimic import FEATURES, HINTS

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []
    outputs: list[Any] = []

    def layer(name: str, stride: int, channels: int, made: str) -> None:
        weight = rng.normal(0, 1e-3, (channels, 3, stride, stride)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{name}"))
        nodes.append(helper.make_node("Conv", ["input", f"w{name}"], [made], strides=[stride, stride]))

    for stride, hint, feature in zip(STRIDES, HINTS, FEATURES, strict=True):
        for name in (hint, feature):
            layer(name, stride, 64, f"raw{name}")
            nodes.append(helper.make_node("Relu", [f"raw{name}"], [name]))
        for kind in ("cls", "obj"):
            layer(f"{kind}{stride}", stride, 1, f"map{kind}{stride}")
            nodes.append(helper.make_node("Sigmoid", [f"map{kind}{stride}"], [f"p{kind}{stride}"]))
            shape = numpy_helper.from_array(np.array([0, -1, 1], np.int64), f"s{kind}{stride}")
            constants.append(shape)
            nodes.append(helper.make_node("Reshape", [f"p{kind}{stride}", shape.name], [f"{kind}_{stride}"]))
            outputs.append(helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, None))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph(nodes, "drawn", [given], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
