"""Weights rounded together instead of one by one: what the rounding of one does to a layer's results is made up for by
the weights that are rounded after it, as far as their inputs go together (Frantar et al. 2023, "GPTQ", arXiv
2210.17323, after Hassibi and Stork 1993, "Optimal Brain Surgeon"). Then the layer's biases take up what is left of the
mean error (Nagel et al. 2019, arXiv 1906.04721). Layer after layer, each with the inputs that the rounded ones before
it give.

The grid has a scale for each output channel, with the largest weight at ±127. Whoever rounds the result to the nearest
finds it again, so both exporters carry the same weights. Of several such scales, a few percent to either side of the
one that leaves the largest weight as it is, each channel takes the one by which its results err least.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.compress.calibration import Images, as_real
from quantize.models import Student
from quantize.models.layers import ConvBNReLU

STEPS = 127
SPREAD = 0.04
"""How far the scales that are tried lie from the one that leaves the largest weight as it is."""
DAMPING = 0.01
"""Of the mean diagonal, added to it: inputs that hardly vary have no say."""
PATCHES = 3000
"""Of each batch, drawn at random: a batch of photos has a hundred thousand at stride 2."""


def rounded_result(_: nn.Module, __: Any, value: Tensor) -> Tensor:
    """A forward hook: 256 steps between the smallest and the largest value, zero among them."""
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    step = max((high - low) / 255, 1e-12)
    zero = round(-low / step)
    return ((value / step).round() + zero).clamp(0, 255).sub(zero).mul(step)


@torch.no_grad()
def round_weights(model: Student, images: Sequence[Images], seed: int = 0, batch: int = 8, grids: int = 41) -> Student:
    """A copy whose weights lie on the int8 grid.

    Args:
        model: with batch norm folded.
        images: calibration photos, arrays (n, h, w, 3) uint8 of any sizes.
        seed: of the patches that inputs are measured on.
        batch: photos at a time.
        grids: how many scales of a channel's grid are tried, an odd number; 1: its largest weight stays as it is.

    Raises:
        ValueError: batch norm is not folded, there are no photos, or ``grids`` is not odd.

    Examples:
        >>> int8_ready = round_weights(fuse(load_student(path)), [images])  # doctest: +SKIP
    """
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ValueError("model must have its batch norm folded, but got one with batch norm")
    if grids < 1 or grids % 2 == 0:
        raise ValueError(f"grids must be an odd number, but got {grids}")
    batches = [torch.from_numpy(as_real(some[i : i + batch])) for some in images for i in range(0, len(some), batch)]
    batches = [x.contiguous(memory_format=torch.channels_last) for x in batches]
    if not batches:
        raise ValueError("there must be calibration photos, but got none")
    model = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = copy.deepcopy(model)
    blocks = {m[0]: m for m in result.modules() if isinstance(m, ConvBNReLU)}
    generator, hooks = torch.Generator().manual_seed(seed), []
    for name in _in_order(result):
        conv = result.get_submodule(name)
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        conv.weight.copy_(_rounded(conv.weight, _second_moments(result, conv, batches, generator), grids))
        conv.bias += _mean_result(model, name, batches) - _mean_result(result, name, batches)
        if conv in blocks:  # the last convolutions' results are outputs
            hooks.append(blocks[conv].register_forward_hook(rounded_result))
    for hook in hooks:
        hook.remove()
    return result


def _rounded(weight: Tensor, moments: Tensor, grids: int) -> Tensor:
    """Weights (o, i, k, k) on the best of so many grids, for inputs with the second ``moments`` (g, i·k·k, i·k·k) of
    each group.
    """
    groups, size, _ = moments.shape
    w = weight.reshape(groups, -1, size).double()
    diagonal = moments.diagonal(dim1=1, dim2=2)
    order = diagonal.argsort(1, descending=True)  # the inputs that matter most first, while others can make up for them
    w = w.gather(2, order[:, None].expand_as(w))
    moments = torch.stack([m[o][:, o] for m, o in zip(moments, order, strict=True)])
    damped = moments + torch.eye(size) * (DAMPING * diagonal.mean(1).clamp(min=1e-9))[:, None, None]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    share = torch.linalg.cholesky(inverse, upper=True)
    result, least = w, torch.full(w.shape[:2], torch.inf, dtype=w.dtype)
    for i in range(grids):
        scale = 1 + SPREAD * (i - grids // 2) / max(grids // 2, 1)
        tried = _on_grid(w, share, scale)
        error = torch.einsum("goi,gij,goj->go", tried - w, moments, tried - w)
        result = torch.where((error < least)[..., None], tried, result)
        least = torch.minimum(error, least)
    back = torch.empty_like(result).scatter_(2, order[:, None].expand_as(result), result)
    return back.reshape(weight.shape).to(weight)


def _on_grid(weight: Tensor, share: Tensor, scale: float) -> Tensor:
    """Weights (g, o, i) rounded one input after the other, each error shared out among the inputs that follow."""
    w, result = weight.clone(), torch.zeros_like(weight)
    step = scale * w.abs().amax(2).clamp(min=1e-12) / STEPS
    largest = w.abs().argmax(2)
    sign = w.gather(2, largest[..., None]).sign()[..., 0]
    for j in range(w.shape[2]):
        nearest = (w[..., j] / step).round().clamp(-STEPS, STEPS)
        # the largest weight stays the largest, or the exporters would find another grid
        result[..., j] = torch.where(largest == j, sign * STEPS, nearest) * step
        error = (w[..., j] - result[..., j]) / share[:, j, j, None]
        w[..., j + 1 :] -= error[..., None] * share[:, None, j, j + 1 :]
    return result


def _second_moments(model: nn.Module, conv: nn.Conv2d, batches: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """The mean of x·xᵀ over patches x of the layer's input, (groups, i·k·k, i·k·k)."""
    total, count = torch.zeros(()), 0
    for x in batches:
        seen, _ = _at(model, conv, x)
        patches = F.unfold(seen, conv.kernel_size, padding=conv.padding, stride=conv.stride)  # type: ignore[arg-type]
        patches = patches.transpose(1, 2).flatten(0, 1)
        patches = patches[torch.randperm(len(patches), generator=generator)[:PATCHES]].double()
        of_groups = patches.reshape(len(patches), conv.groups, -1).transpose(0, 1)
        total, count = total + of_groups.transpose(1, 2) @ of_groups, count + len(patches)
    return total / count


def _mean_result(model: nn.Module, name: str, batches: Sequence[Tensor]) -> Tensor:
    """Of each channel of a layer, (o,); photos of any size count the same."""
    means = [_at(model, model.get_submodule(name), x)[1].mean((2, 3)) for x in batches]
    return torch.cat(means).mean(0)


class _ReachedError(Exception):
    """Nothing after a layer is worked out: its input and its result are the arguments."""


def _at(model: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    def stop(_: nn.Module, inputs: tuple[Tensor], result: Tensor) -> None:
        raise _ReachedError(inputs[0], result)

    hook = layer.register_forward_hook(stop)
    try:
        model(x)
    except _ReachedError as reached:
        return reached.args
    finally:
        hook.remove()
    raise ValueError(f"layer must be one of the model's, but got {layer}")


def _in_order(model: nn.Module) -> list[str]:
    """Names of the convolutions as they run."""
    names = {m: name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found: list[str] = []
    hooks = [m.register_forward_hook(lambda m, _, __: found.append(names[m])) for m in names]
    model(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return found
