"""MobileFaceNet (foamliu/MobileFaceNet, Apache-2.0): embeddings that give quality targets; edgeface itself identifies
nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.label.crops import align
from quantize.label.session import open_session

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


class MobileFaceNet:
    """Unit embeddings (n, 128) of aligned faces; cosine similarity to a clean reference is the utility target."""

    def __init__(self, folder: Path) -> None:
        self.session = open_session(Path(folder) / "mobilefacenet_112.onnx")
        self.input = self.session.get_inputs()[0].name

    def __call__(self, image: NDArray[np.uint8], points: NDArray[Any]) -> NDArray[np.float32]:
        """``points`` (n, 5, 2) in pixels of the BGR ``image``."""
        out = []
        for p in points:
            rgb = align(image, p)[:, :, ::-1].astype(np.float32) / 255
            x = ((rgb - MEAN) / STD).transpose(2, 0, 1)[None]
            e = np.asarray(self.session.run(None, {self.input: np.ascontiguousarray(x)})[0], np.float32).ravel()
            out.append(e / max(float(np.linalg.norm(e)), 1e-9))
        return np.array(out, np.float32).reshape(-1, 128)
