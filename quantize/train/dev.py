"""The dev split: what decisions are made by while a network learns, and between networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from quantize.data.detections import Found
from quantize.data.metrics import match, score_samples
from quantize.data.photos import read_photo
from quantize.data.pose import geodesic_degrees, rotation_from_300wlp
from quantize.data.sample import Sample
from quantize.models.detector import FloatDetector
from quantize.models.turned import TurnedDetector

SIDES = (640, 320)
"""Inputs of the detection figures, as those of `quantize.evaluate`."""


def measure(
    model: nn.Module, samples: Sequence[Sample], uses: Mapping[str, str], most: int = 0, turn: int = 0
) -> dict[str, float]:
    """Figures of a float network on the dev split.

    Args:
        model: what `quantize.models.load_student` gives; put into evaluation mode for the time being.
        samples: the labelled dev split.
        uses: of each set: what its labels hold (a recipe's ``use``).
        most: photos of each kind, spread evenly; 0 for all of them.
        turn: degrees by which photos are turned clockwise first, one of `quantize.models.turned.TURNS`.

    Returns:
        ``dev_ap_ge16_640`` … of sets whose faces are all labelled; ``dev_nme5_box_320``, ``dev_nme5_box_640`` of those
        with drawn points, percent; ``dev_pose_320``, ``dev_pose_640``: mean degrees to the teachers' rotations;
        ``dev_fp_per_100`` over .5 at 640 px on photos without faces.
    """
    was_training = model.training
    model.eval()
    kinds = {
        "detection": [s for s in samples if uses.get(s.source) == "detection" and s.complete and not s.unknown_below],
        "landmarks": [s for s in samples if uses.get(s.source) == "landmarks"],
        "negatives": [s for s in samples if uses.get(s.source) == "negatives"],
    }
    if most:
        kinds = {k: v[:: max(1, len(v) // most)] for k, v in kinds.items()}
    result: dict[str, float] = {}
    for side in SIDES:
        detector = TurnedDetector(FloatDetector(model, (side, side)), turn)
        if kinds["detection"]:
            found = _found(detector, kinds["detection"])
            figures = score_samples(kinds["detection"], found)
            result |= {
                f"dev_{k}_{side}": figures[k] for k in ("ap_ge16", "ap_ge32", "ap_ge64") if figures.get(k) is not None
            }
        if kinds["landmarks"]:
            drawn = [replace(s, faces=[f for f in s.faces if f.extra.get("points68")]) for s in kinds["landmarks"]]
            found = _found(detector, drawn)
            figures = score_samples(drawn, found)
            result |= {f"dev_{k}_{side}": figures[k] for k in ("nme5_box",) if figures.get(k) is not None}
            if apart := _degrees(drawn, found):
                result[f"dev_pose_{side}"] = float(np.mean(apart))
    if kinds["negatives"]:
        found = _found(TurnedDetector(FloatDetector(model, (SIDES[0], SIDES[0])), turn), kinds["negatives"])
        result["dev_fp_per_100"] = (
            100 * sum(int((f.scores >= 0.5).sum()) for f in found.values()) / len(kinds["negatives"])
        )
    model.train(was_training)
    return result


def _degrees(samples: Sequence[Sample], found: Mapping[str, Found]) -> list[float]:
    """Between each face's labelled rotation and that of the detection which is its own."""
    apart = []
    for s in samples:
        said = found[s.key]
        for face in s.faces:
            best = match(face, said)[0]
            if face.rotation is not None and best is not None and said.angles is not None:
                apart.append(float(geodesic_degrees(face.rotation, rotation_from_300wlp(*said.angles[best]))))
    return apart


def _found(detector: TurnedDetector, samples: Sequence[Sample]) -> dict[str, Found]:
    return {s.key: detector.detect(read_photo(s)) for s in samples}
