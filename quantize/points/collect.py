"""The faces that edgeface-points is measured on: each photo is read once, and all crops that trials need are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.detections import Found
from quantize.data.mean_face import rotation_from_points
from quantize.data.photos import read_photo
from quantize.data.pose import rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample
from quantize.label.labeller import grown_hull
from quantize.points.crop import face_crop, sample_crop
from quantize.points.labels import INNER, yaw_of
from quantize.points.mean_face import five_of, mean_face
from quantize.points.model import SIZE
from quantize.progress import watched

#: Errors of the initial box that are tried one at a time (FAN): shares of the crop's side.
SHIFTS, SCALES = (0.05, 0.1, 0.2, 0.3), (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
MATCH = 0.3
"""IoU from which a find is a labelled face's."""
SMALLEST_SCORE = 0.3
"""Of finds that give crops."""

Peer = Callable[[NDArray[np.uint8], NDArray[Any], NDArray[Any]], NDArray[Any]]
"""BGR photo, box (4,), five points (5, 2) to points (68, 2), photo pixels."""


@dataclass
class Measured:
    """One labelled face. ``truth`` (68, 2) photo pixels, NaN without drawn points; ``rotation`` (3, 3) head to optical
    frame; ``crops`` and ``matrices`` by trial, those of "found" missing where the detector missed the face; ``peers``
    (68, 2) by name.
    """

    truth: NDArray[np.float64]
    yaw: float
    height: float
    rotation: NDArray[np.float64] | None = None
    blur: float = float("nan")
    extra: dict[str, Any] = field(default_factory=dict)
    crops: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    matrices: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    peers: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def cut(self, name: str, image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> None:
        """Keeps the crop of one trial."""
        self.crops[name], self.matrices[name] = sample_crop(image, matrix, SIZE), matrix


def collect(
    samples: Sequence[Sample],
    detect: Callable[[NDArray[np.uint8]], Found],
    peers: dict[str, Peer],
    boxes: bool = False,
    seed: int = 5,
) -> list[Measured]:
    """The faces of ``samples`` with their crops.

    Args:
        samples: faces without drawn points are left out, unless they have a ``label`` of a mask set.
        detect: a photo, BGR (h, w, 3), to finds with landmarks and angles.
        peers: get the found box and landmarks of each face with drawn points.
        boxes: cut crops with errors of the initial box too.
        seed: of the directions of shifts.
    """
    rng = np.random.default_rng(seed)
    faces = []
    for sample in watched(samples, "cut out"):
        usable = [f for f in sample.faces if not f.ignore and (f.extra.get("points68") or f.extra.get("label"))]
        if not usable:
            continue
        image = read_photo(sample)
        found = detect(image)
        faces += [_measured(image, face, found, peers, boxes, rng) for face in usable]
    return faces


def _measured(
    image: NDArray[np.uint8],
    face: FaceLabel,
    found: Found,
    peers: dict[str, Peer],
    boxes: bool,
    rng: np.random.Generator,
) -> Measured:
    drawn = face.extra.get("points68")
    truth = np.full((68, 2), np.nan) if drawn is None else np.array(drawn, float)
    box, rotation = np.asarray(face.box, float), face.rotation
    if drawn is not None:
        box = grown_hull(np.r_[truth.min(0), truth.max(0)].astype(np.float32)).astype(float)
        if rotation is None:
            shape = mean_face()[INNER]
            rotation = rotation_from_points(truth[INNER], shape - shape.mean(0)).astype(np.float32)
    yaw = float("nan") if rotation is None else yaw_of(rotation)
    turned = None if rotation is None else np.asarray(rotation, np.float64)
    one = Measured(truth, yaw, float(box[3] - box[1]), turned, extra=face.extra)
    if drawn is not None and rotation is not None:
        matrix, _ = face_crop(five_of(truth), rotation, box)
        one.cut("true", image, matrix)
        grey = cv2.cvtColor(one.crops["true"], cv2.COLOR_RGB2GRAY)
        one.blur = float(cv2.Laplacian(grey, cv2.CV_64F).var())
        if boxes:
            _inexact(one, image, matrix, rng)
    if (best := match(box, found)) is None or found.landmarks is None or found.angles is None:
        return one
    yaw_pitch_roll = found.angles[best]
    matrix, _ = face_crop(found.landmarks[best], rotation_from_300wlp(*yaw_pitch_roll), found.boxes[best])
    if np.isfinite(matrix).all():
        one.cut("found", image, matrix)
        if drawn is not None:
            for name, peer in peers.items():
                one.peers[name] = np.asarray(peer(image, found.boxes[best], found.landmarks[best]), float)
            one.extra = one.extra | {"found5": np.asarray(found.landmarks[best], float)}
    return one


def match(box: NDArray[Any], found: Found) -> int | None:
    """The number of the find that is the labelled face's."""
    sure = np.flatnonzero(found.scores >= SMALLEST_SCORE)
    if not len(sure):
        return None
    overlap = iou_matrix(np.asarray(box, np.float32)[None], found.boxes[sure])[0]
    best = int(overlap.argmax())
    return int(sure[best]) if overlap[best] >= MATCH else None


def _inexact(one: Measured, image: NDArray[np.uint8], matrix: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Crops with one error of the initial box each."""
    side = float(np.hypot(*matrix[:, 0]))
    for share in SHIFTS:
        angle, moved = rng.uniform(0, 2 * np.pi), matrix.copy()
        moved[:, 2] += share * side * np.array([np.cos(angle), np.sin(angle)])
        one.cut(f"shift {share:g}", image, moved)
    for factor in SCALES:
        one.cut(f"scale {factor:g}", image, matrix * [factor, factor, 1])
