"""A student on torch as a detector, with the core's preprocessing and decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from quantize.data.detections import Found
from quantize.models.student import STRIDES

#: Scores from here on make the precision-recall curve; a lower one changes the area in the fourth digit. A lone cell of
#: .02 scores so much (docs/bundle.md).
MIN_SCORE = 0.002
NMS_IOU = 0.45
#: Photos of crowds hold hundreds of faces, and the curve needs the doubtful ones too.
MAX_FACES = 1500


class Detector(Protocol):
    """What is measured: a bundle, a checkpoint on torch, or somebody else's network."""

    name: str
    rule: str
    """How a photo becomes the network's input, such as "letterbox 640x640": a figure without it means nothing."""

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """Faces of a BGR photo (h, w, 3), in its pixels."""


class FloatDetector:
    """A student on torch with the core's preprocessing and decoding: for curves while training, before there is a
    bundle.

    ``model`` takes and returns what `quantize.models.Student` does; it is used as it is (put it in evaluation mode
    first).
    """

    def __init__(
        self,
        model: nn.Module,
        size: tuple[int, int],
        channel_scale: dict[int, Sequence[float]] | None = None,
        name: str = "torch float32",
    ) -> None:
        self.model, self.size = model, size
        self.name, self.rule = name, f"letterbox {size[0]}x{size[1]}"
        self.device = next(model.parameters()).device
        ones = np.ones(22, np.float32)
        self.scales = [np.array(channel_scale[s], np.float32) if channel_scale else ones for s in STRIDES]

    @torch.no_grad()
    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `Detector`."""
        from edgeface.angles import rotation_to_angles

        core = core_functions()
        tensor = np.empty((1, 3, self.size[1], self.size[0]), np.float32)
        transform = letterbox(image, tensor)
        x = torch.from_numpy(tensor).to(self.device).contiguous(memory_format=torch.channels_last)
        outputs = [o.float().cpu().contiguous().numpy() for o in self.model(x)]
        n = len(outputs)
        boxes, scores, points, rotations, quality = core.decode(
            outputs,
            list(STRIDES),
            ["NCHW"] * n,
            [1.0] * n,
            [0] * n,
            self.scales,
            transform,
            min_score=MIN_SCORE,
            nms_iou=NMS_IOU,
            max_faces=MAX_FACES,
        )
        return Found(
            *(np.asarray(a, np.float64) for a in (boxes, scores, points, rotation_to_angles(rotations), quality))
        )


def letterbox(
    image: NDArray[np.uint8], out: NDArray[Any], scale: float = 1 / 128, zero_point: int = 0
) -> NDArray[np.float64]:
    """Fills a network's input (1, 3, h, w) or (1, h, w, 3), RGB, from a BGR photo as the device does; returns the
    affine back to the photo (2, 3).
    """
    layout = "NCHW" if out.shape[1] == 3 else "NHWC"
    height, width = image.shape[:2]
    planes = [np.ascontiguousarray(image)]
    return np.asarray(
        core_functions().preprocess(
            planes, "bgr", width, height, out, layout=layout, color="rgb", scale=scale, zero_point=zero_point
        )
    )


def core_functions() -> Any:
    """The C++ core; where it is not built, its NumPy definition, which gives the same numbers slowly."""
    try:
        from edgeface import _core
    except ImportError:
        from edgeface import reference

        return reference
    return _core
