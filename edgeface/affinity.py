"""Keep inference on chosen cores: on big.LITTLE a slow core in the team makes all of them wait."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from edgeface.errors import must_be

__all__ = ["checked_cpus", "pinned"]


def checked_cpus(cpus: Iterable[int]) -> frozenset[int]:
    """The cores to use.

    Raises:
        InvalidInputError: none, or one that this process may not use.

    Examples:
        >>> checked_cpus([0]) <= os.sched_getaffinity(0)
        True
    """
    allowed = os.sched_getaffinity(0)
    try:
        given = list(cpus)
    except TypeError:
        given = []
    unusable = [cpu for cpu in given if not _is_number(cpu) or cpu not in allowed]
    if not given or unusable:
        raise must_be("affinity", f"some of the cores {sorted(allowed)}", unusable or repr(cpus))
    return frozenset(map(int, given))


def _is_number(cpu: object) -> bool:
    return isinstance(cpu, (int, np.integer)) and not isinstance(cpu, bool)


@contextmanager
def pinned(cpus: frozenset[int] | None) -> Iterator[None]:
    """Run the calling thread on these cores only; threads that it starts meanwhile inherit that for good.

    Args:
        cpus: from `checked_cpus`; None changes nothing.
    """
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)  # on Linux: of the calling thread
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
