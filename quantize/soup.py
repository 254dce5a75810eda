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

from quantize.model import LANDMARKS, Student, checkpoint_of, fuse, grow, load_student


@torch.no_grad()
def mean(models: Sequence[Student], landmarks: int | None = None) -> Student:
    """A student whose weights are the mean of those of ``models``, batch norm folded.

    Depths may differ: a block that a model lacks adds nothing to the mean (its depthwise weights are those of the
    deepest model, its pointwise ones zero), as in `quantize.model.grow`. The models are changed: fused, and grown.

    ``landmarks``: the model whose rows of the heads for the five points are kept instead of averaged, where one has
    learnt from labels drawn by other rules than the rest.

    Raises:
        ValueError: no models, or models that differ in more than depths.

    Examples:
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
                block.depthwise.load_state_dict(trained.depthwise.state_dict())  # type: ignore[union-attr]
    states = [m.state_dict() for m in models]
    averaged = {k: torch.stack([s[k] for s in states]).mean(0) for k in states[0]}
    if landmarks is not None:
        for k in (k for k in averaged if k.startswith("heads.")):
            averaged[k][LANDMARKS] = states[landmarks][k][LANDMARKS]
    models[0].load_state_dict(averaged)
    return models[0].eval()


def mean_of_files(paths: Sequence[Path], device: str | torch.device = "cpu", landmarks: int | None = None) -> Student:
    """`mean` of checkpoints; raises what `quantize.model.load_student` does besides."""
    return mean([load_student(path, device) for path in paths], landmarks)


def mean_checkpoint(paths: Sequence[Path], landmarks: Path | None = None) -> dict[str, Any]:
    """What ``load_student`` reads, with ``mean_of``: names and sha256 of the files, and which the ``landmarks`` are of.

    Raises:
        ValueError: besides those of `mean`, ``landmarks`` that are of none of the files.
    """
    if landmarks is not None and landmarks not in paths:
        raise ValueError(f"landmarks must be of one of the checkpoints, but got {landmarks}")
    own = None if landmarks is None else list(paths).index(landmarks)
    named = [f"{p.name} sha256:{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in paths]
    if own is not None:
        named[own] += " (whose landmarks are kept)"
    return checkpoint_of(mean_of_files(paths, landmarks=own), mean_of=named)
