"""Which of the teachers' rotations are believed: those of low entropy (SemiUHPE, arXiv 2404.02544).

SemiUHPE takes the entropy from a matrix-Fisher head. Our teachers are several networks that give a rotation each; their
opinions' spread about the mean gives it as well: a concentrated matrix-Fisher distribution is a Gaussian in the tangent
space of its mode, here an isotropic one.

Step `label` keeps every rotation and writes its entropy beside it. What is read for training goes through
`drop_doubtful`. Photos that an earlier version labelled have no entropies: their doubtful rotations are gone already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from quantize.data.sample import Sample

ENTROPY = "pose_entropy"
"""Key of ``FaceLabel.extra``: of a rotation that teachers gave, nats."""


def entropy(spread: float) -> float:
    """Differential entropy, in nats, of rotations whose mean angle to their mean is ``spread`` degrees (at least a
    hundredth).

    A three-dimensional isotropic Gaussian of deviation σ has a mean length of σ·√(8/π) and an entropy of 3/2·ln(2πeσ²).
    """
    sigma = math.radians(max(spread, 0.01)) / math.sqrt(8 / math.pi)
    return 1.5 * math.log(2 * math.pi * math.e * sigma**2)


def keep_entropies(samples: Sequence[Sample], labelled: Mapping[tuple[str, str], Sequence[bool]]) -> None:
    """Writes the entropy beside each rotation that teachers gave, in place.

    Args:
        samples: their faces have ``extra["pose_spread"]``, degrees, where teachers looked.
        labelled: of each sample's source and key: which of its first faces had a rotation of
        their own, which nobody doubts.
    """
    for s in samples:
        own = labelled.get((s.source, s.key), [])
        for i, face in enumerate(s.faces):
            if face.rotation is not None and "pose_spread" in face.extra and not (i < len(own) and own[i]):
                face.extra[ENTROPY] = entropy(float(face.extra["pose_spread"]))


def drop_doubtful(samples: Sequence[Sample], quantile: Mapping[str, float]) -> int:
    """Forgets, in place, teachers' rotations whose entropy is above a quantile of their set's; returns how many.

    All entropies are taken off, so that a second call, as one on what an earlier version labelled, changes nothing.

    Args:
        samples: all of each set, as `keep_entropies` left them.
        quantile: of each set's name, 0–1 (the paper: .95 in the domain, .75 in the wild); sets without one keep all.

    Raises:
        ValueError: a quantile outside of 0–1.
    """
    dropped = 0
    for name, share in quantile.items():
        if not 0 <= share <= 1:
            raise ValueError(f"[label].pose_quantile must be in 0 to 1, but got {share} for {name}")
        faces = [f for s in samples if s.source == name for f in s.faces if ENTROPY in f.extra]
        if not faces:
            continue
        entropies = np.array([float(f.extra[ENTROPY]) for f in faces])
        limit = np.quantile(entropies, share)
        for face, value in zip(faces, entropies, strict=True):
            if value > limit:
                face.rotation = None
                dropped += 1
    for s in samples:
        for face in s.faces:
            face.extra.pop(ENTROPY, None)
    return dropped


def has_entropies(samples: Sequence[Sample]) -> bool:
    """Whether there is something that `drop_doubtful` can judge."""
    return any(ENTROPY in f.extra for s in samples for f in s.faces)


def dropped_before(samples: Sequence[Sample]) -> bool:
    """Whether an earlier version labelled the photos, which dropped doubtful rotations at once."""
    return not has_entropies(samples) and any("pose_spread" in f.extra for s in samples for f in s.faces)
