"""edgeface-points: one face of 112 × 112 to 68 points, their depth, spread and visibility, and nine states.

A trunk of dense convolutions, as in the detectors, ends in 7 × 7 cells. A depthwise convolution over all of them keeps
where something is, which an average would not (MobileFaceNets, Chen et al. 2018); heads are 1 × 1 convolutions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from edgeface.manifest import POINTS_OUTPUTS
from quantize.models.checkpoints import read_state
from quantize.models.layers import ConvBNReLU, init_relu
from quantize.models.student import fuse, sequence
from quantize.points.crop import MARGIN
from quantize.points.mean_face import face_width, mean_face

SIZE = 112
"""Side of the input, pixels."""
OUTPUTS = POINTS_OUTPUTS
"""Names and lengths of the outputs, in order (docs/bundle.md)."""
POLAR_FACE = 0.6
"""Radius of the face of a polar crop, in half crop sides: what lies within takes three quarters of the columns."""
FIRST_SPREAD = -3.5
"""The spread's logarithm before training: 3 % of the crop's side."""


@dataclass(frozen=True)
class PointsArchitecture:
    """``trunk``: words as `quantize.models.student.sequence` has them, from 112 to 7 cells a side; ``gather``: channels
    of the depthwise convolution over the cells; ``hidden``: channels between it and the heads.
    """

    trunk: str
    gather: int
    hidden: int
    polar: bool = False
    """Sees the crop in polar coordinates with a tanh radius (Lin et al. 2021); for comparison, not for export."""


ARCHITECTURES = {
    "edgeface-points": PointsArchitecture("16/2 32/2 32 pool 64 64 64 64 pool 96 96", 192, 128),
    "edgeface-points-small": PointsArchitecture("16/2 24/2 24 pool 48 48 48 pool 64 64", 128, 96),
    "edgeface-points-large": PointsArchitecture("24/2 48/2 48 pool 96 96 96 96 pool 128 128", 256, 192),
    "edgeface-points-polar": PointsArchitecture("16/2 32/2 32 pool 64 64 64 64 pool 96 96", 192, 128, polar=True),
}
"""What recipes name."""


class PointsNet(nn.Module):
    """The network that a `PointsArchitecture` describes, freshly initialised.

    ``forward`` takes (n, 3, 112, 112) float32, RGB, (pixel − 128) / 128, and returns five tensors (n, length, 1, 1) in
    the order of `OUTPUTS`.
    """

    def __init__(self, architecture: PointsArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.trunk, channels = sequence(a.trunk, 3)
        self.squeeze = ConvBNReLU(channels, a.gather, 1)
        self.gather = ConvBNReLU(a.gather, a.gather, SIZE // 16, groups=a.gather, act=False)
        self.gather[0].padding = (0, 0)  # type: ignore[assignment]  # all cells at once, none outside
        self.hidden = ConvBNReLU(a.gather, a.hidden, 1)
        init_relu(self)
        self.heads = nn.ModuleList(nn.Conv2d(a.hidden, length, 1) for length in OUTPUTS.values())
        self._begin()
        if a.polar:
            self.register_buffer("grid", polar_grid()[None], persistent=False)

    def _begin(self) -> None:
        """The heads begin with a frontal mean face."""
        face = mean_face()
        shape = torch.tensor(face - (face.min(0) + face.max(0)) / 2, dtype=torch.float32) / (MARGIN * face_width())
        first = {"points": shape[:, :2].reshape(-1), "depth": shape[:, 2] - shape[:, 2].mean(), "spread": FIRST_SPREAD}
        for name, head in zip(OUTPUTS, self.heads, strict=True):
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            with torch.no_grad():
                head.bias.copy_(torch.as_tensor(first.get(name, 0.0)).expand_as(head.bias))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.architecture.polar:
            assert isinstance(self.grid, Tensor)
            grid = self.grid.expand(len(x), -1, -1, -1)
            x = grid_sample(x.float(), grid, align_corners=False)  # 0 outside of the crop: the grey of its border
        features = self.hidden(self.gather(self.squeeze(self.trunk(x))))
        return tuple(head(features) for head in self.heads)


def polar_grid() -> Tensor:
    """(112, 112, 2) places in the crop, -1 to 1: rows are the angle, columns the radius r of tanh(r / `POLAR_FACE`)."""
    angle = (torch.arange(SIZE) + 0.5) * (2 * math.pi / SIZE)
    radius = POLAR_FACE * torch.atanh((torch.arange(SIZE) + 0.5) / SIZE)
    return torch.stack([angle.cos()[:, None] * radius, angle.sin()[:, None] * radius], -1)


def build_points(name: str) -> PointsNet:
    """A freshly initialised network; ``name`` is a key of `ARCHITECTURES`. Raises ValueError for another.

    Examples:
        >>> [tuple(t.shape) for t in build_points("edgeface-points").eval()(torch.zeros(2, 3, 112, 112))][-1]
        (2, 9, 1, 1)
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, but got {name!r}")
    return PointsNet(ARCHITECTURES[name])


def checkpoint_of_points(model: PointsNet, **more: Any) -> dict[str, Any]:
    """What `load_points` reads: architecture, whether batch norm is folded, weights, and ``more`` to remember."""
    folded = not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    return {"points": asdict(model.architecture), "folded": folded, "weights": model.state_dict(), **more}


def load_points(path: Path, device: str | torch.device = "cpu") -> PointsNet:
    """The network of a checkpoint, for evaluation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of a network of points.
    """
    state = read_state(path, device)
    if not isinstance(state, dict) or not {"points", "weights"} <= set(state):
        raise ValueError(f"{path} must be a checkpoint of edgeface-points, but has no such architecture and weights")
    model = PointsNet(PointsArchitecture(**state["points"])).eval().to(device)
    if state.get("folded"):
        fuse(model)
    model.load_state_dict(state["weights"])
    return model
