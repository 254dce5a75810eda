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
