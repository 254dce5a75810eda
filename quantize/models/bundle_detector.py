"""A bundle as a detector: runtime and C++ core behind `edgeface.FaceEngine`, with int8 products as on ARM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Found
from quantize.models.detector import MAX_FACES, MIN_SCORE


class BundleDetector:
    """The path that ships.

    Args:
        model: path of a bundle, or name of one that ships.
        size: (width, height) of the network's input.
        runtime, precision: as `edgeface.FaceEngine` takes them.
    """

    def __init__(
        self, model: str, size: tuple[int, int], runtime: str = "onnxruntime", precision: str | None = None
    ) -> None:
        from edgeface import FaceEngine

        self.engine = FaceEngine(
            model,
            runtime=runtime,
            size=size,
            precision=precision,
            min_score=MIN_SCORE,
            max_faces=MAX_FACES,
            exact=True,
            warmup=False,
        )
        info = self.engine.info
        self.name = f"{info.model} {info.precision} {info.runtime}"
        self.rule = f"letterbox {size[0]}x{size[1]}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.models.detector.Detector`."""
        return Found.of(self.engine.detect(image, "bgr"))
