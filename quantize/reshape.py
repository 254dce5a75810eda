"""Another shape for a trained edgeface-s, which computes what it did until it learns: the function is handed over, not
learnt anew ("Net2Net", Chen et al. 2016, arXiv 1511.05641).

- A dense 3x3 convolution more at stride 4 begins as the identity, which ReLU leaves as it is.
- A unit, a pointwise convolution under a depthwise one, is a dense 3x3 convolution whose kernels to one channel are all
  of one shape; as a dense one it has eight times the weights. At the frame's border it differs: there the depthwise one
  sees zeros, the dense one what the pointwise one adds to them.
- The branch of stride 32 becomes narrower by the channels that matter least to what reads them; instead of these it
  reads what the others say of them, by linear regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from quantize.dense import STEM, Dense
from quantize.model import StudentConfig, fuse, student_of
from quantize.thinned import Unit

RIDGE = 1e-3
"""Of the mean variance of a channel."""


@torch.no_grad()
def reshape(model: Dense, wanted: StudentConfig, photos: Sequence[Tensor]) -> Dense:
    """A new student with the function of ``model``, batch norm folded.

    Args:
        model: with batch norm folded.
        wanted: as ``model.config``, but for more ``stem_dense``, more ``dense_units`` or a smaller last of ``widths``.
        photos: batches (n, 3, h, w) float32 as a student takes them, that the branch's channels are compared on.

    Raises:
        ValueError: batch norm is not folded, ``wanted`` is of another kind, or a narrower branch lacks photos.

    Examples:
        >>> from quantize.model import build_student
        >>> old = fuse(build_student("s"))
        >>> new = reshape(old, replace(old.config, stem_dense=1, dense_units=("towers.0",)), [])
        >>> len(new.stem), type(new.towers[0]).__name__
        (3, 'ConvBNReLU')
    """
    have = model.config
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ValueError("model must have its batch norm folded, but got one with batch norm")
    model.eval()
    alike = replace(wanted, stem_dense=have.stem_dense, dense_units=have.dense_units, widths=have.widths)
    larger = wanted.stem_dense >= have.stem_dense and set(wanted.dense_units) >= set(have.dense_units)
    if alike != have or not larger or wanted.widths[2] > have.widths[2]:
        raise ValueError(
            f"what is wanted must be {have} with more that is dense or a narrower branch, but got {wanted}"
        )
    new = fuse(student_of(wanted))
    state = model.state_dict()
    for number in range(len(model.stem), len(new.stem)):
        weight = nn.init.dirac_(torch.empty(STEM, STEM, 3, 3))
        state |= {f"stem.{number}.0.weight": weight, f"stem.{number}.0.bias": torch.zeros(STEM)}
    for name in set(wanted.dense_units) - set(have.dense_units):
        unit = model.get_submodule(name)
        assert isinstance(unit, Unit)
        state = {k: v for k, v in state.items() if not k.startswith(f"{name}.")} | {
            f"{name}.0.{k}": v for k, v in _as_dense(unit).items()
        }
    if wanted.widths[2] < have.widths[2]:
        if not photos:
            raise ValueError("there must be photos to compare the branch's channels on, but got none")
        state |= _narrower(model, wanted.widths[2], photos)
    new.load_state_dict(state)
    assert isinstance(new, Dense)
    return new


def _as_dense(unit: Unit) -> dict[str, Tensor]:
    pointwise, depthwise = unit.pointwise[0], unit.depthwise[0]
    assert isinstance(pointwise, nn.Conv2d) and isinstance(depthwise, nn.Conv2d)
    assert pointwise.bias is not None and depthwise.bias is not None
    total = depthwise.weight.sum((1, 2, 3))
    return {
        "weight": depthwise.weight * pointwise.weight,
        "bias": depthwise.bias + total * pointwise.bias,
    }


def _narrower(model: Dense, width: int, photos: Sequence[Tensor]) -> dict[str, Tensor]:
    """The branch's weights with the ``width`` channels whose variance matters most to what reads them."""
    blocks = range(1, len(model.stage32))
    state = model.state_dict()
    readers = ["join32", *(f"stage32.{i}.pointwise" for i in blocks)]
    inputs = _inputs_of(model, readers, photos)
    shares = [x.var(0) * state[f"{name}.0.weight"].square().sum((0, 2, 3)) for name, x in inputs.items()]
    matters = torch.stack([share / share.sum() for share in shares]).sum(0)
    keep, drop = (x.sort().values for x in matters.argsort(descending=True).tensor_split([width]))
    for name, x in inputs.items():
        weight, mean = state[f"{name}.0.weight"][:, :, 0, 0], x.mean(0)
        covariance = torch.cov(x.T)
        kept = covariance[keep][:, keep]
        kept.diagonal().add_(RIDGE * kept.diagonal().mean())
        instead = weight[:, drop] @ torch.linalg.solve(kept, covariance[keep][:, drop]).T
        state[f"{name}.0.bias"] = state[f"{name}.0.bias"] + weight[:, drop] @ mean[drop] - instead @ mean[keep]
        state[f"{name}.0.weight"] = (weight[:, keep] + instead)[:, :, None, None]
    for name in [
        "stage32.0.pointwise",
        *(f"stage32.{i}.{part}" for i in blocks for part in ("depthwise", "pointwise")),
    ]:
        for part in ("weight", "bias"):
            state[f"{name}.0.{part}"] = state[f"{name}.0.{part}"][keep]
    return {k: v for k, v in state.items() if k.startswith(("stage32.", "join32."))}


def _inputs_of(model: Dense, names: list[str], photos: Sequence[Tensor]) -> dict[str, Tensor]:
    """(cells of all photos, channels) that go into the convolutions of those names."""
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[name].append(inputs[0].movedim(1, -1).flatten(0, -2))

        return hook

    hooks = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    try:
        for x in photos:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}
