"""A student of another shape that begins where a trained one ended, instead of from noise: what both have is copied,
and the rest of the backbone learns to give the pyramid what the old one does, level by level (FitNets, Romero et al.
2015, arXiv 1412.6550, with the old student as the teacher).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from quantize.model import Student, fuse
from quantize.train.loop import learning_rate
from quantize.train.mimic import features_apart
from quantize.train.optimizers import optimizers_of


def foreign_parts(new: Student, old: Student) -> list[str]:
    """Names of the children of ``new`` that have weights which ``old`` has not; batch norm of both is folded."""
    have = {name: weight.shape for name, weight in old.state_dict().items()}
    lacking = [name for name, weight in new.state_dict().items() if have.get(name) != weight.shape]
    return list(dict.fromkeys(name.split(".")[0] for name in lacking))


def inherit(
    new: Student,
    old: Student,
    views: Iterable[Tensor],
    steps: int,
    lr: float = 3e-3,
    report: Callable[[int, float], None] | None = None,
) -> Student:
    """``new``, fresh from `quantize.model.build_student`, with what ``old`` has learnt; its batch norm is folded.

    Args:
        views: batches (n, 3, h, w) float32 as a student takes them, ``steps`` of them.
        report: is called with each step and its distance, a mean over levels of ‖new − old‖² / ‖old‖².

    Raises:
        ValueError: the two give their pyramids different channels, or differ in more than their backbones.

    Examples:
        >>> from quantize.model import build_student
        >>> views = (torch.randn(2, 3, 64, 64) for _ in range(3))
        >>> foreign_parts(inherit(build_student("s"), build_student("thinned"), views, 3), fuse(build_student("s")))
        []
    """
    if new.backbone_widths != old.backbone_widths:
        raise ValueError(f"backbones must give {old.backbone_widths} channels, but got {new.backbone_widths}")
    old = fuse(old).requires_grad_(False)
    folded = fuse(copy.deepcopy(new))
    learnt = foreign_parts(folded, old)
    outside = [part for part in learnt if not _in_backbone(folded, part)]
    if outside:
        raise ValueError(f"students must differ in their backbones alone, but {', '.join(outside)} differ as well")
    for name, child in new.named_children():
        child.requires_grad_(name in learnt)
    new.train()
    optimizers = optimizers_of(new, nn.Module(), {"muon": True, "lr": lr, "weight_decay": 0.02})
    for step, x in enumerate(views):
        for group in (g for o in optimizers for g in o.param_groups):
            group["lr"] = learning_rate(step, steps, lr, min(60, steps // 4), 0.01)
        with torch.no_grad():
            wanted = old.backbone(x)
        apart = features_apart(new.backbone(x), wanted)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        apart.backward()
        nn.utils.clip_grad_norm_([p for p in new.parameters() if p.requires_grad], 5.0)
        for optimizer in optimizers:
            optimizer.step()
        if report is not None:
            report(step, float(apart.detach()))
    fuse(new).requires_grad_(True)
    copied = {k: v for k, v in old.state_dict().items() if k in new.state_dict() and k.split(".")[0] not in learnt}
    new.load_state_dict(new.state_dict() | copied)
    return new


def _in_backbone(model: Student, part: str) -> bool:
    """Whether the gradient of what the backbone gives reaches a child of ``model``."""
    weights = list(model.get_submodule(part).parameters())
    levels = model.backbone(torch.zeros(1, 3, 64, 64, device=weights[0].device))
    reached = torch.autograd.grad(torch.stack([v.sum() for v in levels]).sum(), weights, allow_unused=True)
    return any(g is not None for g in reached)
