"""YuNet (ShiqiYu/libfacedetection.train, BSD): any of its ONNX files with outputs cls, obj, bbox, kps a stride."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.detections import Found
from quantize.label.yunet_voted import YuNet

#: As in OpenCV's FaceDetectorYN.
NMS_IOU = 0.3


class YuNetPeer:
    """The detector as OpenCV runs it: the photo in the top left corner of a black canvas, NMS at .3."""

    def __init__(self, file: Path, size: tuple[int, int], min_score: float) -> None:
        self.network = YuNet(file.parent, file.name)
        self.size, self.min_score = size, min_score
        self.name = file.stem
        self.rule = f"letterbox {size[0]}x{size[1]}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.evaluate.peers.Detector`."""
        height, width = image.shape[:2]
        scale = min(self.size[0] / width, self.size[1] / height)
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
        boxes, points, scores = (a.astype(np.float64) for a in self.network.raw(canvas, self.min_score))
        keep = suppress(boxes, scores, NMS_IOU)
        return Found(boxes[keep] / scale, scores[keep], points[keep] / scale)


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes (n, 4) that stay, by falling score."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][iou_matrix(boxes[order[:1]], boxes[order[1:]])[0] <= iou]
    return np.array(kept, np.intp)
