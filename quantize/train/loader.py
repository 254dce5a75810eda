"""Batches of views, made in a worker process and padded into tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from quantize.config import ViewOptions
from quantize.data.pack import PackedPhotos
from quantize.label.entropy import drop_doubtful
from quantize.train.losses import Batch
from quantize.train.methods.mos import Feedback
from quantize.train.views import Targets, Views

STITCHED = [0.0, 1.0]
"""Shares of views of 1x1, 2x2 … windows when a stitched batch is asked for."""


def collate(
    images: list[np.ndarray[Any, Any]], targets: list[Targets], numbers: list[int]
) -> tuple[torch.Tensor, Batch]:
    """uint8 (n, 3, h, w) in channels-last memory, and the padded targets."""
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    n, m = len(images), max(1, *(len(t.box) for t in targets))

    def padded(name: str, shape: tuple[int, ...], fill: float) -> torch.Tensor:
        out = np.full((n, m, *shape), fill, np.float32)
        for i, t in enumerate(targets):
            out[i, : len(t.box)] = getattr(t, name)
        return torch.from_numpy(out)

    ignore, real = np.zeros((n, m), bool), np.zeros((n, m), bool)
    for i, t in enumerate(targets):
        ignore[i, : len(t.box)] = t.ignore
        real[i, : len(t.box)] = ~t.ignore
    return x, Batch(
        padded("box", (4,), 0.0),
        padded("points", (5, 2), np.nan),
        padded("rotation", (3, 3), np.nan),
        padded("quality", (), np.nan),
        padded("confidence", (), 0.0),
        padded("limit", (), 0.0),
        torch.from_numpy(real),
        torch.from_numpy(ignore),
        torch.tensor(numbers),
    )


def on_device(pixels: torch.Tensor, targets: Batch, device: torch.device | str) -> tuple[torch.Tensor, Batch]:
    """What `collate` gives, as a student takes it: float32 (pixel − 128) / 128."""
    x = pixels.to(device, non_blocking=True).to(torch.float32).sub_(128).div_(128)
    return x, Batch(*(v.to(device, non_blocking=True) for v in vars(targets).values()))


class ViewBatches(IterableDataset):  # type: ignore[type-arg]
    """The batches of a run that ``order`` names. Batch ``k`` is of the ``k``-th of ``batches`` (view size, views),
    which take turns, and made of views k·n, k·n + 1 … (n is the largest batch), which the processes of a run share:
    neither an interruption nor the number of processes changes what is seen. ``pose_quantile`` is that of
    ``[label]`` of the recipe: which of the teachers' rotations are learned from.
    """

    def __init__(
        self,
        folder: Path,
        options: ViewOptions,
        chances: np.ndarray[Any, Any],
        seed: int,
        batches: list[tuple[int, int]],
        order: Sequence[int],
        rank: int = 0,
        world: int = 1,
        feedback: Feedback | None = None,
        hard: np.ndarray[Any, Any] | None = None,
        points_variance: float = 0.0,
        *,
        pose_quantile: Mapping[str, float],
    ) -> None:
        self.folder, self.options, self.chances, self.seed, self.batches = folder, options, chances, seed, batches
        self.order, self.rank, self.world, self.feedback = order, rank, world, feedback
        self.hard, self.points_variance, self.pose_quantile = hard, points_variance, pose_quantile

    def __iter__(self) -> Iterator[tuple[torch.Tensor, Batch]]:
        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        photos = PackedPhotos(self.folder)
        drop_doubtful(photos.samples, self.pose_quantile)
        views = Views(photos, self.options, self.chances, self.points_variance, self.hard)
        for k in self.order[worker::workers]:
            size, batch = self.batches[k % len(self.batches)]
            start = k * max(batch for _, batch in self.batches)
            numbers = list(range(start, start + batch))[self.rank :: self.world]
            grids = None
            if self.feedback is not None:
                again = self.feedback.take_again()
                numbers[: len(again)] = [-1 - n for n in again]
                grids = STITCHED if self.feedback.take_stitch() else None
            made = [views.view(self.seed, n if n >= 0 else -1 - n, size, grids) for n in numbers]
            yield collate([m[0] for m in made], [m[1] for m in made], numbers)


def loader(dataset: ViewBatches, workers: int) -> DataLoader:  # type: ignore[type-arg]
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
