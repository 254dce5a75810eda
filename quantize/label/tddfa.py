"""3DDFA_V2, MobileNet x0.5 (cleardusk/3DDFA_V2, MIT): 68 points, the hidden side projected, and a rotation matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.label.crops import square_crop
from quantize.label.session import open_session


class Tddfa:
    """Points (68) and rotation from one crop."""

    def __init__(self, folder: Path) -> None:
        self.session = open_session(Path(folder) / "tddfa_mb05_120x120.onnx")
        stats = np.load(Path(folder) / "tddfa_param_mean_std.npz")
        self.mean, self.std = stats["mean"].astype(np.float64), stats["std"].astype(np.float64)
        self.input = self.session.get_inputs()[0].name
        self.outputs = [o.name for o in self.session.get_outputs()]

    def __call__(
        self, image: NDArray[np.uint8], boxes: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (n, 68, 2) in photo pixels and rotations (n, 3, 3) head to optical frame."""
        points, rotations = [], []
        for box in np.asarray(boxes, float):
            s = (box[2] - box[0] + box[3] - box[1]) / 2
            cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + 0.14 * s
            roi = np.array([cx - s / 2, cy - s / 2, cx + s / 2, cy + s / 2])
            crop, back = square_crop(image, roi, 120, 1.58)
            x = ((crop.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
            out = dict(zip(self.outputs, self.session.run(None, {self.input: x}), strict=True))
            param = np.asarray(out["param"], np.float64).ravel() * self.std + self.mean
            m = param[:12].reshape(3, 4)[:, :3]
            u, _, vt = np.linalg.svd(m)
            # the model's axes are x right, y up, z to the viewer: half a turn about x leads to the optical frame
            flip = np.diag([1.0, -1, -1])
            rotations.append(flip @ (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt) @ flip)
            # all x, then all y, −1 to 1 over the crop
            lm = np.asarray(out["lm"], float).reshape(2, 68).T * 60 + 60.5
            points.append(lm @ back[:, :2].T + back[:, 2])
        if not points:
            return np.zeros((0, 68, 2), np.float32), np.zeros((0, 3, 3), np.float32)
        return np.array(points, np.float32), np.array(rotations, np.float32)
