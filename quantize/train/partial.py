"""A training of a part of the network. For some outputs alone, their rows of the heads learn anew what the features say
of them, and every other output stays as it is to the bit. Or layers stay as they are, and what comes before the first
that learns needs no way back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from quantize.config import ConfigError
from quantize.model import CHANNELS, OUTPUTS, Student


def learn_only(model: Student, names: Sequence[str]) -> None:
    """Freezes ``model`` in place but for the rows of its heads that give ``names``, keys of `quantize.model.OUTPUTS`.

    Decay is not seen here: an optimizer that decays weights shrinks the other rows all the same.

    Raises:
        ConfigError: another name, or a network with batch norm, whose statistics would go on.
    """
    if unknown := sorted(set(names) - set(OUTPUTS)):
        raise ConfigError(f"only must be of {', '.join(OUTPUTS)}, but got {', '.join(unknown)}")
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ConfigError("only needs fold_norm = true: batch norm would go on learning")
    learns = torch.zeros(CHANNELS, 1, 1, 1)
    for name in names:
        learns[OUTPUTS[name]] = 1  # type: ignore[index]
    model.requires_grad_(False)
    for head in model.heads:
        for p in head.parameters():
            p.requires_grad_(True)
            p.register_hook(lambda grad: grad * learns.to(grad).reshape(-1, *[1] * (grad.dim() - 1)))


def freeze(model: Student, names: Sequence[str]) -> None:
    """Keeps the submodules of these names (``stem``, ``stage8.0``) as they are, in place.

    Raises:
        ConfigError: there is no such submodule, or the network has batch norm, whose statistics would go on.
    """
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ConfigError("frozen needs fold_norm = true: batch norm would go on learning")
    modules = dict(model.named_modules())
    if unknown := [name for name in names if name not in modules]:
        raise ConfigError(f"frozen must name parts of the network, but got {', '.join(unknown)}")
    for name in names:
        modules[name].requires_grad_(False)
