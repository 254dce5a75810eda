"""How well a quality predicts failures of recognition: error versus discard (ISO/IEC 29794-1, arXiv 2303.13294)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Array, Predictions
from quantize.data.metrics import MATCH_SCORE
from quantize.data.sample import Sample


def error_versus_discard(
    person: NDArray[Any], embedding: NDArray[Any], quality: Array, limit: float = 0.3
) -> dict[str, float]:
    """How well quality predicts recognition failures (ISO/IEC 29794-1, arXiv 2303.13294).

    The quality of a pair is the lower one's. The threshold is fixed once, at a false match rate of 1e-2 over all pairs.
    ``edc_area`` is the mean false non-match rate while the worst 0 to ``limit`` of the genuine pairs are discarded,
    over the rate with none discarded: 1 is no use; ``ideal`` is the best that any quality could reach.
    """
    first, second = np.triu_indices(len(quality), 1)
    similarity = (embedding @ embedding.T)[first, second]
    same = person[first] == person[second]
    threshold = np.quantile(similarity[~same], 1 - 1e-2)
    missed = similarity[same] < threshold
    pair = np.minimum(quality[first[same]], quality[second[same]])

    def area(order: NDArray[np.intp]) -> float:
        k = np.arange(int(limit * len(missed)) + 1)
        left = missed.sum() - np.r_[0, np.cumsum(missed[order])][k]
        return float((left / (len(missed) - k)).mean())

    rate = float(missed.mean())
    return {
        "pairs": len(missed),
        "fnmr0": round(rate, 4),
        "edc_area": round(area(np.argsort(pair, kind="stable")) / rate, 4),
        "ideal": round(area(np.argsort(~missed, kind="stable")) / rate, 4),
        "threshold": round(float(threshold), 4),
    }


def score_quality(samples: Iterable[Sample], found: Predictions, embeddings: Path) -> dict[str, float]:
    """`error_versus_discard` of the detector's quality on a set with ``embeddings.npz`` (files, person, embedding).

    Of a detector that says no quality the score is taken for it. A photo in which no detection holds the centre of the
    labelled box has quality 0.
    """
    stored = np.load(embeddings)
    by_stem = {s.path.stem: s for s in samples}
    quality = []
    for file in stored["files"]:
        sample = by_stem[Path(str(file)).stem]
        said = found.get(sample.key)
        best = 0.0
        if said is not None:
            centre = (sample.faces[0].box[:2] + sample.faces[0].box[2:]).astype(float) / 2
            inside = ((said.boxes[:, :2] <= centre) & (centre <= said.boxes[:, 2:])).all(1)
            worth = said.scores if said.quality is None else said.quality
            best = float(worth[inside & (said.scores >= MATCH_SCORE)].max(initial=0))
        quality.append(best)
    values = np.array(quality)
    result = error_versus_discard(stored["person"], stored["embedding"].astype(np.float32), values)
    return result | {"detected": round(float((values > 0).mean()), 4)}
