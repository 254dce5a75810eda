"""DASS (Mousavi et al. 2022, arXiv 2207.06968): a search for the shape of a network that bears being sparse.

Unstructured zeros gain nothing in the runtimes of boards, so what is switched off here are groups of ``GROUP`` output
channels. Each group has a hard-concrete gate z (Louizos et al. 2018, arXiv 1712.01312),

    u ~ U(0, 1),  s = σ((log u − log(1 − u) + a) / τ),  z = min(1, max(0, s · (ζ − γ) + γ)),

whose probability of being open is p = σ(a − τ · log(−γ / ζ)). Weights learn with the gates on; the gates' a learn on
photos that the weights do not see in that step (bilevel), from

    loss + λ · max(0, cost(p) / budget − 1),

where the cost is the sum over layers of the executed instructions of a table by layer shape and core. Closed groups
are cut at the end, and what is left is an `Architecture` of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from quantize.models import Student
from quantize.models.layers import ConvBNReLU

GROUP = 8
TEMPERATURE, GAMMA, ZETA = 2 / 3, -0.1, 1.1
STAGES = ("stem", "stage8", "stage16", "stage32", "branch")


class GroupGates(nn.Module):
    """Gates of one layer's output channels. ``forward`` multiplies (n, c, h, w); each group of channels shares a
    gate.
    """

    def __init__(self, channels: int, start: float = 2.5) -> None:
        super().__init__()
        if channels % GROUP:
            raise ValueError(f"channels must be a multiple of {GROUP}, but got {channels}")
        self.logit = nn.Parameter(torch.full((channels // GROUP,), start))

    def open_share(self) -> Tensor:
        """The probability of each gate to be open, (groups,)."""
        return torch.sigmoid(self.logit - TEMPERATURE * math.log(-GAMMA / ZETA))

    def values(self) -> Tensor:
        """The gates, (groups,): drawn while training, their most likely value otherwise."""
        if self.training:
            u = torch.rand_like(self.logit).clamp(1e-6, 1 - 1e-6)
            s = torch.sigmoid((u.log() - (1 - u).log() + self.logit) / TEMPERATURE)
        else:
            s = torch.sigmoid(self.logit)
        return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.values().repeat_interleave(GROUP)[None, :, None, None].to(x.dtype)


class Gated(nn.Module):
    """A layer and the gates of its output."""

    def __init__(self, layer: ConvBNReLU) -> None:
        super().__init__()
        self.layer = layer
        self.gates = GroupGates(layer[0].out_channels)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.gates(self.layer(x))
        return y


def with_gates(student: Student) -> list[Gated]:
    """Puts gates behind the layers whose width is free, in place, and returns these, front to back.

    The last layers of the stages of strides 8 and 16 have the width of the pyramid and no gates.
    """
    gated = []
    for name in STAGES:
        stage = getattr(student, name)
        free = [i for i, layer in enumerate(stage) if isinstance(layer, ConvBNReLU)]
        for i in free[:-1] if name in ("stage8", "stage16") else free:
            stage[i] = Gated(stage[i])
            gated.append(stage[i])
    return gated


@dataclass(frozen=True)
class LayerCosts:
    """Executed instructions of one dense layer per output cell: for each stride, factors of 1, cin, cout and cin ·
    cout.
    """

    factors: Mapping[int, tuple[float, float, float, float]]

    @staticmethod
    def of(rows: Sequence[Mapping[str, Any]], core: str) -> LayerCosts:
        """Fitted to the rows of ``core`` of a table by layer shape: ``core``, ``stride``, ``cin``, ``cout``, ``side``
        (of the output) and ``instructions``. Raises ValueError for fewer than four shapes of a stride, or another core.
        """
        factors = {}
        of_core = [r for r in rows if r["core"] == core]
        if not of_core:
            raise ValueError(f"core must be one of {', '.join(sorted({str(r['core']) for r in rows}))}, but got {core}")
        for stride in sorted({int(r["stride"]) for r in of_core}):
            shapes = [r for r in of_core if int(r["stride"]) == stride]
            if len(shapes) < 4:
                raise ValueError(f"the table must have four shapes or more of stride {stride}, but has {len(shapes)}")
            a = np.array([[1, r["cin"], r["cout"], r["cin"] * r["cout"]] for r in shapes], float)
            b = np.array([r["instructions"] / r["side"] ** 2 for r in shapes], float)
            weight = 1 / b  # relative errors count alike, whatever the layer's size
            one, cin, cout, both = np.linalg.lstsq(a * weight[:, None], b * weight, rcond=None)[0]
            factors[stride] = (float(one), float(cin), float(cout), float(both))
        return LayerCosts(factors)

    def cost(self, stride: int, cin: Tensor, cout: Tensor, cells: float) -> Tensor:
        """Instructions of a layer; channels may be expectations."""
        one, a, b, both = self.factors[stride]
        return cells * (one + a * cin + b * cout + both * cin * cout)


def _convolution(layer: nn.Module) -> nn.Conv2d:
    """Of a layer with gates or without."""
    return cast(nn.Conv2d, cast(ConvBNReLU, layer.layer if isinstance(layer, Gated) else layer)[0])


def expected_cost(student: Student, costs: LayerCosts, size: int) -> Tensor:
    """Instructions of the gated layers and their neighbours for an input of ``size`` × ``size``, at the gates' open
    shares.
    """
    side = float(size)
    ends: dict[str, Tensor] = {}
    for name in STAGES:
        width = {"stem": torch.tensor(3.0), "branch": ends.get("stage16")}.get(name, ends.get(_before(name)))
        here = side if name != "branch" else size / 16
        assert width is not None
        total = width.new_zeros(())
        for layer in getattr(student, name):
            if isinstance(layer, nn.MaxPool2d):
                here /= 2
                continue
            conv = _convolution(layer)
            here /= conv.stride[0]
            out = (
                layer.gates.open_share().sum() * GROUP
                if isinstance(layer, Gated)
                else torch.tensor(float(conv.out_channels))
            )
            total = total + costs.cost(conv.stride[0], width, out, here**2)
            width = out
        ends[name] = width
        ends[f"cost {name}"] = total
        if name != "branch":
            side = here
    return torch.stack([ends[f"cost {name}"] for name in STAGES]).sum()


def _before(name: str) -> str:
    return STAGES[STAGES.index(name) - 1] if name != "stem" else ""


def search_loss(loss: Tensor, cost: Tensor, budget: float, weight: float) -> Tensor:
    """What the gates minimise: the task's loss, and ``weight`` times how far the cost is over its budget."""
    return loss + weight * (cost / budget - 1).clamp(min=0)


