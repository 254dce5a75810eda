"""A second opinion on what a detector alone has labelled: that of a student which has learnt from it.

A student sees a face once with all that it has learnt from every photo; the detector's slips (fists, necks, signs) are
no pattern that could be learnt, so that the student says little to them, and what it says firmly where the detector
only doubted is mostly a face. The disagreement of two networks tells label noise from hard faces, as in Han et al.
2018, "Co-teaching", arXiv 1804.06872; what neither is sure of becomes an ignore region, never background.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.boxes import iou_matrix
from quantize.data.sample import FaceLabel
from quantize.found import Found


@dataclass(frozen=True)
class Rules:
    """Scores are 0 to 1, ``detector``'s and ``student``'s; the student's is the best at any size it looked at."""

    sure: float = 0.8
    """A face that the detector gives this score stays one, whatever the student says."""
    unsure: float = 0.7
    doubt: float = 0.4
    """Below it the student takes a face away,"""
    doubt_unsure: float = 0.5
    """and below this if the detector's score is below ``unsure``."""
    believe: float = 0.6
    """From here on a student makes a face of an ignore region where there is none,"""
    smallest: float = 5.0
    """if it has so many pixels a side."""
    same: float = 0.4
    """IoU from which on both speak of one place."""
    apart: float = 0.3
    """IoU with another face below which the student's box touches none."""


def reconsider(
    faces: Sequence[FaceLabel], opinions: Sequence[Found], known: int = 0, rules: Rules | None = None
) -> tuple[list[FaceLabel], int, int]:
    """The faces of one photo after a student has looked at it.

    Only those are judged that the detector alone has found: what a person labelled stays.

    Args:
        faces: as step ``label`` wrote them, those of people first.
        opinions: what the student finds in the photo, for each size of its input, down to low scores.
        known: how many people have labelled; some of these have the detector's box too.
        rules: see `Rules`.

    Returns:
        Copies of the faces, how many became ignore regions, and how many ignore regions became faces: these have the
        student's box, and no points or rotation, which nobody has confirmed.

    Examples:
        >>> fist = FaceLabel(np.array([0, 0, 9, 9]), extra={"box_from": "yunet", "yunet_score": 0.66})
        >>> kept, taken, made = reconsider([fist], [Found(np.zeros((0, 4)), np.zeros(0))])
        >>> kept[0].ignore, taken, made
        (True, 1, 0)
    """
    rules = rules or Rules()
    others = np.array([f.box for f in faces if not f.ignore], float).reshape(-1, 4)
    result, taken, made = [], 0, 0
    for i, face in enumerate(map(copy.deepcopy, faces)):
        result.append(face)
        if i < known or face.extra.get("box_from") != "yunet":
            continue
        detector = float(face.extra.get("yunet_score", 1.0))
        student, box = _best(face.box, opinions, rules.same)
        if not face.ignore:
            doubted = student < (rules.doubt if detector >= rules.unsure else rules.doubt_unsure)
            face.ignore = detector < rules.sure and doubted
            taken += face.ignore
        elif (
            box is not None
            and student >= rules.believe
            and min(face.box[2:] - face.box[:2]) >= rules.smallest
            and iou_matrix(box[None], others).max(initial=0) < rules.apart
        ):
            others = np.vstack([others, box])  # of two ignore regions at one face one becomes it
            face.box, face.points, face.rotation, face.ignore = box, None, None, False
            face.extra["box_from"] = "student"
            made += 1
    return result, taken, made


def _best(box: NDArray[np.float32], opinions: Sequence[Found], same: float) -> tuple[float, NDArray[np.float32] | None]:
    """The highest score at this place, and its box."""
    score, where = 0.0, None
    for said in opinions:
        scores = np.where(iou_matrix(box[None], said.boxes)[0] > same, said.scores, 0)
        if scores.max(initial=0) > score:
            score, where = float(scores.max()), said.boxes[scores.argmax()].astype(np.float32)
    return score, where
