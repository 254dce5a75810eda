"""What pulls at the weights: the gradient of each loss alone, for each part of the network.

The size of a loss says little about that: at the beginning of s-thinned2.toml the labels' was three times that of
YuNet's features, and pulled ten times as hard at the backbone (docs/training-notes.md).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from quantize.train.loader import phase_views
from quantize.train.loop import Trainer
from quantize.train.losses import TASKS, Batch, Losses


@dataclass(frozen=True)
class Pull:
    """Of one loss at one part: ``norm`` of its gradient, times its weight, and the cosine ``along`` that of all losses
    together; NaN where there is no gradient.
    """

    norm: float
    along: float


def pulls(trainer: Trainer, batches: int = 8) -> dict[str, dict[str, Pull]]:
    """For each part of the network (``stem``, ``stage8`` …) and each loss, of the mean gradient over ``batches``
    batches of the last phase, in float32; no weight changes.

    Raises ValueError for fewer than one batch.

    Examples:
        >>> pulls(Trainer(config, run / "label" / "pack", run / "train"))["stem"]["points"]  # doctest: +SKIP
        Pull(norm=2.71, along=0.88)
    """
    if batches < 1:
        raise ValueError(f"batches must be 1 or more, but got {batches}")
    names, weights = zip(*trainer.model.named_parameters(), strict=True)
    gradients: dict[str, list[Tensor]] = defaultdict(lambda: [torch.zeros_like(w) for w in weights])
    trainer.model.train()
    views = phase_views(trainer.config, -1, trainer.packed, trainer.step, batches, trainer.device)
    for x, batch in views:
        for loss, value in _losses(trainer, x, batch).items():
            means = gradients[loss]
            if value.requires_grad:
                own = torch.autograd.grad(value / batches, weights, retain_graph=True, allow_unused=True)
                for mean, gradient in zip(means, own, strict=True):
                    if gradient is not None:
                        mean.add_(gradient)
    result: dict[str, dict[str, Pull]] = {}
    for part in dict.fromkeys(name.split(".")[0] for name in names):
        inside = [name.split(".")[0] == part for name in names]
        flat = {
            loss: torch.cat([g.flatten() for g, i in zip(parts, inside, strict=True) if i])
            for loss, parts in gradients.items()
        }
        whole = torch.stack(list(flat.values())).sum(0)
        result[part] = {
            loss: Pull(float(g.norm()), float(g @ whole / (g.norm() * whole.norm()))) for loss, g in flat.items()
        }
    return result


def _losses(trainer: Trainer, x: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Each loss times its weight, from one pass through the network."""
    apart = {}
    if trainer.mimic is None:
        outputs = trainer.model(x)
    else:
        trainer.mimic.attached = True
        outputs, apart = trainer.mimic(x, trainer.look(x, batch))
    guides = trainer.landmark_teachers(x) if trainer.landmark_teachers is not None else None
    nothing = dict.fromkeys(TASKS, 0.0) | {"hit": trainer.losses.hit}
    learnt = (-trainer.losses.log_variance.detach()).exp().tolist()  # 1 each without `uncertainty`
    result: dict[str, Tensor] = {
        task: Losses(nothing | {task: trainer.losses.weights[task] * factor})(outputs, batch, guides)[0]
        for task, factor in zip(TASKS, learnt, strict=True)
    }
    if trainer.mimic is not None:
        result |= {name: trainer.mimic.weights[name] * value for name, value in apart.items()}
    if trainer.teacher is not None:
        result["distilled"] = trainer.teacher(x, outputs)
    return result


def markdown(found: dict[str, dict[str, Pull]]) -> str:
    """A table with a row for each part: norms, with the cosine in brackets."""
    losses = list(next(iter(found.values())))
    rows = [["part", *losses], ["---"] * (len(losses) + 1)]
    rows += [
        [part, *(f"{pull[loss].norm:.3g} ({pull[loss].along:+.2f})" for loss in losses)] for part, pull in found.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
