"""Online feedback of MOS (arXiv 2110.10953): the losses decide what is shown next.

Two signals go from the training process to the one that makes views: numbers of views with a confident false positive,
which come back once, and whether small faces had too little of the last batch's loss, upon which the next batch is
stitched from four windows a view. Views are made a few batches ahead, so a signal acts that much later.
"""

from __future__ import annotations

import queue
from typing import Any

import torch

SMALL = 0.055
"""Height of a small face, as a share of the input's."""


class Feedback:
    """Shared between processes. ``slots``: places of a batch that views shown again may take."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._again: Any = torch.multiprocessing.Queue(maxsize=256)
        self._stitch: Any = torch.multiprocessing.Value("b", 0)

    def show_again(self, numbers: list[int]) -> None:
        """Queues views; what does not fit is forgotten."""
        for number in numbers:
            try:
                self._again.put_nowait(number)
            except queue.Full:
                return

    def stitch_next(self) -> None:
        """Asks for a stitched batch."""
        self._stitch.value = 1

    def take_again(self) -> list[int]:
        """Up to ``slots`` numbers of views that are to come back."""
        numbers: list[int] = []
        for _ in range(self.slots):
            try:
                numbers.append(self._again.get_nowait())
            except queue.Empty:
                break
        return numbers

    def take_stitch(self) -> bool:
        """Whether the next batch is to be stitched; asking resets it."""
        with self._stitch.get_lock():
            wanted = bool(self._stitch.value)
            self._stitch.value = 0
        return wanted
