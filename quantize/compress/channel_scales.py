"""The scale of each output channel: all channels of a level share one int8 scale, so each is brought to −1…1 first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quantize.compress.calibration import Images, outputs
from quantize.models import BOX, CHANNELS, LANDMARKS, SCORE, STRIDES, Network

Scales = dict[int, NDArray[np.float32]]
"""By stride: a factor for each of the 22 channels, (22,)."""

#: Logits beyond it are certain either way: no range is spent on them.
LOGIT_LIMIT = 8.0
#: Cells below this score are never decoded; what they say of box, points and rotation may be clipped.
RELEVANT_SCORE = 0.1
PERCENTILE = 99.9
#: Pixels of a face's side in the network's input that no range may cut off.
LARGEST_FACE = 640
BOX_SIZE = slice(BOX.start + 2, BOX.stop)
#: A channel that never moves still gets a range.
SMALLEST_RANGE = 0.05


def channel_scales(model: Network, *images: Images) -> Scales:
    """The factor s of every channel of every level, so that channel / s fills −1…1 on the cells that matter.

    All channels of a level share one int8 scale; unscaled, the score's ±8 would leave a rotation's ±1 four bits. The
    range of the score is the 99.9th percentile of |logit| over all cells, at most ``LOGIT_LIMIT``; that of the others
    the percentile over cells whose score is above ``RELEVANT_SCORE``. The five landmarks share one scale a level. With
    photos of several sizes, a channel's range is that of the size in which it is widest: TFLite's outputs end there,
    and the faces of small inputs are small. On the last level a box may be ``LARGEST_FACE`` in any case.
    """
    of_sizes = [_channel_scales(model, one) for one in images]
    scales = {s: np.max([one[s] for one in of_sizes], axis=0) for s in STRIDES}
    top = scales[STRIDES[-1]]
    top[BOX_SIZE] = np.maximum(top[BOX_SIZE], np.log(LARGEST_FACE / STRIDES[-1]))
    return scales


def _channel_scales(model: Network, images: Images) -> Scales:
    values: list[list[torch.Tensor]] = [[] for _ in STRIDES]
    logits: list[list[torch.Tensor]] = [[] for _ in STRIDES]
    threshold = float(np.log(RELEVANT_SCORE / (1 - RELEVANT_SCORE)))
    for levels in outputs(model, images):
        for i, level in enumerate(levels):
            said = level.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
            logits[i].append(said[:, SCORE])
            values[i].append(said[said[:, SCORE] > threshold])
    scales = {}
    for stride, level_values, level_logits in zip(STRIDES, values, logits, strict=True):
        cells = torch.cat(level_values).abs().numpy()
        s = np.ones(CHANNELS, np.float32)
        if len(cells):
            s = np.percentile(cells, PERCENTILE, axis=0).astype(np.float32)
            s[LANDMARKS] = s[LANDMARKS].max()
        s[SCORE] = min(LOGIT_LIMIT, float(np.percentile(torch.cat(level_logits).abs().numpy(), PERCENTILE)))
        scales[stride] = np.maximum(s, SMALLEST_RANGE)
    return scales


@torch.no_grad()
def shift_scores(model: Network, logits: float) -> Network:
    """Adds ``logits`` to every score, in place: detections keep their order, and another score becomes .5."""
    for head in model.heads:
        head.bias[SCORE] += logits  # type: ignore[index,operator]
    return model


@torch.no_grad()
def fold_scales(model: Network, scales: Scales) -> Network:
    """Divides the head's weights and biases by the channels' scales, in place; the decoder multiplies them back."""
    for head, stride in zip(model.heads, STRIDES, strict=True):
        conv: Any = head
        s = torch.from_numpy(scales[stride])
        conv.weight.div_(s[:, None, None, None])
        conv.bias.div_(s)
    return model
