"""Which of the teachers' rotations are believed: those of low entropy (SemiUHPE, arXiv 2404.02544).

SemiUHPE takes the entropy from a matrix-Fisher head. Our teachers are several networks that give a rotation each; their
opinions' spread about the mean gives it as well: a concentrated matrix-Fisher distribution is a Gaussian in the tangent
space of its mode, here an isotropic one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from quantize.data.sample import FaceLabel, Sample


def entropy(spread: float) -> float:
    """Differential entropy, in nats, of rotations whose mean angle to their mean is ``spread`` degrees (at least a
    hundredth).

    A three-dimensional isotropic Gaussian of deviation σ has a mean length of σ·√(8/π) and an entropy of 3/2·ln(2πeσ²).
    """
    sigma = math.radians(max(spread, 0.01)) / math.sqrt(8 / math.pi)
    return 1.5 * math.log(2 * math.pi * math.e * sigma**2)


def _told_by_teachers(face: FaceLabel) -> bool:
    return face.rotation is not None and "pose_spread" in face.extra


def drop_doubtful(samples: Sequence[Sample], quantile: Mapping[str, float]) -> int:
    """Forgets, in place, teachers' rotations whose entropy is above a quantile of their set's; returns how many.

    Args:
        samples: labelled ones; a face's opinions lie ``extra["pose_spread"]`` degrees apart.
        quantile: of each set's name, 0–1 (the paper: .95 in the domain, .75 in the wild); sets without one keep all.

    Raises:
        ValueError: a quantile outside of 0–1.
    """
    dropped = 0
    for name, share in quantile.items():
        if not 0 <= share <= 1:
            raise ValueError(f"[label].pose_quantile must be in 0 to 1, but got {share} for {name}")
        faces = [f for s in samples if s.source == name for f in s.faces if _told_by_teachers(f)]
        if not faces:
            continue
        entropies = np.array([entropy(float(f.extra["pose_spread"])) for f in faces])
        limit = np.quantile(entropies, share)
        for face, value in zip(faces, entropies, strict=True):
            if value > limit:
                face.rotation = None
                dropped += 1
    return dropped
