"""Batch norm and ReLU in one for training in bfloat16 on a processor (batch_norm.cpp): PyTorch's own take two fifths of
a step there. Compiled when it is first used; without a compiler training goes on with PyTorch's.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantize.models.layers import ConvBNReLU
from quantize.run import console

FLAGS = ["-O3", "-march=native", *(["-mprefer-vector-width=512"] if platform.machine() == "x86_64" else [])]


@functools.cache
def compiled() -> Any:
    """The extension, or None where it cannot be had."""
    from torch.utils import cpp_extension

    source = Path(__file__).with_suffix(".cpp")
    # of each checkout its own: one that builds would take the library away from another's run
    name = f"edgeface_batch_norm_{hashlib.sha256(bytes(source)).hexdigest()[:8]}"
    try:
        return cpp_extension.load(name, [str(source)], extra_cflags=FLAGS)
    except (OSError, RuntimeError) as error:
        console.print(f"training without the compiled batch norm, slower: {error!s:.200}", highlight=False)
        return None


class _BatchNormReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        y, *saved = compiled().forward(
            x, weight, bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, relu
        )
        ctx.save_for_backward(x, *saved)
        ctx.relu = relu
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = compiled().backward(gradient, *ctx.saved_tensors, ctx.relu)
        return x, None, weight, bias, None


class FusedConvBNReLU(ConvBNReLU):
    """A ConvBNReLU that trains through the extension; the names and shapes of its weights are the same."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self[0](x)
        norm = self[1]
        lies = y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
        if not (isinstance(norm, nn.BatchNorm2d) and norm.training and lies):
            for layer in list(self)[1:]:
                y = layer(y)
            return y
        assert norm.num_batches_tracked is not None  # as ConvBNReLU makes it
        norm.num_batches_tracked += 1
        fused: Tensor = _BatchNormReLU.apply(y, norm, norm.weight, norm.bias, len(self) == 3)  # type: ignore[no-untyped-call]
        return fused
