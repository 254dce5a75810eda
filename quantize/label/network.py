"""What the three detectors share: a network that onnxruntime runs on a padded photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.label.session import open_session


class Network:
    """A detector's network.

    Args:
        path: The ONNX file.
        mean: What is subtracted, one value a channel of the input.
        rgb: Whether the input is RGB instead of BGR.

    Raises:
        FileNotFoundError: There is no such file.
    """

    def __init__(self, path: Path, mean: tuple[float, float, float] = (0, 0, 0), rgb: bool = False) -> None:
        self.session = open_session(path)
        self.input = self.session.get_inputs()[0].name
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.mean, self.rgb = mean, rgb

    def __call__(self, view: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """The raw outputs by name for ``view``: BGR (h, w, 3), sides multiples of 32."""
        blob = cv2.dnn.blobFromImage(view, mean=self.mean, swapRB=self.rgb)
        return dict(zip(self.outputs, self.session.run(None, {self.input: blob}), strict=True))
