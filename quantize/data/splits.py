"""The dev split: photos kept out of the training, on which every choice is made.

A tenth of each event of each set is drawn by the hash of a photo's name, so that the split stays the same when photos
are added and does not depend on the order of files. Photos of one person stay together.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from quantize.data.sample import Sample


def split(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, dev): of each source and event the ``share`` of photos (rounded) whose hashes come first is dev.

    A person (``group``) is a unit: all of its photos are on one side.
    """
    strata: dict[tuple[str, str], dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for s in samples:
        strata[s.source, s.event][s.group or s.path.name].append(s)
    dev: set[int] = set()
    for (source, event), units in strata.items():
        wanted = round(share * sum(map(len, units.values())))
        for name in sorted(units, key=lambda n: _hash(f"{seed}:{source}:{event}:{n}")):
            if wanted <= 0:
                break
            wanted -= len(units[name])
            dev |= {id(s) for s in units[name]}
    return [s for s in samples if id(s) not in dev], [s for s in samples if id(s) in dev]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
