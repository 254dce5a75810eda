"""YuNet n (ShiqiYu/libfacedetection.train, BSD): boxes, scores and five points; also the detector that dense
distillation follows.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.sample import MIRROR_POINTS
from quantize.label.session import open_session

Detections = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def vote(
    boxes: NDArray[np.float32],
    points: NDArray[np.float32],
    scores: NDArray[np.float32],
    lone: float = 1.0,
    iou: float = 0.5,
) -> Detections:
    """Merges detections of several views: score-weighted means of boxes and points that overlap; the score is the best
    one, times ``lone`` for what one view alone has seen (a small face shows at one scale only, but then in the mirror
    too).
    """
    order = np.argsort(-scores)
    boxes, points, scores = boxes[order], points[order], scores[order]
    out_b, out_p, out_s = [], [], []
    free = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not free[i]:
            continue
        group = free & (iou_matrix(boxes[i : i + 1], boxes)[0] >= iou)
        group[i] = True
        free &= ~group
        w = scores[group] ** 2
        out_b.append((boxes[group] * w[:, None]).sum(0) / w.sum())
        out_p.append((points[group] * w[:, None, None]).sum(0) / w.sum())
        out_s.append(scores[i] * (lone if group.sum() == 1 else 1.0))
    if not out_b:
        return np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    return np.array(out_b, np.float32), np.array(out_p, np.float32), np.array(out_s, np.float32)


class YuNet:
    """The detector teacher.

    Examples:
        >>> boxes, points, scores = YuNet(folder)(cv2.imread("photo.jpg"))  # doctest: +SKIP
    """

    name, licence = "YuNet n (libfacedetection.train)", "BSD-3-Clause"

    def __init__(self, folder: Path, file: str = "yunet_n_dynamic.onnx") -> None:
        self.session = open_session(Path(folder) / file)
        self.input = self.session.get_inputs()[0].name
        self.outputs = [o.name for o in self.session.get_outputs()]

    def raw(self, image: NDArray[np.uint8], min_score: float) -> Detections:
        """Unsuppressed detections of one view, in its pixels: boxes (n, 4), points (n, 5, 2), scores (n,)."""
        h, w = image.shape[:2]
        padded = np.zeros((-(-h // 32) * 32, -(-w // 32) * 32, 3), np.float32)
        padded[:h, :w] = image
        out = dict(
            zip(self.outputs, self.session.run(None, {self.input: padded.transpose(2, 0, 1)[None]}), strict=True)
        )
        found: list[Detections] = []
        for s in (8, 16, 32):
            cls, obj, box, kps = (
                np.asarray(out[f"{k}_{s}"]).reshape(-1, c)
                for k, c in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
            )
            score = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
            keep = np.flatnonzero(score >= min_score)
            corner = np.stack([keep % (padded.shape[1] // s), keep // (padded.shape[1] // s)], 1).astype(np.float32)
            centre, size = (corner + box[keep, :2]) * s, np.exp(box[keep, 2:]) * s
            found.append(
                (
                    np.c_[centre - size / 2, centre + size / 2].astype(np.float32),
                    ((kps[keep].reshape(-1, 5, 2) + corner[:, None]) * s).astype(np.float32),
                    score[keep].astype(np.float32),
                )
            )
        boxes, points, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return boxes, points, scores

    def __call__(
        self,
        image: NDArray[np.uint8],
        scales: tuple[float, ...] = (0.5, 1.0, 1.5),
        min_score: float = 0.3,
        longest: int = 1600,
    ) -> Detections:
        """Detections of several scales and mirrors: boxes (n, 4), points (n, 5, 2), photo pixels, scores (n,)."""
        parts: list[Detections] = []
        h, w = image.shape[:2]
        for scale in (min(s, longest / max(h, w)) for s in scales):
            view = np.asarray(
                cv2.resize(
                    image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
                ),
                np.uint8,
            )
            fx, fy = view.shape[1] / w, view.shape[0] / h
            for mirror in (False, True):
                boxes, points, scores = self.raw(np.ascontiguousarray(view[:, ::-1]) if mirror else view, min_score)
                if mirror:
                    boxes = np.stack(
                        [view.shape[1] - boxes[:, 2], boxes[:, 1], view.shape[1] - boxes[:, 0], boxes[:, 3]], 1
                    )
                    points = points[:, MIRROR_POINTS]
                    points[..., 0] = view.shape[1] - points[..., 0]
                ratio = np.array([fx, fy, fx, fy], np.float32)
                parts.append(vote(boxes / ratio, points / ratio[:2], scores))
        boxes, points, scores = (np.concatenate(p) for p in zip(*parts, strict=True))
        return vote(boxes, points, scores, lone=0.7)
