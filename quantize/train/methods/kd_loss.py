"""KD-Loss (Fard and Mahoor 2021, arXiv 2111.07047): five points learned from the labels and from two frozen teachers.

The tough teacher learned the labels as they are, the tolerant one labels smoothed by a shape model
(`quantize.data.shape_model`; train it with ``views.points_variance``). Both are networks of ours with the same heads,
so that a cell's points compare directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from quantize.models import LANDMARKS, Network, fuse, load_student
from quantize.train.assignment import Grid, flatten

TOUGH, TOLERANT = (1.9, -0.45), (1.8, -0.40)
"""Weights beyond a teacher's error and within it."""
INNER = 0.15
"""Share of a teacher's error within which it says nothing."""


def assistive(pred: Tensor, truth: Tensor, teacher: Tensor, weights: tuple[float, float]) -> Tensor:
    """A teacher's part, for each coordinate: the distance to the teacher's point, reflected to the student's side of
    the truth, times ``weights[0]`` beyond it (pulling in), ``weights[1]`` between it and 15 % of its distance (easing
    off), and 0 within.
    """
    error, allowed = (pred - truth).abs(), (teacher - truth).abs()
    reflected = truth + torch.sign(pred - truth) * allowed
    weight = torch.where(
        error > allowed, weights[0], torch.where(error > INNER * allowed, weights[1], torch.zeros_like(error))
    )
    return weight * (reflected - pred).abs()


def main(pred: Tensor, truth: Tensor, tolerant: Tensor) -> Tensor:
    """The label's part, for each coordinate: 3·|error| up to the tolerant teacher's error, quadratic from there on.

    Coordinates are normalised, so the quadratic branch is the flatter one: a label that even the tolerant teacher is
    closer to than the student by far is likely to be wrong, and pulls less.
    """
    error, allowed = (pred - truth).abs(), (tolerant - truth).abs()
    return torch.where(error <= allowed, 3 * error, error.square() + 3 * allowed - allowed.square())


def kd_points_loss(pred: Tensor, truth: Tensor, tolerant: Tensor, tough: Tensor, side: Tensor) -> Tensor:
    """2·main + tough + tolerant, a mean over the five points of each face: (n,).

    All points are (n, 5, 2) pixels and are divided by the face's ``side`` (n,).
    """
    p, g, soft, hard = (x / side[..., None, None] for x in (pred, truth, tolerant, tough))
    parts = 2 * main(p, g, soft) + assistive(p, g, hard, TOUGH) + assistive(p, g, soft, TOLERANT)
    return parts.mean((-1, -2))


@dataclass
class Guides:
    """What both teachers answer at each cell: points (n, p, 5, 2), pixels."""

    tolerant: Tensor
    tough: Tensor


class LandmarkTeachers:
    """The two frozen networks beside the student in a training step: checkpoints of ours."""

    def __init__(self, tough: Path, tolerant: Path, device: torch.device) -> None:
        def opened(path: Path) -> Network:
            return fuse(load_student(path, device)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        self.tolerant, self.tough = opened(tolerant), opened(tough)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Guides:
        grid = Grid.of(x.shape[2], x.shape[3], x.device)

        def points(network: Network) -> Tensor:
            raw = flatten(network(x)).float()[..., LANDMARKS]
            return grid.centre[:, None] + raw.reshape(*raw.shape[:2], 5, 2) * grid.stride[:, None, None]

        return Guides(points(self.tolerant), points(self.tough))
