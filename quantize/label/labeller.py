"""What teachers say of one photo, put beside what people drew in it.

The ensemble of detectors (`quantize.label.ensemble`) adds the faces that a set leaves open and five points; FSA-Net
and 3DDFA say where heads point. What a person labelled is never changed: in photos whose faces are all labelled, what
the ensemble finds besides is background. The rule of the ensemble's scores is that of its authors: from .5 a face,
from .3 an ignore region, below background; faces under 16 px that it may have missed are neither.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.pose import geodesic_degrees, mean_rotation, rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample, points5_from_68
from quantize.files import replacing
from quantize.label.ensemble import Ensemble
from quantize.label.fsanet import FsaNet
from quantize.label.tddfa import Tddfa

VERSION = 9  # part of the cache key: raise it when the rules below change
UNKNOWN_BELOW = 16.0
"""Pixels; the ensemble misses most faces that are smaller."""


@dataclass(frozen=True)
class LabelRules:
    """Thresholds of the teacher labels. Scores are the ensemble's; sides in pixels of the photo."""

    face_score: float = 0.5
    ignore_score: float = 0.3
    point_score: float = 0.4
    """The least score whose points are believed for a box that a person drew."""
    match_iou: float = 0.4
    least_side: float = 6
    least_pointed_side: float = 16
    min_pose_side: float = 20
    max_pose_spread: float = 12
    """Degrees that FSA-Net's six opinions may lie apart on average: the confidence that SemiUHPE takes from entropy."""
    max_pose_disagreement: float = 25
    """Degrees between FSA-Net's and 3DDFA's rotations beyond which neither is believed."""


@dataclass(frozen=True)
class Finds:
    """The ensemble's finds of one photo: ``boxes`` (n, 4) xyxy, ``points`` (n, 5, 2), ``scores`` (n,)."""

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]

    @staticmethod
    def none() -> Finds:
        return Finds(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))

    def take(self, which: NDArray[Any]) -> Finds:
        return Finds(self.boxes[which], self.points[which], self.scores[which])


class Labeller:
    """The teachers, opened once; ``folder`` holds their weights."""

    def __init__(self, folder: Path, rules: LabelRules | None = None) -> None:
        self.rules = rules or LabelRules()
        self.ensemble, self.fsanet, self.tddfa = Ensemble(folder), FsaNet(folder), Tddfa(folder)

    def __call__(self, sample: Sample, image: NDArray[np.uint8], use: str) -> Sample:
        """The sample with what was open filled in; ``image`` is its photo, BGR (h, w, 3); ``use`` as in a recipe's
        set.
        """
        if use == "negatives":
            return sample
        # in a photo whose faces are all labelled, and that the ensemble has looked at before, there is nothing to find
        seen = (
            sample.complete
            and use == "detection"
            and any(f.extra.get("points_from") == "ensemble" for f in sample.faces)
        )
        finds = Finds.none() if seen else Finds(*self.ensemble(image))
        faces = joined(sample, finds, use, self.rules)
        self._pose(image, faces)
        small = max(sample.unknown_below, 0.0 if sample.complete else UNKNOWN_BELOW)
        return replace(sample, faces=faces, complete=True, unknown_below=small)

    def _pose(self, image: NDArray[np.uint8], faces: list[FaceLabel]) -> None:
        rules = self.rules
        todo = [f for f in faces if not f.ignore and min(f.box[2:] - f.box[:2]) >= rules.min_pose_side]
        if not todo:
            return
        boxes = np.stack([f.box for f in todo])
        fsa, spread = self.fsanet(image, boxes)
        points68, tddfa = self.tddfa(image, boxes)
        for f, r, s, p, t in zip(todo, fsa, spread, points68, tddfa, strict=True):
            disagreement = float(geodesic_degrees(r, t))
            f.extra |= {"pose_spread": round(float(s), 2), "pose_disagreement": round(disagreement, 2)}
            if f.rotation is None and s < rules.max_pose_spread and disagreement < rules.max_pose_disagreement:
                f.rotation = mean_rotation(np.stack([r, t])).astype(np.float32)
                if measured := f.extra.get("pose_pointing04"):
                    f.rotation = with_measured_pan(f.rotation, measured)
            if f.extra.get("points_from") == "ensemble":
                self._check_points(f, points5_from_68(p), abs(float(np.degrees(np.arcsin(np.clip(r[0, 2], -1, 1))))))

    @staticmethod
    def _check_points(face: FaceLabel, projected: NDArray[np.float32], yaw: float) -> None:
        """In profile 3DDFA's points, which project the hidden side; none where the two are far apart otherwise."""
        assert face.points is not None
        side = float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))
        apart = float(np.linalg.norm(face.points - projected, axis=1).mean()) / side
        if yaw > 45 and 0.08 <= apart < 0.25:
            face.points, face.extra["points_from"] = projected, "tddfa"
        elif apart >= 0.2:
            face.points = None


