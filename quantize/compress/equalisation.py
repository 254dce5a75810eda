"""Equalised channels: the same float function with activations that one scale of eight bits suits better.

A tensor has one scale; a channel whose values stay small has few steps of it left. Where a convolution feeds one
other convolution alone, a channel can be multiplied in the first and divided in the second (cross-layer equalisation,
Nagel et al. 2019, arXiv 1906.04721, here by the ranges of activations): ReLU and pooling between them let the factor
through. Weights have a scale for each output channel, so that the first convolution loses nothing, and the second
little.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from quantize.compress.calibration import Images, as_real
from quantize.models import Network
from quantize.models.layers import ConvBNReLU

MOST = 64.0
"""A channel is taken to reach at least this fraction of the largest one, so that dead channels do not blow up."""


def pairs(model: Network) -> list[tuple[ConvBNReLU, ConvBNReLU]]:
    """Convolutions, each with the only one that reads its result."""
    return [pair for chain in model.chains() for pair in pairwise(chain)]


@torch.no_grad()
def equalise(model: Network, images: Images, strength: float = 0.5) -> Network:
    """Scales the channels between each pair, in place.

    Args:
        model: with batch norm folded.
        images: calibration photos, (n, h, w, 3) uint8.
        strength: 0 leaves all as it is, 1 gives the channels of a tensor the same largest value; in between the second
            convolution's weights stay more even. The paper's rule for weights is the middle.

    Returns:
        The same model, which computes what it did.

    Raises:
        ValueError: ``strength`` is not in 0 to 1, or batch norm is not folded.

    Examples:
        >>> equalise(fuse(load_student(path)), images)  # doctest: +SKIP
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in 0 to 1, but got {strength}")
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ValueError("model must have its batch norm folded, but got one with batch norm")
    largest = _largest(model, images)
    for (first, second), top in zip(pairs(model), largest, strict=True):
        factor = (top.max() / top.clamp(min=float(top.max()) / MOST)) ** strength if top.max() > 0 else None
        if factor is None:
            continue
        a, b = first[0], second[0]
        assert isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d) and a.bias is not None
        a.weight.mul_(factor[:, None, None, None])
        a.bias.mul_(factor)
        b.weight.div_(factor[:, None, None, None] if b.groups > 1 else factor[None, :, None, None])
    return model


def _largest(model: Network, images: Images) -> list[Tensor]:
    """Of each pair's first convolution, the largest value of every channel."""
    found: list[Tensor] = []
    hooks = []
    for i, (first, _) in enumerate(pairs(model)):
        found.append(torch.zeros(first[0].out_channels))  # type: ignore[call-overload]

        def keep(_module: nn.Module, _inputs: Any, output: Tensor, i: int = i) -> None:
            found[i] = torch.maximum(found[i], output.abs().amax((0, 2, 3)))

        hooks.append(first.register_forward_hook(keep))
    try:
        for image in images:
            model(torch.from_numpy(as_real(image[None])))
    finally:
        for hook in hooks:
            hook.remove()
    return found
