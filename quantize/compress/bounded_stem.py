"""A first layer whose values end before the rarest of them do.

Its values have long tails: the median of most channels is less than a tenth of the largest value, which single edges
of black and white reach. One scale of eight bits over all leaves most with a handful of steps, and no other layer's
rounding costs s as much. So each channel is scaled to
reach 6 where all but a few values end, ReLU becomes ReLU6, and the next convolution divides by what the first was
multiplied with. Ranges that are measured afterwards end at 6 by themselves, and ReLU6 costs what ReLU does. (Bounds
that are learned: Choi et al. 2018, "PACT", arXiv 1805.06085.)
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from quantize.compress.calibration import Images, as_real
from quantize.models import Network
from quantize.models.layers import ConvBNReLU
from quantize.models.student import Student, bound

BOUND = 6.0
LEAST_SHARE = 1 / 3
"""Of its own largest value, that a channel reaches in any case: the percentile of one that rarely speaks is 0."""
SMALLEST = 1e-3
"""Of the bound of the largest channel: one that never speaks gets no endless factor."""
EVERY = 2
"""So many rows and columns: four photos of 320x320 alone give each channel a hundred thousand values."""


@torch.no_grad()
def bound_stem(model: Network, images: Images, percentile: float, batch: int = 8) -> Network:
    """Bounds the first convolution's results, in place.

    Args:
        model: with batch norm folded.
        images: calibration photos, (n, h, w, 3) uint8.
        percentile: of the values of each channel over all photos, that stay as they are, as does all below a third
            of its largest; 100 leaves the model as it is.
        batch: photos at a time.

    Returns:
        The same model. What it computes differs by the values that were cut off, and by rounding.

    Raises:
        ValueError: ``percentile`` is not above 0 and at most 100, batch norm is not folded, or there are no photos.

    Examples:
        >>> bound_stem(fuse(load_student(path)), images, 99.97)  # doctest: +SKIP
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, but got {percentile}")
    if any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        raise ValueError("model must have its batch norm folded, but got one with batch norm")
    if not len(images):
        raise ValueError("there must be calibration photos, but got none")
    if percentile == 100:
        return model
    first, second = model.stem[0], model.stem[1]
    assert isinstance(first, ConvBNReLU) and isinstance(second, ConvBNReLU)
    ends = _ends(first, images, percentile, batch)
    factor = BOUND / ends.clamp(min=max(float(ends.max()) * SMALLEST, 1e-9))
    a, b = first[0], second[0]
    assert isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d) and a.bias is not None
    a.weight.mul_(factor[:, None, None, None])
    a.bias.mul_(factor)
    b.weight.div_(factor[None, :, None, None])
    if isinstance(model, Student):
        model.architecture = replace(model.architecture, bounded=True)
    else:
        model.bounded = True
    bound(model)
    return model


def _ends(layer: nn.Module, images: Images, percentile: float, batch: int) -> Tensor:
    """Where the values of each channel of the layer's results are to end."""
    seen = [
        layer(torch.from_numpy(as_real(images[i : i + batch])))[:, :, ::EVERY, ::EVERY].transpose(0, 1).flatten(1)
        for i in range(0, len(images), batch)
    ]
    values = torch.cat(seen, 1)
    kept = max(1, round(values.shape[1] * percentile / 100))
    return torch.maximum(values.kthvalue(kept, 1).values, values.amax(1) * LEAST_SHARE)
