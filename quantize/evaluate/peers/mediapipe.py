"""MediaPipe's face detectors (google/mediapipe, Apache-2.0): the TFLite files of its wheel, in LiteRT.

Short range is fed 128×128 pixels, full range 192×192: the files have no other size. One of their six points is the
middle of the mouth, so there are no five landmarks to measure. Their boxes are square; people's boxes in WIDER FACE are
not, so each is brought to their shape by four constants, medians of a training set. They are printed by
`python -m quantize.evaluate.peers.mediapipe FILE SIDE FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.detections import Array, Found
from quantize.data.jsonl import read_jsonl
from quantize.evaluate.peers import OtherInputError

#: Stride and anchors of each of its cells, by the side of the input.
GRIDS = {128: ((8, 2), (16, 6)), 192: ((4, 1),)}
#: By the side of the input, of train/wider, in sizes of the found box: how far the labelled centre lies from the found
#: one (x, y), and the labelled size (width, height).
SHAPES = {128: (0.0, -0.096, 0.874, 1.187), 192: (0.02, -0.052, 0.869, 1.179)}
NMS_IOU = 0.3


class MediaPipePeer:
    """The detector as MediaPipe runs it: the photo in the middle of a black canvas, boxes averaged from IoU .3 on."""

    def __init__(
        self,
        file: Path,
        size: tuple[int, int],
        min_score: float,
        shape: tuple[float, float, float, float] | None = None,
    ) -> None:
        """``shape``: as in `SHAPES`; that of the input's side if None.

        Raises:
            OtherInputError: ``size`` is not that of the file.
            FileNotFoundError: there is no such file.
        """
        from ai_edge_litert.interpreter import Interpreter

        if not file.is_file():
            raise FileNotFoundError(f"peer must be a file, but got {file}")
        self.net = Interpreter(str(file), num_threads=1)
        self.net.allocate_tensors()
        given = self.net.get_input_details()[0]
        height, width = (int(side) for side in given["shape"][1:3])
        if size != (width, height) or height != width or width not in GRIDS:
            raise OtherInputError(
                f"the input of {file.name} must be {width}x{height}, but got {size[0]}x{size[1]}: "
                f"name trials of that size, such as --trial wider+wider2@{width}x{height}"
            )
        self.input, self.side, self.min_score = given["index"], width, min_score
        said = sorted(self.net.get_output_details(), key=lambda output: int(output["shape"][-1]))
        self.logits, self.boxes = (output["index"] for output in said)
        self.anchors, self.shape = anchors(width), np.array(SHAPES[width] if shape is None else shape)
        self.name, self.rule = file.stem, f"letterbox {width}x{height}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`."""
        height, width = image.shape[:2]
        scale = self.side / max(width, height)
        fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (self.side - fitted[0]) // 2, (self.side - fitted[1]) // 2
        canvas = np.zeros((self.side, self.side, 3), np.float32)
        canvas[top : top + fitted[1], left : left + fitted[0]] = cv2.resize(
            image, fitted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        boxes, scores = averaged(*self._raw(canvas))
        boxes = (boxes - np.array([left, top, left, top])) / scale
        size = boxes[:, 2:] - boxes[:, :2]
        centre, half = boxes[:, :2] + size * (0.5 + self.shape[:2]), size * self.shape[2:] / 2
        return Found(np.concatenate([centre - half, centre + half], 1), scores)

    def _raw(self, canvas: NDArray[np.float32]) -> tuple[Array, Array]:
        """Boxes (n, 4) in pixels of the canvas, before any is suppressed, and scores (n,)."""
        self.net.set_tensor(self.input, (canvas[None, :, :, ::-1] / 127.5 - 1).astype(np.float32))
        self.net.invoke()
        logits = self.net.get_tensor(self.logits).ravel().astype(np.float64)
        scores = 1 / (1 + np.exp(-logits.clip(-100, 100)))
        keep = np.flatnonzero(scores >= self.min_score)
        raw = self.net.get_tensor(self.boxes)[0, keep, :4].astype(np.float64)
        centre, half = raw[:, :2] + self.anchors[keep], raw[:, 2:] / 2
        return np.concatenate([centre - half, centre + half], 1), scores[keep]


def anchors(side: int) -> Array:
    """(n, 2): x, y of each anchor in pixels, in the order of the outputs: at the centres of the cells, row by row."""
    parts = []
    for stride, count in GRIDS[side]:
        middle = (np.arange(side // stride) + 0.5) * stride
        y, x = np.meshgrid(middle, middle, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    return np.concatenate(parts)


def averaged(boxes: Array, scores: Array) -> tuple[Array, Array]:
    """MediaPipe's weighted suppression: each best box is the mean of those it overlaps, weighted by their scores."""
    order = np.argsort(-scores, kind="stable")
    means, best = [], []
    while len(order):
        near = iou_matrix(boxes[order[:1]], boxes[order])[0] > NMS_IOU
        near[0] = True
        members = order[near]
        means.append(np.average(boxes[members], axis=0, weights=scores[members]))
        best.append(scores[order[0]])
        order = order[~near]
    return np.array(means).reshape(-1, 4), np.array(best)


def measured_shape(peer: MediaPipePeer, folder: Path, least: float = 64.0) -> Array:
    """(4,) as in `SHAPES`: medians over the faces of ``least`` labelled pixels and more that a peer finds."""
    rows = []
    for sample in read_jsonl(folder)[0]:
        found = peer.detect(np.asarray(cv2.imread(sample.key), np.uint8))
        for face in sample.faces:
            box = np.asarray(face.box, np.float64)
            sure = np.flatnonzero(found.scores >= 0.5)
            if face.ignore or box[3] - box[1] < least or not len(sure):
                continue
            overlaps = iou_matrix(box[None], found.boxes[sure])[0]
            other = found.boxes[sure[overlaps.argmax()]]
            if overlaps.max() > NMS_IOU:
                size = other[2:] - other[:2]
                rows.append([*((box[:2] + box[2:] - other[:2] - other[2:]) / 2 / size), *((box[2:] - box[:2]) / size)])
    return np.asarray(np.median(rows, axis=0))


def main() -> None:
    """Prints the line of `SHAPES`."""
    parser = argparse.ArgumentParser(description=measured_shape.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("side", type=int, choices=GRIDS)
    parser.add_argument("folder", type=Path, help="a labelled set")
    given = parser.parse_args()
    peer = MediaPipePeer(given.file, (given.side, given.side), 0.1, (0, 0, 1, 1))
    print(given.side, measured_shape(peer, given.folder).round(3).tolist())


if __name__ == "__main__":
    main()