def joined(sample: Sample, finds: Finds, use: str, rules: LabelRules) -> list[FaceLabel]:
    """A photo's faces: the labelled ones, with points where they had none, and (unless the photo's faces are all
    labelled) those that the ensemble found besides.
    """
    finds = finds.take((finds.boxes[:, 2:] - finds.boxes[:, :2]).min(1, initial=np.inf) >= rules.least_side)
    taken = np.zeros(len(finds.boxes), bool)
    faces: list[FaceLabel] = []
    for face in sample.faces:
        overlap = iou_matrix(face.box[None], finds.boxes)[0] if len(finds.boxes) else np.zeros(0)
        if face.extra.get("pose_pointing04") and len(finds.boxes):  # a head box: the face lies inside it
            centre = (finds.boxes[:, :2] + finds.boxes[:, 2:]) / 2
            overlap = np.where(((centre > face.box[:2]) & (centre < face.box[2:])).all(1), finds.scores, 0)
        best = int(overlap.argmax()) if len(overlap) else -1
        if best >= 0 and overlap[best] >= rules.match_iou:
            taken |= overlap >= rules.match_iou
            _seen(face, finds, best, rules)
        elif face.extra.get("pose_pointing04"):
            face.ignore = True
        elif face.extra.get("box_from") == "points":
            face.box = grown_hull(face.box)
        faces.append(face)
    if use == "detection" and sample.complete:
        return faces
    return faces + _added(finds.take(~taken), faces, rules)


def _seen(face: FaceLabel, finds: Finds, i: int, rules: LabelRules) -> None:
    """A labelled face that the ensemble sees too."""
    face.extra["ensemble_score"] = round(float(finds.scores[i]), 3)
    if face.extra.get("pose_pointing04") or face.extra.get("box_from") == "points":
        face.box = finds.boxes[i]
    large = min(face.box[2:] - face.box[:2]) >= rules.least_pointed_side
    if face.points is None and large and finds.scores[i] >= rules.point_score:
        face.points, face.extra["points_from"] = finds.points[i], "ensemble"


def _added(finds: Finds, faces: list[FaceLabel], rules: LabelRules) -> list[FaceLabel]:
    added = []
    labelled = np.stack([f.box for f in faces]) if faces else np.zeros((0, 4), np.float32)
    sure = finds.boxes[finds.scores >= rules.face_score]
    for box, points, score in zip(finds.boxes, finds.points, finds.scores, strict=True):
        if score < rules.ignore_score:
            continue
        ignore = bool(score < rules.face_score)
        if ignore and (_covered_share(box, np.concatenate([labelled, sure])) > 0.5).any():
            continue
        large = min(box[2:] - box[:2]) >= rules.least_pointed_side
        face = FaceLabel(box, points if large and not ignore else None, ignore=ignore, confidence=float(score))
        face.extra = (
            {"box_from": "ensemble", "points_from": "ensemble"} if face.points is not None else {"box_from": "ensemble"}
        )
        added.append(face)
    return added


def _covered_share(box: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """The share of ``box`` (4,) that lies on each of ``others`` (n, 4)."""
    lo, hi = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return np.asarray((hi - lo).clip(0).prod(1) / max(float((box[2:] - box[:2]).prod()), 1e-6))


def grown_hull(hull: NDArray[np.float32]) -> NDArray[np.float32]:
    """A WIDER-like face box from the hull of 68 points (which ends at the brows): taller by a third, on top."""
    x1, y1, x2, y2 = hull
    return np.array([x1, y1 - (y2 - y1) * 0.33, x2, y2], np.float32)


def with_measured_pan(rotation: NDArray[np.float32], measured: dict[str, float]) -> NDArray[np.float32]:
    """Pointing'04 knows the pan better than any teacher beyond 45°: the yaw becomes the mean of both there. The sign
    of its pan is taken from the teacher.
    """
    yaw = float(np.degrees(np.arcsin(np.clip(rotation[0, 2], -1, 1))))
    pan = float(measured["pan"])
    signed = pan if abs(pan - yaw) < abs(-pan - yaw) else -pan
    if abs(pan) < 45 or abs(signed - yaw) > 40:
        return rotation
    turn = rotation_from_300wlp((signed - yaw) / 2, 0, 0)
    return np.asarray(rotation @ turn, np.float32)  # about the head's own vertical axis


def cached(sample: Sample, labeller: Labeller, use: str, folder: Path) -> Sample | None:
    """The labelled sample, from ``folder`` where this photo with these labels was done before. None for an unreadable
    photo.
    """
    try:
        data = sample.path.read_bytes()
    except OSError:
        return None
    state = json.dumps([VERSION, use, repr(labeller.rules), sample.complete, [f.to_json() for f in sample.faces]])
    key = hashlib.sha256(data + state.encode()).hexdigest()[:32]
    path = folder / key[:2] / f"{key}.json"
    if path.is_file():
        done = Sample.from_json(json.loads(path.read_text()))
        return replace(sample, faces=done.faces, complete=done.complete, unknown_below=done.unknown_below)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return None
    result = labeller(sample, np.asarray(image, np.uint8), use)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(result.to_json()))
    return result
