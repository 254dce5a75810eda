"""bfloat16 training where the processor has it (AVX512-BF16, AMX): weights stay float32, most convolutions do not.

oneDNN's backward pass of strided and of 5x5 depthwise convolutions is several times slower in bfloat16 than in float32
(it falls back to a reference kernel), and the heads predict coordinates, for which eight bits of mantissa are few:
both stay in float32.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.models import Student
from quantize.models.layers import ConvBNReLU
from quantize.train.batch_norm import FusedConvBNReLU, compiled


class Float32Conv2d(nn.Conv2d):
    """A convolution that autocast leaves alone; its result has the type of what surrounds it unless ``widen``."""

    widen = False

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            if self.kernel_size == (1, 1):  # as a matrix product: PyTorch takes its slowest kernel for few channels
                y = F.linear(x.float().permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
            else:
                y = super().forward(x.float())
        return y if self.widen else y.to(x.dtype)


def prefer_bfloat16(model: Student) -> Student:
    """Prepares ``model``, in place, for a forward pass under ``torch.autocast(device, torch.bfloat16)``. Its weights
    keep their names and shapes.
    """
    for conv in model.modules():
        if isinstance(conv, nn.Conv2d) and conv.groups > 1 and (conv.stride != (1, 1) or conv.kernel_size != (3, 3)):
            conv.__class__ = Float32Conv2d
    for head in model.heads:
        assert isinstance(head, nn.Conv2d)
        head.__class__ = Float32Conv2d
        head.widen = True  # type: ignore[assignment]
    if next(model.parameters()).device.type == "cpu" and compiled() is not None:
        for block in model.modules():
            if type(block) is ConvBNReLU:
                block.__class__ = FusedConvBNReLU
    return model


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 pays on ``device``: accelerators, and processors with AVX512-BF16 (it is 18 times slower on
    others).
    """
    if device.type != "cpu":
        return True
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
