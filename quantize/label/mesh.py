"""MediaPipe Face Mesh (google/mediapipe, Apache-2.0): 468 points with depth; trusted below 45° of yaw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE, SCALE = 192, 1.5
"""Input side in pixels, and the crop's side over the box's longer one."""


class FaceMesh:
    """468 points of one face; ``folder`` holds ``face_landmark.tflite``. Needs ai-edge-litert.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = Path(folder) / "face_landmark.tflite"
        if not path.is_file():
            raise FileNotFoundError(f"teacher must be a file, but got {path}")
        self.interpreter = Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = self.interpreter.get_output_details()
        self.output = max(outputs, key=lambda o: int(np.prod(o["shape"])))["index"]

    def __call__(self, image: NDArray[np.uint8], box: NDArray[Any], eyes: NDArray[Any]) -> NDArray[np.float32]:
        """(468, 3): x, y in pixels of ``image`` (h, w, 3) BGR, z in the same unit, away from the camera.

        ``box`` (4,) xyxy; ``eyes`` (2, 2) in pixels: the crop is turned until they are level.
        """
        b = np.asarray(box, float)
        centre, side = (b[:2] + b[2:]) / 2, SCALE * float((b[2:] - b[:2]).max())
        dx, dy = np.asarray(eyes, float)[1] - np.asarray(eyes, float)[0]
        angle, k = np.arctan2(dy, dx), side / SIZE
        turn = k * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = centre - turn @ [SIZE / 2, SIZE / 2]
        source, to_photo = image, np.c_[turn, shift]
        if k > 2:  # a plain bilinear look-up would alias
            source = np.asarray(cv2.resize(image, None, fx=1.5 / k, fy=1.5 / k, interpolation=cv2.INTER_AREA), np.uint8)
            to_photo = np.diag([source.shape[1] / image.shape[1], source.shape[0] / image.shape[0]]) @ to_photo
        centred = to_photo.copy()  # OpenCV counts from pixel centres
        centred[:, 2] += to_photo[:, :2] @ [0.5, 0.5] - 0.5
        crop = cv2.warpAffine(source, centred, (SIZE, SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        self.interpreter.set_tensor(self.input, crop[None, :, :, ::-1].astype(np.float32) / 255)
        self.interpreter.invoke()
        found = self.interpreter.get_tensor(self.output).reshape(468, 3)
        return np.c_[found[:, :2] @ turn.T + shift, found[:, 2] * k].astype(np.float32)
