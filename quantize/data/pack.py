"""The packed store: every training photo decoded once to RGB uint8 in one flat file, which processes share through the
page cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sample import Sample, read_samples, write_samples
from quantize.files import replacing
from quantize.progress import watched


def pack(samples: list[Sample], folder: Path) -> list[str]:
    """Writes ``pixels.bin``, ``index.json`` and ``samples.jsonl`` to ``folder``; returns a message for each photo that
    cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    skipped, index, kept, at = [], [], [], 0
    with replacing(folder / "pixels.bin") as part, part.open("wb") as f:
        for sample in watched(samples, "pack"):
            bgr = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
            message = unlike(sample, bgr)
            if bgr is None or message:
                skipped.append(message)
                continue
            f.write(np.ascontiguousarray(bgr[:, :, ::-1]).tobytes())
            index.append([at, sample.height, sample.width])
            at += sample.height * sample.width * 3
            kept.append(sample)
    write_samples(folder / "samples.jsonl", kept)
    (folder / "index.json").write_text(json.dumps(index))
    return skipped


def unlike(sample: Sample, image: NDArray[Any] | None) -> str:
    """What is wrong with a photo, read or None, that its labels were made for; empty where nothing is."""
    if image is not None and image.shape[:2] == (sample.height, sample.width):
        return ""
    got = "none that can be read" if image is None else f"one of {image.shape[1]}x{image.shape[0]}"
    return f"{sample.path}: must be a {sample.width}x{sample.height} photo, but got {got}"


class PackedPhotos:
    """Random access to what ``pack`` wrote: ``photos[i]`` is RGB (h, w, 3) uint8, read-only, with ``photos.samples[i]``
    beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.samples = read_samples(folder / "samples.jsonl")
        self.index: list[list[int]] = json.loads((folder / "index.json").read_text())
        if len(self.index) != len(self.samples):
            raise ValueError(
                f"{folder} must hold as many photos as samples, but got {len(self.index)} and {len(self.samples)}"
            )
        self.pixels: NDArray[np.uint8] = np.memmap(folder / "pixels.bin", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> NDArray[Any]:
        at, h, w = self.index[i]
        return self.pixels[at : at + h * w * 3].reshape(h, w, 3)
