"""Step ``label``: teachers fill in what the photos' own labels leave open.

For each photo YuNet runs at several scales with mirrors; faces without a label become faces (a confident teacher) or
ignore regions (a middling one), so that a student at a small input learns from a teacher at a large one and is never
told that an unlabelled face is background. Points come from the photo's own labels, else from YuNet and 3DDFA where
they agree; rotations from FSA-Net (and 3DDFA), averaged on SO(3). What was labelled by a person is never overwritten.
Results are cached by the photo's content, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.boxes import iou_matrix
from quantize.data.pose import geodesic_degrees, mean_rotation, rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample, points5_from_68
from quantize.files import replacing
from quantize.teachers import FsaNet, Tddfa, YuNet

VERSION = 8  # part of the cache key: raise it when the rules below change


@dataclass(frozen=True)
class LabelRules:
    """Thresholds of the teacher labels. Scores are YuNet's after voting over views; sides in pixels of the photo."""

    face_score: float = 0.62
    ignore_score: float = 0.3
    doubt_score: float = 0.5
    match_iou: float = 0.4
    min_pose_side: float = 20
    max_pose_spread: float = 12
    """Degrees that FSA-Net's six opinions may lie apart on average: the confidence that SemiUHPE takes from entropy."""
    max_pose_disagreement: float = 25
    """Degrees between FSA-Net's and 3DDFA's rotations beyond which neither is believed."""
    tddfa_weight: float = 1.0
    """Weight of 3DDFA's rotation beside FSA-Net's 1.0: on train/pointing04 the plain mean follows the measured pan and
    tilt best (residual 6.5 and 6.8 degrees; FSA-Net alone 6.6 and 6.9, 3DDFA alone 7.2 and 7.3)."""


class Labeller:
    """The teachers, opened once; ``folder`` holds their weights."""

    def __init__(self, folder: Path, rules: LabelRules | None = None) -> None:
        self.rules = rules or LabelRules()
        self.yunet, self.fsanet, self.tddfa = YuNet(folder), FsaNet(folder), Tddfa(folder)

    def __call__(self, sample: Sample, image: NDArray[np.uint8]) -> Sample:
        """The sample with boxes, points and rotations filled in; ``image`` is its photo, BGR (h, w, 3)."""
        scales = (1.0, 1.5) if sample.source == "wider" else (0.5, 1.0, 1.5)
        boxes, points, scores = self.yunet(image, scales, min_score=self.rules.ignore_score)
        faces, taken = self._match(sample, boxes, points, scores)
        if sample.source != "background":  # a set without faces stays without
            # where people labelled every face, only a confident teacher is worth doubting them
            for i in np.flatnonzero(~taken & (scores >= (self.rules.doubt_score if sample.complete else 0))):
                face = FaceLabel(boxes[i], points[i], ignore=bool(scores[i] < self.rules.face_score or sample.complete))
                face.extra = {"box_from": "yunet"} | _seen(points[i], scores[i])
                faces.append(face)
        self._points_and_pose(image, faces)
        return Sample(sample.path, sample.width, sample.height, faces, True, sample.source)

    def _match(
        self, sample: Sample, boxes: NDArray[Any], points: NDArray[Any], scores: NDArray[Any]
    ) -> tuple[list[FaceLabel], NDArray[np.bool_]]:
        """The labelled faces, each with the teacher's view of it where there is one, and which detections are spoken
        for.
        """
        taken = np.zeros(len(boxes), bool)
        faces = []
        for face in sample.faces:
            box, overlap = face.box, np.zeros(len(boxes))
            if len(boxes):
                overlap = iou_matrix(box[None], boxes)[0]
                if face.extra.get("pose_pointing04"):  # a head box: the face lies inside it
                    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
                    overlap = np.where(((centre > box[:2]) & (centre < box[2:])).all(1), scores, 0)
            best = int(overlap.argmax()) if len(boxes) else -1
            hit = best >= 0 and overlap[best] >= self.rules.match_iou
            if hit:
                taken |= overlap >= self.rules.match_iou
                face.extra |= _seen(points[best], scores[best])
                if sample.source not in ("wider",) and scores[best] > 0.4:
                    # other sets draw boxes by other rules; the teacher's follow WIDER FACE
                    face.box, face.extra["box_from"] = boxes[best], "yunet"
            elif face.extra.get("pose_pointing04"):
                face.ignore = True
            elif face.extra.get("box_from") == "points":
                face.box = grown_hull(box)
            faces.append(face)
        return faces, taken

    def _points_and_pose(self, image: NDArray[np.uint8], faces: list[FaceLabel]) -> None:
        rules = self.rules
        todo = [
            f
            for f in faces
            if min(f.box[2:] - f.box[:2]) >= rules.min_pose_side and not (f.ignore and f.extra.get("pose_pointing04"))
        ]
        if not todo:
            for f in faces:
                _points_from(f, None, None)
            return
        boxes = np.stack([f.box for f in todo])
        fsa, spread = self.fsanet(image, boxes)
        points68, tddfa = self.tddfa(image, boxes)
        for f, r, s, p, t in zip(todo, fsa, spread, points68, tddfa, strict=True):
            disagreement = float(geodesic_degrees(r, t))
            f.extra |= {"pose_spread": round(float(s), 2), "pose_disagreement": round(disagreement, 2)}
            if f.rotation is None and s < rules.max_pose_spread and disagreement < rules.max_pose_disagreement:
                f.rotation = mean_rotation(np.stack([r, t]), [1, rules.tddfa_weight]).astype(np.float32)
                measured = f.extra.get("pose_pointing04")
                if measured:
                    f.rotation = with_measured_pan(f.rotation, measured)
            _points_from(f, points5_from_68(p), abs(float(np.degrees(np.arcsin(np.clip(r[0, 2], -1, 1))))))
        done = {id(f) for f in todo}
        for f in faces:
            if id(f) not in done:
                _points_from(f, None, None)


