"""Batches that are shown several times, so that what it costs to make them, above all what a teacher says of them, is
shared (Choi et al. 2019, "Faster Neural Network Training with Data Echoing", arXiv 1907.05550; echoes come shuffled
with others, as there).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from quantize.train.losses import Batch


def echoed(first: int, count: int, times: int, batches: int, seed: int) -> list[tuple[int, int]]:
    """(number of the batch, which of its times it is, from 0) at places ``first`` to ``first + count − 1`` of a run in
    which each comes ``times`` times, shuffled within every ``batches`` of them. What a place shows depends on its
    number alone, so that a resumed run sees what it would have seen.

    Examples:
        >>> sorted(echoed(0, 6, times=2, batches=3, seed=1))
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    """
    block = times * batches
    order: list[tuple[int, int]] = []
    for b in range(first // block, (first + count - 1) // block + 1):
        places = np.random.default_rng([seed, b]).permutation(block)
        order += zip((b * batches + places % batches).tolist(), (places // batches).tolist(), strict=True)
    begin = first - first // block * block
    return order[begin : begin + count]


@dataclass
class Shown:
    """A batch as its loader made it, what a teacher said of it when it was shown first, and which of its times this
    is.
    """

    pixels: Tensor
    targets: Batch
    answers: Tensor | None = None
    time: int = 0


def in_order(batches: Iterator[tuple[Tensor, Batch]], order: Sequence[tuple[int, int]]) -> Iterator[Shown]:
    """``batches``, which come in the order in which ``order`` (see `echoed`) names each first, as often as it names
    them. A batch is kept until it has come for the last time.
    """
    left = Counter(number for number, _ in order)
    kept: dict[int, Shown] = {}
    for number, time in order:
        if number not in kept:
            kept[number] = Shown(*next(batches))
        left[number] -= 1
        shown = kept[number] if left[number] else kept.pop(number)
        shown.time = time
        yield shown