def pruned(student: Student) -> Student:
    """A student of its own shape with the groups that are open (at least one a layer), and their weights."""
    words: dict[str, str] = {}
    kept: dict[str, list[Tensor]] = {}
    for name in STAGES:
        kept[name] = []
        parts = getattr(student.architecture, name).split()
        for i, layer in enumerate(getattr(student, name)):
            if isinstance(layer, nn.MaxPool2d):
                continue
            conv = _convolution(layer)
            which = torch.arange(conv.out_channels)
            if isinstance(layer, Gated):
                open_groups = (layer.gates.open_share() >= 0.5).nonzero()[:, 0]
                if not len(open_groups):
                    open_groups = layer.gates.logit.argmax()[None]
                which = (open_groups[:, None] * GROUP + torch.arange(GROUP)).flatten()
                parts[i] = f"{len(which)}{'/2' if '/2' in parts[i] else ''}"
            kept[name].append(which)
        words[name] = " ".join(parts)
    small = Student(replace(student.architecture, **cast(dict[str, Any], words)))
    _copy(student, small, kept)
    return small


def _copy(student: Student, small: Student, kept: Mapping[str, Sequence[Tensor]]) -> None:
    """Weights of the channels that are kept, and of all that is not gated."""
    own = {k: v for k, v in student.state_dict().items() if not k.startswith(STAGES)}
    for name in STAGES:
        source = "stage16" if name == "branch" else _before(name)
        inputs = kept[source][-1] if source else torch.arange(3)
        numbers = iter(kept[name])
        for i, layer in enumerate(getattr(student, name)):
            if isinstance(layer, nn.MaxPool2d):
                continue
            plain = layer.layer if isinstance(layer, Gated) else layer
            gate = layer.gates.eval().values().repeat_interleave(GROUP) if isinstance(layer, Gated) else None
            which = next(numbers)
            for key, value in plain.state_dict().items():
                v = value[which] if value.dim() else value
                if key == "0.weight":
                    v = v[:, inputs]
                if gate is not None and key in ("1.weight", "1.bias"):
                    v = v * gate[which]  # a gate is positive, so ReLU and it may change places
                own[f"{name}.{i}.{key}"] = v
            inputs = which
    own["join32.0.weight"] = own["join32.0.weight"][:, kept["branch"][-1]]
    own["lateral32.pointwise.0.weight"] = own["lateral32.pointwise.0.weight"][:, kept["stage32"][-1]]
    small.load_state_dict(own)
