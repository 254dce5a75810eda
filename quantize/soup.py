"""The mean of checkpoints that lie on one path of training, which often does better than each ("model soups",
Wortsman et al. 2022, arXiv 2203.05482).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from quantize.model import Student, checkpoint_of, fuse, grow, load_student


@torch.no_grad()
def mean(models: Sequence[Student]) -> Student:
    """A student whose weights are the mean of those of ``models``, batch norm folded.

    Depths may differ: a block that a model lacks adds nothing to the mean (its depthwise weights are those of the
    deepest model, its pointwise ones zero), as in `quantize.model.grow`. The models are changed: fused, and grown.

    Raises:
        ValueError: no models, or models that differ in more than depths.

    Example:
        >>> from quantize.model import build_student
        >>> mean([build_student("n"), build_student("n")]).config.depths
        (3, 2, 2)
    """
    if len({replace(m.config, depths=(0, 0, 0)) for m in models}) != 1:
        raise ValueError(f"a mean needs models of one kind, but got {[m.config for m in models]}")
    depths = [m.config.depths for m in models]
    most = [max(column) for column in zip(*depths, strict=True)]
    for model in models:
        grow(fuse(model), most)
    for model, own in zip(models, depths, strict=True):
        for number, have in enumerate(own):
            deepest = models[max(range(len(models)), key=lambda i: depths[i][number])]
            for block, trained in list(zip(model.stages[number], deepest.stages[number], strict=True))[1 + have :]:
                block.depthwise.load_state_dict(trained.depthwise.state_dict())
    states = [m.state_dict() for m in models]
    models[0].load_state_dict({k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]})
    return models[0].eval()


def mean_of_files(paths: Sequence[Path], device: str | torch.device = "cpu") -> Student:
    """`mean` of checkpoints; raises what `quantize.model.load_student` does besides."""
    return mean([load_student(path, device) for path in paths])


def mean_checkpoint(paths: Sequence[Path]) -> dict[str, Any]:
    """What ``load_student`` reads, with ``mean_of``: names and sha256 of the files."""
    named = [f"{p.name} sha256:{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in paths]
    return checkpoint_of(mean_of_files(paths), mean_of=named)
