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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from quantize.compress.calibration import Images, as_real
from quantize.models import Network
from quantize.models.layers import ConvBNReLU

STEPS = 127
SPREAD = 0.04
"""How far the scales that are tried lie from the one that leaves the largest weight as it is."""
DAMPING = 0.01
"""Of the mean diagonal, added to it: inputs that hardly vary have no say."""
BLOCK = 64
"""Inputs that are rounded before their errors reach the rest (lazy batch updates, as in the paper)."""
PATCHES = 3000
"""Of each batch, drawn at random: a batch of photos has a hundred thousand at stride 2."""


def rounded_result(_: nn.Module, __: Any, value: Tensor) -> Tensor:
    """A forward hook: 256 steps between the smallest and the largest value, zero among them."""
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    step = max((high - low) / 255, 1e-12)
    zero = round(-low / step)
    return ((value / step).round() + zero).clamp(0, 255).sub(zero).mul(step)


@torch.no_grad()
def round_weights(
    model: Network,
    images: Sequence[Images],
    seed: int = 0,
    batch: int = 8,
    grids: int = 41,
    progress: Callable[[int, int], None] | None = None,
) -> Network:
    """A copy whose weights lie on the int8 grid.

    Args:
        model: with batch norm folded.
        images: calibration photos, arrays (n, h, w, 3) uint8 of any sizes.
        seed: of the patches that inputs are measured on.
        batch: photos at a time.
        grids: how many scales of a channel's grid are tried, an odd number; 1: its largest weight stays as it is.
        progress: is told how many layers are done, and of how many.

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
    wanted = _mean_results(model, batches)
    result = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    # the last convolutions' results are outputs and stay as they are
    ends = {f"{name}.{len(m) - 1}" for name, m in result.named_modules() if isinstance(m, ConvBNReLU)}
    for done, (name, module, seen) in enumerate(_in_step(result, batches, ends), 1):
        assert module.bias is not None
        module.weight.copy_(_rounded(module.weight, _second_moments(module, seen, generator), grids))
        module.bias += wanted[name] - torch.cat([module(x).mean((2, 3)) for x in seen]).mean(0)
        if progress is not None:
            progress(done, len(wanted))
    return result


def _in_step(
    model: nn.Module, batches: Sequence[Tensor], ends: set[str]
) -> Iterator[tuple[str, nn.Conv2d, list[Tensor]]]:
    """Each convolution with its name and what it is given, in the order in which they run. All batches go through the
    network together, once: what is changed in a convolution by whoever is given it counts from there on. The results of
    the modules named ``ends`` are rounded to eight bits.
    """
    traced = fx.symbolic_trace(model)
    runs = [fx.Interpreter(traced) for _ in batches]
    for node in traced.graph.nodes:
        if node.op == "output":
            return
        if node.op == "placeholder":
            for run, x in zip(runs, batches, strict=True):
                run.env[node] = x
            continue
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d):
            yield str(node.target), module, [run.env[node.args[0]] for run in runs]
        for run in runs:
            value = run.run_node(node)
            if module is not None and node.target in ends:
                value = rounded_result(module, None, value)
            run.env[node] = value
            for unused in run.user_to_last_uses.get(node, []):
                del run.env[unused]


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
    half = grids // 2
    scales = 1 + SPREAD * (torch.arange(grids, dtype=torch.float64) - half) / max(half, 1)
    tried = _on_grids(w, share, scales)
    lost = tried - w
    error = ((lost @ moments) * lost).sum(-1)
    best = error.argmin(0)
    result = tried.gather(0, best[None, :, :, None].expand(1, *w.shape))[0]
    back = torch.empty_like(result).scatter_(2, order[:, None].expand_as(result), result)
    return back.reshape(weight.shape).to(weight)


def _on_grids(weight: Tensor, share: Tensor, scales: Tensor) -> Tensor:
    """Weights (g, o, i) rounded one input after the other, each error shared out among the inputs that follow, once for
    each of the ``scales`` (n,): (n, g, o, i).
    """
    size = weight.shape[2]
    w = weight.expand(len(scales), *weight.shape).clone()
    step = scales[:, None, None] * weight.abs().amax(2).clamp(min=1e-12) / STEPS
    largest = weight.abs().argmax(2)
    # the largest weight stays the largest, or the exporters would find another grid
    at_largest = weight.gather(2, largest[..., None]).sign()[..., 0] * STEPS * step
    result = torch.empty_like(w)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        part, errors = w[..., start:end].clone(), torch.empty_like(w[..., start:end])
        for k, j in enumerate(range(start, end)):
            nearest = (part[..., k] / step).round().clamp(-STEPS, STEPS) * step
            result[..., j] = torch.where(largest == j, at_largest, nearest)
            errors[..., k] = (part[..., k] - result[..., j]) / share[:, j, j, None]
            part[..., k + 1 :] -= errors[..., k, None] * share[:, None, j, j + 1 : end]
        w[..., end:] -= errors @ share[:, start:end, end:]
    return result


def _second_moments(conv: nn.Conv2d, inputs: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """The mean of x·xᵀ over patches x of the layer's input, (groups, i·k·k, i·k·k)."""
    total, count = torch.zeros(()), 0
    assert not isinstance(conv.padding, str)
    (kh, kw), (sh, sw), (ph, pw) = conv.kernel_size, conv.stride, conv.padding
    for x in inputs:
        windows = F.pad(x, (pw, pw, ph, ph)).unfold(2, kh, sh).unfold(3, kw, sw)
        n, _, rows, columns, _, _ = windows.shape
        which = torch.randperm(n * rows * columns, generator=generator)[:PATCHES]
        photo, place = which // (rows * columns), which % (rows * columns)
        patches = windows[photo, :, place // columns, place % columns].flatten(1)
        of_groups = patches.reshape(len(patches), conv.groups, -1).transpose(0, 1)
        total, count = total + (of_groups.transpose(1, 2) @ of_groups).double(), count + len(patches)
    return total / count


def _mean_results(model: nn.Module, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """Of each channel of each convolution (o,), in the order in which they run; photos of any size count the same."""
    names = {m: name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    means: dict[str, list[Tensor]] = {}

    def keep(conv: nn.Module, _: Any, result: Tensor) -> None:
        means.setdefault(names[conv], []).append(result.mean((2, 3)))  # type: ignore[index]

    hooks = [conv.register_forward_hook(keep) for conv in names]
    for x in batches:
        model(x)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(of).mean(0) for name, of in means.items()}
