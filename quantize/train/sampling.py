"""How often each photo is drawn: by the weight of its set, with a cap on what one event may have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantize.config import DataOptions
from quantize.data.sample import Sample


def photo_chances(samples: Sequence[Sample], data: DataOptions, quality: float) -> NDArray[np.float64]:
    """The probability of each photo, (n,), adding up to one.

    A set's weight is shared among its photos. Of what the sets of labelled faces have together, one event (or the
    events that ``data.events_together`` joins) has at most ``data.most_of_event``; what it has more goes to the
    others. ``quality`` is the weight of the tiles that quality is learned from.
    """
    weights = {s.name: s.weight for s in data.sets} | {"quality": quality}
    uses = {s.name: s.use for s in data.sets}
    sources = np.array([s.source for s in samples])
    counts = {name: int((sources == name).sum()) for name in weights}
    chances = np.array([weights[s] / max(counts[s], 1) for s in sources])
    detection = np.array([uses.get(s) == "detection" for s in sources])
    events = np.array([_event(s, data.events_together) for s in samples])
    # an event without a name is no event: photos of a set that has none are free
    named = detection & (events != "")
    mass = float(chances[detection].sum())
    if named.any() and mass:
        chances[detection] = mass * capped(chances[detection] / mass, events[detection], data.most_of_event)
    return np.asarray(chances / chances.sum())


def _event(sample: Sample, together: Sequence[Sequence[str]]) -> str:
    for parts in together:
        if any(part in sample.event for part in parts):
            return "+".join(parts)
    return sample.event


def capped(chances: NDArray[np.float64], groups: NDArray[np.str_], most: float) -> NDArray[np.float64]:
    """``chances`` (n,), which add up to one, scaled so that no group with a name has more than ``most`` of them.

    Where all groups are named and too few to stay below ``most``, they share equally.

    Examples:
        >>> capped(np.array([0.8, 0.1, 0.1]), np.array(["a", "b", "c"]), 0.4).round(2).tolist()
        [0.4, 0.3, 0.3]
    """
    names, index = np.unique(groups, return_inverse=True)
    mass = np.bincount(index, chances)
    free = names == ""
    most = max(most, 0.0 if free.any() else 1 / len(names))
    limited = np.zeros(len(names), bool)
    for _ in names:
        rest = mass[~limited].sum()
        scaled = np.where(limited, most, mass * (1 - most * limited.sum()) / max(rest, 1e-12))
        over = ~limited & ~free & (scaled > most + 1e-12)
        if not over.any():
            break
        limited |= over
    return np.asarray(chances * (scaled / np.maximum(mass, 1e-12))[index])
