"""Figures by lightness of the skin as the photo shows it: a stand-in, since no set says whose skin it is.

The individual typology angle (Chardon et al. 1991) of the cheeks' median colour sorts faces into three groups. Under
unknown light it mixes the person's skin with the light on it: a difference between groups is a reason to look, not a
measurement of fairness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.detections import Predictions
from quantize.data.metrics import landmark_errors, pose_errors
from quantize.data.sample import FaceLabel, Sample

GROUPS = (("light, ITA > 41°", 41.0, np.inf), ("medium, 10–41°", 10.0, 41.0), ("dark, < 10°", -np.inf, 10.0))
MIN_HEIGHT = 32
"""Pixels of the stored photo; smaller faces show more of the lens than of the skin."""


def typology_angle(image: NDArray[np.uint8], box: NDArray[Any]) -> float:
    """The individual typology angle, in degrees, of a face: arctan((L* − 50) / b*) of the median colour of the box's
    middle (the inner half across, from 45 to 70 % down: cheeks and nose). NaN where nothing of it is in the photo.

    Args:
        image: BGR (h, w, 3), sRGB.
        box: (4,) xyxy pixels.
    """
    x1, y1, x2, y2 = (float(v) for v in box)
    w, h = x2 - x1, y2 - y1
    rows = slice(max(0, int(y1 + 0.45 * h)), max(0, int(y1 + 0.7 * h) + 1))
    columns = slice(max(0, int(x1 + 0.25 * w)), max(0, int(x1 + 0.75 * w) + 1))
    part = image[rows, columns]
    if not part.size:
        return float("nan")
    lab = cv2.cvtColor(part.astype(np.float32) / 255, cv2.COLOR_BGR2Lab).reshape(-1, 3)
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, max(float(yellow), 1e-3))))


def group_of(angle: float) -> str | None:
    """The name of the group; None for NaN."""
    return next((name for name, low, high in GROUPS if low < angle <= high), None)


def by_lightness(samples: Sequence[Sample], found: Predictions, min_score: float = 0.5) -> dict[str, dict[str, Any]]:
    """Of each group: how many faces, the share found (``recall``: from ``min_score`` on, IoU of .5) and, where the
    samples say, pose and points (see `quantize.data.metrics`). Faces lower than 32 px, in grey photos or marked
    ``ignore`` are left out.
    """
    members: dict[str, list[Sample]] = {name: [] for name, *_ in GROUPS}
    for sample in samples:
        faces = [f for f in sample.faces if not f.ignore and f.box[3] - f.box[1] >= MIN_HEIGHT]
        sorted_faces: dict[str, list[FaceLabel]] = {}
        for face, name in zip(faces, _groups(sample.path, tuple(tuple(f.box.tolist()) for f in faces)), strict=True):
            if name is not None:
                sorted_faces.setdefault(name, []).append(face)
        for name, members_here in sorted_faces.items():
            members[name].append(replace(sample, faces=members_here))
    return {name: _figures(group, found, min_score) for name, group in members.items() if group}


@cache
def _groups(photo: Path, boxes: tuple[tuple[float, ...], ...]) -> tuple[str | None, ...]:
    """The group of each face of a photo; none in one that is grey or cannot be read. Every detector asks again."""
    image = cv2.imread(str(photo), cv2.IMREAD_COLOR) if boxes else None
    if image is None or is_grey(image):
        return (None,) * len(boxes)
    return tuple(group_of(typology_angle(np.asarray(image, np.uint8), np.array(box))) for box in boxes)


def is_grey(image: NDArray[Any]) -> bool:
    """Whether a photo has no colour to tell anything by."""
    return bool(np.abs(image[..., 0].astype(int) - image[..., 2]).mean() < 2)


def _figures(samples: Sequence[Sample], found: Predictions, min_score: float) -> dict[str, Any]:
    hits = 0
    for sample in samples:
        said = found.get(sample.key)
        if said is not None:
            overlap = iou_matrix(np.array([f.box for f in sample.faces], float), said.boxes[said.scores >= min_score])
            hits += int((overlap.max(1, initial=0) >= 0.5).sum())
    n = sum(len(s.faces) for s in samples)
    pose, points = pose_errors(samples, found), landmark_errors(samples, found)
    return {"n": n, "recall": round(hits / n, 4)} | {
        key: value
        for key, value in (("pose_mae", pose.get("pose_mae")), ("nme5_box", points.get("nme5_box")))
        if value is not None
    }
