"""FSA-Net (shamangary/FSA-Net, Apache-2.0): head pose, the mean of the three published networks and of the mirrored
crop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.pose import mean_rotation, mirrored, rotation_from_300wlp
from quantize.label.crops import square_crop

FILES = ("fsanet_capsule_3_16_2_21_5.pb", "fsanet_var_capsule_3_16_2_21_5.pb", "fsanet_noS_capsule_3_16_2_192_5.pb")


class FsaNet:
    """Rotation teacher. Needs openvino, which reads the TensorFlow graphs."""

    def __init__(self, folder: Path) -> None:
        import openvino as ov

        core = ov.Core()
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": 1})
        self.networks = []
        for file in FILES:
            model = core.read_model(str(Path(folder) / file))
            model.reshape([-1, 64, 64, 3])
            self.networks.append(core.compile_model(model, "CPU"))

    def __call__(
        self, image: NDArray[np.uint8], boxes: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rotations (n, 3, 3) head to optical frame, and the spread of six opinions about the mean (n,), degrees."""
        if not len(boxes):
            return np.zeros((0, 3, 3), np.float32), np.zeros(0, np.float32)
        crops = np.stack([square_crop(image, b, 64, 1.6)[0] for b in boxes]).astype(np.float32)
        batch = np.concatenate([crops, crops[:, :, ::-1]])
        low, high = batch.min((1, 2, 3), keepdims=True), batch.max((1, 2, 3), keepdims=True)
        batch = (batch - low) / np.maximum(high - low, 1) * 255
        n = len(boxes)
        opinions = []
        for network in self.networks:
            angles = network([batch])[0]
            rotations = rotation_from_300wlp(angles[:, 0], angles[:, 1], angles[:, 2])
            opinions += [rotations[:n], np.stack([mirrored(r) for r in rotations[n:]])]
        stacked = np.stack(opinions, 1)
        mean = np.stack([mean_rotation(r) for r in stacked])
        cosine = (np.einsum("nkij,nij->nk", stacked, mean) - 1) / 2
        return mean.astype(np.float32), np.degrees(np.arccos(cosine.clip(-1, 1))).mean(1).astype(np.float32)
