"""What training minimises: likelihood and distance of points, depth, visibility, state, and KD-Loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from quantize.points.config import PointsLossOptions
from quantize.points.model import OUTPUTS
from quantize.points.views import Batch
from quantize.train.methods.kd_loss import TOLERANT, TOUGH, assistive, main

LEAST_SPREAD = math.log(0.002)
"""The smallest spread that counts, .2 % of the crop's side: a perfect guess must not outweigh all others."""
WING, WING_CURVE = 0.1, 0.02
"""Wing loss: where it becomes linear, and its curvature (Feng et al. 2018), in crop sides."""


def laplace(points: Tensor, spread: Tensor, truth: Tensor) -> Tensor:
    """Negative log-likelihood (n, 68) of ``truth`` (n, 68, 2) under ``points`` and the log scale ``spread`` (n, 68), of
    both coordinates together: |x − μ| / b + |y − ν| / b + 2 log 2b.
    """
    log_b = spread.clamp(min=LEAST_SPREAD)
    return (points - truth).abs().sum(-1) * torch.exp(-log_b) + 2 * (math.log(2) + log_b)


def wing(points: Tensor, truth: Tensor) -> Tensor:
    """Wing loss (n, 68), a sum over both coordinates: logarithmic near 0, so that small errors still pull."""
    error = (points - truth).abs()
    offset = WING - WING * math.log1p(WING / WING_CURVE)
    return torch.where(error < WING, WING * torch.log1p(error / WING_CURVE), error - offset).sum(-1)


def kd_points(points: Tensor, truth: Tensor, tolerant: Tensor, tough: Tensor) -> Tensor:
    """KD-Loss (n, 68): 2 · main + tough + tolerant, a sum over both coordinates, all (n, 68, 2) in crop sides."""
    parts = 2 * main(points, truth, tolerant) + assistive(points, truth, tough, TOUGH)
    return (parts + assistive(points, truth, tolerant, TOLERANT)).sum(-1)


def named(outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The network's outputs by name, float32, (n, length) each; points (n, 68, 2)."""
    flat = {name: o.flatten(1).float() for name, o in zip(OUTPUTS, outputs, strict=True)}
    return flat | {"points": flat["points"].unflatten(1, (68, 2))}


@dataclass
class Guides:
    """Points (n, 68, 2) of KD-Loss's teachers."""

    tolerant: Tensor
    tough: Tensor


class PointsLosses(nn.Module):
    """The sum of the losses, and each by itself."""

    def __init__(self, options: PointsLossOptions) -> None:
        super().__init__()
        self.options = options

    def forward(
        self, outputs: tuple[Tensor, ...], batch: Batch, guides: Guides | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        o, out, weight = self.options, named(outputs), batch.weight
        whole = weight.sum().clamp(min=1e-6)
        terms = {"likelihood": (laplace(out["points"], out["spread"], batch.points) * weight).sum() / whole}
        distance = (out["points"] - batch.points).abs().sum(-1)
        if guides is not None:
            distance = kd_points(out["points"], batch.points, guides.tolerant, guides.tough)
        terms["teachers" if guides is not None else "distance"] = (distance * weight).sum() / whole
        if o.wing:
            terms["wing"] = (wing(out["points"], batch.points) * weight).sum() / whole
        terms["depth"] = ((out["depth"] - batch.depth).abs() * weight).sum() / whole
        terms["visible"] = cross_entropy(out["visible"], batch.visible)
        known = ~torch.isnan(batch.state)
        state = cross_entropy(out["state"], torch.nan_to_num(batch.state), reduction="none")
        for name, part in (("openness", slice(0, 3)), ("state", slice(3, None))):
            terms[name] = (state * known)[:, part].sum() / known[:, part].sum().clamp(min=1)
        loss = torch.stack([getattr(o, name) * value for name, value in terms.items()]).sum()
        return loss, {name: value.detach() for name, value in terms.items()}
