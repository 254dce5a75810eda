"""Peppa-Facial-Landmark (ailec0623/Peppa-Facial-Landmark-PyTorch, Apache-2.0): 68 points; a peer, not a teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.label.session import open_session

SIZE, SCALE = 160, 1.4
"""Input side in pixels, and both sides of the crop over those of the box."""


class Peppa:
    """68 points of one face; ``folder`` holds ``peppa_slim_160.onnx``."""

    def __init__(self, folder: Path) -> None:
        self.session = open_session(Path(folder) / "peppa_slim_160.onnx")
        self.input = self.session.get_inputs()[0].name

    def __call__(self, image: NDArray[np.uint8], box: NDArray[Any]) -> NDArray[np.float32]:
        """(68, 2) pixels of ``image``, BGR (h, w, 3); ``box`` (4,) xyxy."""
        b = np.asarray(box, float)
        centre, sides = (b[:2] + b[2:]) / 2, (b[2:] - b[:2]) * SCALE
        low, high = np.rint(centre - sides / 2).astype(int), np.rint(centre + sides / 2).astype(int)
        h, w = image.shape[:2]
        inner = np.s_[max(low[1], 0) : min(high[1], h), max(low[0], 0) : min(high[0], w)]
        outside = np.maximum(0, [-low[1], high[1] - h, -low[0], high[0] - w])
        top, bottom, left, right = (int(v) for v in outside)
        crop = cv2.copyMakeBorder(image[inner], top, bottom, left, right, cv2.BORDER_CONSTANT)
        how = cv2.INTER_AREA if min(crop.shape[:2]) > SIZE else cv2.INTER_LINEAR
        x = (cv2.resize(crop, (SIZE, SIZE), interpolation=how).astype(np.float32) - 127) / 127
        out = self.session.run(None, {self.input: x.transpose(2, 0, 1)[None]})[0].ravel()[:136].reshape(68, 2)
        return np.asarray(out * (high - low) + low, np.float32)
