"""What turns gradients into steps: AdamW for everything, or Muon for the dense convolutions and AdamW for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from quantize.config import OptimizerOptions
from quantize.models import Student

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: they grow small singular values fastest and end between .7 and 1.2."""


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """(b, m, n) matrices with the singular vectors they have and singular values near 1, by Newton–Schulz iteration
    (Jordan et al. 2024, "Muon").

    Examples:
        >>> torch.linalg.svdvals(orthogonalised(torch.diag(torch.tensor([5.0, 1.0]))[None])).round(decimals=1)
        tensor([[0.8000, 0.7000]])
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    # each step multiplies by a polynomial of the square, and these commute: the long side is met twice, not ten times
    square = x @ x.mT
    one = torch.eye(square.shape[-1], device=x.device)
    product = one
    for _ in range(steps):
        step = a * one + b * square + c * square @ square
        product = step @ product
        square = step @ square @ step
    x = product @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose steps are orthogonalised, of weights seen as (out, in · kh · kw) matrices.

    The root mean square of a step is brought to what Adam's is (.2, Liu et al. 2025, arXiv 2502.16982), so that one
    learning rate and one weight decay serve for both.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)  # those of one shape go through in one batch
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape[0], p[0].numel()].append(p)
            for (rows, columns), weights in alike.items():
                updates = []
                for p in weights:
                    assert p.grad is not None  # as chosen above
                    if "moment" not in self.state[p]:
                        self.state[p]["moment"] = torch.zeros_like(p)
                    moment = self.state[p]["moment"].lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(moment, group["momentum"]).reshape(rows, columns))
                rate = group["lr"] * 0.2 * max(rows, columns) ** 0.5
                for p, update in zip(weights, orthogonalised(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(rate * update.reshape(p.shape))


def optimizers_of(model: Student, losses: nn.Module, options: OptimizerOptions) -> list[torch.optim.Optimizer]:
    """The optimizers of one run; ``options`` is ``[train.optimizer]`` of its recipe. Biases and learned task weights
    do not decay.

    With ``muon`` the dense convolutions between the image and the heads go to `Muon`. Depthwise ones are no matrices,
    and the rows of a head are different tasks: they stay with AdamW, as everything does without ``muon``.
    """
    dense: list[Tensor] = []
    if options.muon:
        heads = {id(p) for p in model.heads.parameters()}
        dense = [p for p in model.parameters() if p.dim() == 4 and p.shape[1] > 1 and id(p) not in heads]
    orthogonal = {id(p) for p in dense}
    rest = [p for p in [*model.parameters(), *losses.parameters()] if p.requires_grad and id(p) not in orthogonal]
    adam = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.dim() > 1], "weight_decay": options.weight_decay},
            {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=options.lr,
        betas=(0.9, 0.99),
    )
    return [adam, Muon(dense, options.lr, options.weight_decay)] if dense else [adam]
