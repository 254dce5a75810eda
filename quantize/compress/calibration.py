"""Calibration photos: which they are, and how they become the input of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from quantize.data.sample import Sample
from quantize.models import Network
from quantize.models.detector import letterbox

Images = NDArray[np.uint8]

#: Of the longer side of a photo: a face that fills it.
FILLING = 0.6


def choose_photos(samples: Sequence[Sample], count: int, seed: int) -> list[Path]:
    """``count`` photos, as many of each source as there are, in an order that the seed fixes."""
    rng = np.random.default_rng(seed)
    by_source: dict[str, list[Path]] = {}
    for s in samples:
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
def outputs(model: Network, images: Images, batch: int = 8) -> Iterator[tuple[torch.Tensor, ...]]:
    """The network's outputs, batch by batch."""
    for i in range(0, len(images), batch):
        x = torch.from_numpy(as_real(images[i : i + batch])).contiguous(memory_format=torch.channels_last)
        yield model(x)
