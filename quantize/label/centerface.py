"""CenterFace (Star-Clouds/CenterFace, MIT) as one of the ensemble's detectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.label.fusion import MIN_SCORE, Detections, Trust
from quantize.label.network import Network

STRIDE = 4


class CenterFace:
    """The detector; ``folder`` holds its weights."""

    trust = Trust(low=9, high=500, share=0.4)

    def __init__(self, folder: Path) -> None:
        self.network = Network(Path(folder) / "centerface.onnx", rgb=True)

    @staticmethod
    def factors(longest: int) -> tuple[float, ...]:
        """By which a photo with this longer side is resized."""
        return (0.5, 1.0, 1.5) if longest > 500 else (1.0, 1.5)

    def __call__(self, view: NDArray[np.uint8]) -> Detections:
        """Unsuppressed detections in pixels of ``view``: BGR (h, w, 3), sides multiples of 32."""
        return decode(self.network(view))


def decode(outputs: Mapping[str, NDArray[np.float32]]) -> Detections:
    """Detections of the network's outputs.

    Args:
        outputs: 537 (1, 1, h, w) score, 538 (1, 2, h, w) log of height and width in strides, 539 (1, 2, h, w) offset
            (y, x) in strides, 540 (1, 10, h, w) five points (y, x) as shares of the box.

    Returns:
        Unsuppressed, in pixels of the input.
    """
    score = outputs["537"].ravel()
    keep = np.flatnonzero(score > MIN_SCORE)
    size, offset, shares = (outputs[name].reshape(-1, score.size)[:, keep] for name in ("538", "539", "540"))
    cell = np.stack(np.divmod(keep, outputs["537"].shape[-1])).astype(np.float32)  # y, x, as all outputs are
    centre, side = (cell + offset + 0.5) * STRIDE, np.exp(size) * STRIDE
    corner = centre - side / 2
    points = corner[None] + shares.reshape(5, 2, -1) * side[None]
    boxes = np.concatenate([corner[::-1], corner[::-1] + side[::-1]])
    return Detections(boxes.T, points[:, ::-1].transpose(2, 0, 1), score[keep])
