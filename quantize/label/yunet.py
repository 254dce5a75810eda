"""YuNet n (ShiqiYu/libfacedetection.train, BSD-3-Clause) as one of the ensemble's detectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.label.fusion import MIN_SCORE, Detections, Trust, joined
from quantize.label.network import Network


class YuNet:
    """The detector; ``folder`` holds its weights."""

    trust = Trust(low=9, high=400, share=0.4)

    def __init__(self, folder: Path) -> None:
        self.network = Network(Path(folder) / "yunet_n_dynamic.onnx")

    @staticmethod
    def factors(longest: int) -> tuple[float, ...]:
        """By which a photo with this longer side is resized."""
        if longest > 1400:
            return (0.5, 1.0)
        return (0.5, 1.0, 2.0) if longest > 500 else (1.0, 2.0)

    def __call__(self, view: NDArray[np.uint8]) -> Detections:
        """Unsuppressed detections in pixels of ``view``: BGR (h, w, 3), sides multiples of 32."""
        return decode(self.network(view), view.shape[1])


def decode(outputs: Mapping[str, NDArray[np.float32]], width: int) -> Detections:
    """Detections of the network's outputs.

    Args:
        outputs: For each stride s of 8, 16, 32 the arrays cls_s, obj_s (1, cells, 1), bbox_s (1, cells, 4) and kps_s
            (1, cells, 10), cells row by row.
        width: Of the network's input in pixels.

    Returns:
        Unsuppressed, in pixels of the input.
    """
    found = []
    for stride in (8, 16, 32):
        score = np.sqrt(outputs[f"cls_{stride}"].ravel().clip(0, 1) * outputs[f"obj_{stride}"].ravel().clip(0, 1))
        keep = np.flatnonzero(score > MIN_SCORE)
        corner = np.stack([keep % (width // stride), keep // (width // stride)], 1).astype(np.float32)
        box = outputs[f"bbox_{stride}"].reshape(-1, 4)[keep]
        points = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[keep]
        centre, half = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
        found.append(
            Detections(
                np.concatenate([centre - half, centre + half], 1), (points + corner[:, None]) * stride, score[keep]
            )
        )
    return joined(found)
