"""SCRFD (deepinsight/insightface, MIT code, non-commercial weights): ONNX files with five points, such as SCRFD-500M.

No network file ships or is downloaded here: name your own as ``scrfd:FILE.onnx``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Array, Found
from quantize.label.session import open_session

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Of each cell, at its corner."""
NMS_IOU = 0.4
LEAST = 0.02
"""Scores below are dropped, as its authors do in their evaluation: half of all cells are above .002."""


class ScrfdPeer:
    """The detector as its authors run it: the photo in the top left corner of a black canvas, NMS at .4."""

    def __init__(self, file: Path, size: tuple[int, int], min_score: float) -> None:
        """Raises ValueError where ``file`` has not scores, boxes and points of strides 8, 16 and 32."""
        self.session = open_session(file)
        self.input = self.session.get_inputs()[0].name
        if len(self.session.get_outputs()) != 3 * len(STRIDES):
            raise ValueError(
                f"{file} must have nine outputs (scores, boxes, points of three strides), "
                f"but has {len(self.session.get_outputs())}"
            )
        self.size, self.min_score = size, max(min_score, LEAST)
        self.name = file.stem
        self.rule = f"letterbox {size[0]}x{size[1]}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`."""
        height, width = image.shape[:2]
        scale = min(self.size[0] / width, self.size[1] / height)
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
        boxes, points, scores = self._raw(canvas)
        sides = np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]
        keep = np.asarray(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, NMS_IOU), np.intp).reshape(-1)
        return Found(boxes[keep] / scale, scores[keep], points[keep] / scale)

    def _raw(self, canvas: NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        """Unsuppressed boxes (n, 4), points (n, 5, 2) and scores (n,), pixels of the canvas."""
        x = (canvas[:, :, ::-1].astype(np.float32) - 127.5) / 128
        outputs = self.session.run(None, {self.input: np.ascontiguousarray(x.transpose(2, 0, 1)[None])})
        flat = [np.asarray(o, np.float64).reshape(-1, o.shape[-1]) for o in outputs]
        parts = []
        for i, stride in enumerate(STRIDES):
            scores, distances, offsets = (flat[i + k * len(STRIDES)] for k in range(3))
            keep = np.flatnonzero(scores[:, 0] >= self.min_score)
            cell = keep // ANCHORS
            columns = -(-self.size[0] // stride)
            corner = np.stack([cell % columns, cell // columns], 1).astype(float) * stride
            left_top, right_bottom = distances[keep, :2] * stride, distances[keep, 2:] * stride
            boxes = np.concatenate([corner - left_top, corner + right_bottom], 1)
            points = corner[:, None] + offsets[keep].reshape(-1, 5, 2) * stride
            parts.append((boxes, points, scores[keep, 0]))
        all_boxes, all_points, all_scores = (np.concatenate(of) for of in zip(*parts, strict=True))
        return all_boxes, all_points, all_scores
