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


def echoed(first: int, count: int, times: int, batches: int, seed: int) -> list[int]:
    """Numbers of the batches at places ``first`` to ``first + count − 1`` of a run in which each comes ``times`` times,
    shuffled within every ``batches`` of them. What a place shows depends on its number alone, so that a resumed run
    sees what it would have seen.

    Example:
        >>> sorted(echoed(0, 6, times=2, batches=3, seed=1))
        [0, 0, 1, 1, 2, 2]
    """
    block = times * batches
    order: list[int] = []
    for b in range(first // block, (first + count - 1) // block + 1):
        places = np.random.default_rng([seed, b]).permutation(block)
        order += (b * batches + places % batches).tolist()
    begin = first - first // block * block
    return order[begin : begin + count]


@dataclass
class Shown:
    """A batch as its loader made it, and what a teacher said of it when it was shown first."""

    pixels: Tensor
    targets: Batch
    answers: Tensor | None = None


def in_order(batches: Iterator[tuple[Tensor, Batch]], order: Sequence[int]) -> Iterator[Shown]:
    """``batches``, which come in the order in which ``order`` names each first, as often as it names them. A batch is
    kept until it has come for the last time.
    """
    left = Counter(order)
    kept: dict[int, Shown] = {}
    for number in order:
        if number not in kept:
            kept[number] = Shown(*next(batches))
        left[number] -= 1
        yield kept[number] if left[number] else kept.pop(number)