def _seen(points: NDArray[Any], score: float) -> dict[str, Any]:
    """What YuNet says of a face, to keep beside its label."""
    return {"yunet_score": round(float(score), 3), "yunet_points": np.round(points, 2).tolist()}


def _points_from(face: FaceLabel, tddfa: NDArray[np.float32] | None, yaw: float | None) -> None:
    """Fills ``face.points`` where no person labelled them: the mean of both teachers where they agree within 8 % of the
    box side; in profile 3DDFA, which projects the hidden side; YuNet for what is too small for 3DDFA. Which it was and
    what each of them saw is kept for `quantize.data.drawn`.
    """
    if tddfa is not None:
        face.extra["tddfa_points"] = np.round(tddfa, 2).tolist()
    if (face.points is not None and face.extra.get("box_from") != "yunet") or face.extra.get("points68"):
        return
    own = face.extra.get("yunet_points")
    yunet = np.array(own, np.float32) if own is not None else None
    face.points, source = yunet, "yunet"  # 3DDFA alone is not asked: where YuNet saw nothing may be no face
    if tddfa is not None and yunet is not None:
        side = float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))
        apart = float(np.linalg.norm(yunet - tddfa, axis=1).mean()) / side
        if apart < 0.08:
            face.points, source = ((yunet + tddfa) / 2).astype(np.float32), "both"
        elif yaw is not None and yaw > 45 and apart < 0.25:
            face.points, source = tddfa, "tddfa"
        elif apart >= 0.15:
            face.points = None
    if face.points is not None:
        face.extra["points_from"] = source


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


def cached(sample: Sample, labeller: Labeller, folder: Path) -> Sample | None:
    """The labelled sample, from ``folder`` where this photo with these labels was done before. None for an unreadable
    photo.
    """
    data = sample.path.read_bytes()
    key = hashlib.sha256(
        data + json.dumps([VERSION, repr(labeller.rules), [f.to_json() for f in sample.faces]]).encode()
    ).hexdigest()[:32]
    path = folder / key[:2] / f"{key}.json"
    if path.is_file():
        done = Sample.from_json(json.loads(path.read_text()))
        return Sample(sample.path, done.width, done.height, done.faces, done.complete, sample.source)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return None
    result = labeller(sample, np.asarray(image, np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(json.dumps(result.to_json()))
    return result
