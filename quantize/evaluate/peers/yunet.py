"""YuNet (ShiqiYu/libfacedetection.train, BSD): any of its ONNX files with outputs cls, obj, bbox, kps a stride."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import suppress
from quantize.data.detections import Array, Found
from quantize.label.session import open_session

STRIDES = (8, 16, 32)
#: As in OpenCV's FaceDetectorYN.
NMS_IOU = 0.3


class YuNetPeer:
    """The detector as OpenCV runs it: the photo in the top left corner of a black canvas, NMS at .3."""

    def __init__(self, file: Path, size: tuple[int, int], min_score: float) -> None:
        self.session = open_session(file)
        self.input = self.session.get_inputs()[0].name
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.size, self.min_score = size, min_score
        self.name = file.stem
        self.rule = f"letterbox {size[0]}x{size[1]}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`."""
        height, width = image.shape[:2]
        scale = min(self.size[0] / width, self.size[1] / height)
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        sides = [-(-side // STRIDES[-1]) * STRIDES[-1] for side in self.size]
        canvas = np.zeros((sides[1], sides[0], 3), np.float32)
        canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
        boxes, points, scores = self._raw(canvas)
        keep = suppress(boxes, scores, NMS_IOU)
        return Found(boxes[keep] / scale, scores[keep], points[keep] / scale)

    def _raw(self, canvas: NDArray[np.float32]) -> tuple[Array, Array, Array]:
        """Unsuppressed boxes (n, 4), points (n, 5, 2) and scores (n,), pixels of the canvas."""
        values = self.session.run(None, {self.input: np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])})
        out = {name: np.asarray(v) for name, v in zip(self.outputs, values, strict=True)}
        parts = []
        for stride in STRIDES:
            score = np.sqrt(out[f"cls_{stride}"].ravel().clip(0, 1) * out[f"obj_{stride}"].ravel().clip(0, 1))
            keep = np.flatnonzero(score >= self.min_score)
            columns = canvas.shape[1] // stride
            corner = np.stack([keep % columns, keep // columns], 1).astype(np.float32)
            box = out[f"bbox_{stride}"].reshape(-1, 4)[keep]
            centre, size = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
            points = (out[f"kps_{stride}"].reshape(-1, 5, 2)[keep] + corner[:, None]) * stride
            parts.append((np.c_[centre - size / 2, centre + size / 2], points, score[keep]))
        all_boxes, all_points, all_scores = (np.concatenate(of).astype(np.float64) for of in zip(*parts, strict=True))
        return all_boxes, all_points, all_scores
