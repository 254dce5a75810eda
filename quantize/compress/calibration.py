"""Photos that ranges are measured on (of the training sets only), and the scale of each output channel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from quantize.data.sample import Sample
from quantize.models.detector import letterbox
from quantize.models import BOX, CHANNELS, LANDMARKS, ROTATION, SCORE, STRIDES, Student

Images = NDArray[np.uint8]

#: Logits beyond it are certain either way: no range is spent on them.
LOGIT_LIMIT = 8.0
#: Cells below this score are never decoded; what they say of box, points and rotation may be clipped.
RELEVANT_SCORE = 0.1
PERCENTILE = 99.9
#: Pixels of a face's side in the network's input that no range may cut off.
LARGEST_FACE = 640
BOX_SIZE = slice(BOX.start + 2, BOX.stop)
#: The z of the rotation's first column, in the camera's optical frame.
LOOKS_RIGHT = ROTATION.start + 2
#: Of the longer side of a photo: a face that fills it.
FILLING = 0.6
#: A channel that never moves still gets a range.
SMALLEST_RANGE = 0.05


def choose_photos(samples: Sequence[Sample], count: int, seed: int) -> list[Path]:
    """``count`` photos, as many of each source as there are, in an order that the seed fixes.

    Raises:
        ValueError: a photo lies in a folder called ``val`` or ``test``: calibration may not see what is measured.
    """
    rng = np.random.default_rng(seed)
    by_source: dict[str, list[Path]] = {}
    for s in samples:
        if {"val", "test"} & set(s.path.parts):
            raise ValueError(f"calibration photos must be of the training sets, but got {s.path}")
        by_source.setdefault(s.source, []).append(s.path)
    queues = [[paths[i] for i in rng.permutation(len(paths))] for _, paths in sorted(by_source.items())]
    chosen: list[Path] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return chosen


def choose_filled(samples: Sequence[Sample], count: int, seed: int) -> list[Path]:
    """`choose_photos` of those that a face fills, as far as there are such: few cells say that a face is that large,
    too few for a range if few photos have them.
    """

    def filled(s: Sample) -> bool:
        longest = max((float((f.box[2:] - f.box[:2]).max()) for f in s.faces), default=0.0)
        return longest >= FILLING * max(s.width, s.height)

    return choose_photos([s for s in samples if filled(s)], count, seed)


def choose_large(samples: Sequence[Sample], count: int, seed: int) -> list[Path]:
    """`choose_photos` for large inputs, half of them by `choose_filled`."""
    near = choose_filled(samples, count // 2, seed)
    return near + choose_photos([s for s in samples if s.path not in near], count - len(near), seed)


def load_photos(paths: Iterable[Path], size: tuple[int, int]) -> Images:
    """RGB (n, h, w, 3) uint8, letterboxed to ``size`` (width, height) as the device does. Unreadable photos raise
    ValueError.
    """
    tensors = []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f"calibration photo must be readable, but got {path}")
        out = np.empty((1, size[1], size[0], 3), np.uint8)
        letterbox(np.asarray(image, np.uint8), out, 1 / 128, 128)
        tensors.append(out)
    if not tensors:
        raise ValueError("there must be calibration photos, but got none")
    return np.concatenate(tensors)


def as_real(images: Images) -> NDArray[np.float32]:
    """(n, h, w, 3) uint8 to (n, 3, h, w) float32 of real values, (p − 128) / 128."""
    return np.ascontiguousarray((images.astype(np.float32) - np.float32(128)) / np.float32(128)).transpose(0, 3, 1, 2)


@torch.no_grad()
def outputs(model: Student, images: Images, batch: int = 8) -> Iterator[tuple[torch.Tensor, ...]]:
    """The network's outputs, batch by batch."""
    for i in range(0, len(images), batch):
        x = torch.from_numpy(as_real(images[i : i + batch])).contiguous(memory_format=torch.channels_last)
        yield model(x)


def channel_scales(model: Student, *images: Images) -> dict[int, NDArray[np.float32]]:
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


def _channel_scales(model: Student, images: Images) -> dict[int, NDArray[np.float32]]:
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
def shift_scores(model: Student, logits: float) -> Student:
    """Adds ``logits`` to every score, in place: detections keep their order, and another score becomes .5."""
    for head in model.heads:
        head.bias[SCORE] += logits  # type: ignore[index,operator]
    return model


@torch.no_grad()
def lean_scores(model: Student, per_octave: float) -> Student:
    """Adds ``per_octave`` · log2(√(w·h) / 32 px) to the logit of every score, in place: of two faces alike the larger
    one comes first. A box's sides are e to the power of two outputs, times the stride, so that the sum is a row
    of weights as before and costs nothing.

    Args:
        model: its heads' rows of scores are changed.
        per_octave: logits for a box of twice the side, in pixels of the network's input.
    """
    half = per_octave / 2 / math.log(2)
    for head, stride in zip(model.heads, STRIDES, strict=True):
        conv: Any = head
        for side in (BOX.start + 2, BOX.start + 3):
            conv.weight[SCORE] += half * conv.weight[side]
            conv.bias[SCORE] += half * conv.bias[side]
        conv.bias[SCORE] += per_octave * math.log2(stride / 32)
    return model


@torch.no_grad()
def shift_boxes(model: Student, strides: Sequence[Sequence[float]]) -> Student:
    """Moves every box by (x, y) strides of its level, in place: a student has learnt its teacher's boxes, which lie
    beside those that people draw by as much as is the same everywhere.

    Args:
        model: its heads' biases are changed.
        strides: x to the right and y down, for each of the levels.

    Raises:
        ValueError: not two numbers for each level.
    """
    for head, (x, y) in zip(model.heads, strides, strict=True):
        head.bias[BOX.start] += x  # type: ignore[index,operator]
        head.bias[BOX.start + 1] += y  # type: ignore[index,operator]
    return model


@torch.no_grad()
def shift_turned_boxes(model: Student, strides: float) -> Student:
    """Moves the box of a face in profile by ``strides`` of its level to the side it looks to, others by as much less
    as they are turned less, in place: of a profile people draw what shows of the face, and a student reaches for the
    ear. How far a face looks to the right is the z of the head's x axis, an output, so that the sum is a row of
    weights as before and costs nothing.

    Args:
        model: its heads' rows of boxes' centres are changed.
        strides: to the right for a face that looks to the right.
    """
    for head in model.heads:
        conv: Any = head
        conv.weight[BOX.start] += strides * conv.weight[LOOKS_RIGHT]
        conv.bias[BOX.start] += strides * conv.bias[LOOKS_RIGHT]
    return model


@torch.no_grad()
def fold_scales(model: Student, scales: dict[int, NDArray[np.float32]]) -> Student:
    """Divides the head's weights and biases by the channels' scales, in place; the decoder multiplies them back."""
    for head, stride in zip(model.heads, STRIDES, strict=True):
        conv: Any = head
        s = torch.from_numpy(scales[stride])
        conv.weight.div_(s[:, None, None, None])
        conv.bias.div_(s)
    return model


def unit_scales() -> dict[int, NDArray[np.float32]]:
    """Of a network whose outputs are the real numbers themselves."""
    return {s: np.ones(CHANNELS, np.float32) for s in STRIDES}
