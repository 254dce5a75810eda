"""RetinaFace mobilenet0.25 (biubug6/Pytorch_Retinaface, MIT) as one of the ensemble's detectors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.label.fusion import MIN_SCORE, Detections, Trust
from quantize.label.network import Network

ANCHORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Sides in pixels of the square anchors of each stride."""


class RetinaFace:
    """The detector; ``folder`` holds its weights."""

    trust = Trust(low=12, high=700, share=0.2)

    def __init__(self, folder: Path) -> None:
        self.network = Network(Path(folder) / "retinaface_mnet025.onnx", mean=(104, 117, 123))

    @staticmethod
    def factors(longest: int) -> tuple[float, ...]:
        """By which a photo with this longer side is resized."""
        return (0.5, 1.0) if longest > 700 else (1.0,)

    def __call__(self, view: NDArray[np.uint8]) -> Detections:
        """Unsuppressed detections in pixels of ``view``: BGR (h, w, 3), sides multiples of 32."""
        return decode(self.network(view), view.shape[0], view.shape[1])


def decode(outputs: Mapping[str, NDArray[np.float32]], height: int, width: int) -> Detections:
    """Detections of the network's outputs.

    Args:
        outputs: loc (1, anchors, 4), conf (1, anchors, 2) with the face's probability second, landmarks
            (1, anchors, 10); anchors by stride, row, column, side.
        height: Of the network's input in pixels.
        width: The same.

    Returns:
        Unsuppressed, in pixels of the input.
    """
    score = outputs["conf"][0, :, 1]
    keep = np.flatnonzero(score > MIN_SCORE)
    anchor = anchors(height, width)[keep]
    shift = outputs["loc"][0, keep]
    centre = anchor[:, :2] + 0.1 * anchor[:, 2:] * shift[:, :2]
    half = anchor[:, 2:] * np.exp(0.2 * shift[:, 2:]) / 2
    points = anchor[:, None, :2] + 0.1 * anchor[:, None, 2:] * outputs["landmarks"][0, keep].reshape(-1, 5, 2)
    return Detections(np.concatenate([centre - half, centre + half], 1), points, score[keep])


@lru_cache(maxsize=64)
def anchors(height: int, width: int) -> NDArray[np.float32]:
    """The anchors of an input of this size, (n, 3): centre x and y, side, in pixels."""
    found = []
    for stride, sides in ANCHORS.items():
        y, x, side = np.meshgrid(
            np.arange(0.5, -(-height // stride)) * stride,
            np.arange(0.5, -(-width // stride)) * stride,
            sides,
            indexing="ij",
        )
        found.append(np.stack([x, y, side], -1).reshape(-1, 3))
    return np.concatenate(found).astype(np.float32)
