"""State of eyes, mouth and covers, from contours and from what sets say of a face."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.manifest import POINTS_STATE

#: The order of the network's output ``state``.
STATE = POINTS_STATE
OPEN_EYE, OPEN_MOUTH = 0.30, 0.6
"""The eye aspect ratio, and the inner mouth's height over its width, that count as wide open."""
#: What a label of the mask sets says of the states from ``cover_eyes`` on; NaN: nothing.
_NAN = float("nan")
LABELLED = {
    "with_mask": (_NAN, 1.0, 1.0, 1.0, _NAN, _NAN),
    "without_mask": (_NAN, 0.0, 0.0, 0.0, _NAN, _NAN),
    "with_incorrect_mask": (_NAN, _NAN, _NAN, 1.0, _NAN, _NAN),
    "mask_weared_incorrect": (_NAN, _NAN, _NAN, 1.0, _NAN, _NAN),
}


def aspect_ratios(points: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 3) ratios of right eye, left eye and inner mouth of 68 points (..., 68, d): heights over width.

    An eye's is Soukupová and Čech's (2016): (|p2 − p6| + |p3 − p5|) / (2 |p1 − p4|). With depth (d = 3) a turned head
    does not narrow the width.
    """
    p = np.asarray(points, float)

    def length(i: int, j: int) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(p[..., i, :] - p[..., j, :], axis=-1))

    eyes = [(length(e + 1, e + 5) + length(e + 2, e + 4)) / np.maximum(2 * length(e, e + 3), 1e-9) for e in (36, 42)]
    heights = (length(61, 67) + length(62, 66) + length(63, 65)) / 3
    return np.stack([*eyes, heights / np.maximum(length(60, 64), 1e-9)], -1)


def openness(points: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 3) openness 0–1 of right eye, left eye and mouth of 68 points (..., 68, d)."""
    return np.clip(aspect_ratios(points) / [OPEN_EYE, OPEN_EYE, OPEN_MOUTH], 0, 1)


def state_of_attributes(extra: dict[str, Any], source: str) -> NDArray[np.float64]:
    """(9,) what a set says of a face's covers; NaN elsewhere.

    Faces with drawn points are mostly uncovered, and so are those that WIDER FACE calls free of occlusion; MAFA's
    "with_mask" is any cover of the mouth, a hand too.
    """
    state = np.full(len(STATE), np.nan)
    label = extra.get("label")
    if label in LABELLED:
        state[3:] = LABELLED[label]
        if source == "mafa" and label == "with_mask":
            state[STATE.index("cover_nose")] = state[STATE.index("mask")] = np.nan
    elif extra.get("points68") is not None:
        state[3:] = 0.0
    elif extra.get("occlusion") == 0:
        state[3:7] = 0.0
    return state
