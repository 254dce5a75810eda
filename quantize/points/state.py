"""State of eyes, mouth and covers, from contours and from what sets say of a face."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.manifest import POINTS_STATE
from quantize.points.mean_face import mean_face

#: The order of the network's output ``state``.
STATE = POINTS_STATE
OPEN_EYE, OPEN_MOUTH = 0.30, 0.6
"""The eye aspect ratio, and the inner mouth's height over its width, that count as wide open."""
LEAST_WIDTH = 16.0
"""Pixels of the photo: of a contour of 16 px one pixel is a fifth of an eye's openness."""
FORESHORTENED = 0.35
"""Share of a width or height that a rotation must leave for a contour to say anything."""
TOUCHING = 0.002
"""Metres: points of the mean face that are no farther apart have no direction."""
Pairs = tuple[tuple[int, int], ...]
#: Of right eye, left eye and inner mouth: pairs of upper and lower points, and the corners.
CONTOURS: tuple[tuple[Pairs, tuple[int, int]], ...] = (
    (((37, 41), (38, 40)), (36, 39)),
    (((43, 47), (44, 46)), (42, 45)),
    (((61, 67), (62, 66), (63, 65)), (60, 64)),
)
#: What a label of the mask sets says of the states from ``cover_eyes`` on; NaN: nothing.
_NAN = float("nan")
LABELLED = {
    "with_mask": (_NAN, 1.0, 1.0, 1.0, _NAN, _NAN),
    "without_mask": (_NAN, 0.0, 0.0, 0.0, _NAN, _NAN),
    "with_incorrect_mask": (_NAN, _NAN, _NAN, 1.0, _NAN, _NAN),
    "mask_weared_incorrect": (_NAN, _NAN, _NAN, 1.0, _NAN, _NAN),
}


def _between(points: NDArray[np.float64], pairs: Pairs, rotation: NDArray[Any] | None) -> NDArray[np.float64]:
    """(..., len(pairs)) distances of points; ``rotation`` undoes what it takes of the mean face's own."""
    first, second = np.array(pairs).T
    found = np.linalg.norm(points[..., second, :] - points[..., first, :], axis=-1)
    if rotation is None:
        return np.asarray(found)
    own = mean_face()[second] - mean_face()[first]
    own[np.linalg.norm(own, axis=1) < TOUCHING] = [0, 1, 0]  # lips that touch: straight down
    turned = np.einsum("...ij,pj->...pi", np.asarray(rotation, float)[..., :2, :], own)
    left = np.linalg.norm(turned, axis=-1) / np.linalg.norm(own, axis=1)
    return np.asarray(np.where(left < FORESHORTENED, np.nan, found / np.maximum(left, FORESHORTENED)))


def aspect_ratios(points: NDArray[Any], rotation: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """(..., 3) ratios of right eye, left eye and inner mouth of 68 points (..., 68, 2): heights over width.

    An eye's is Soukupová and Čech's (2016): (|p2 − p6| + |p3 − p5|) / (2 |p1 − p4|). With ``rotation`` (..., 3, 3),
    head to optical frame, a turned head narrows neither width nor height: NaN where it hides too much of one. Depth is
    left out on purpose: no teacher's depth shuts an eye, so lids that touch in the picture would stay apart.
    """
    p = np.asarray(points, float)
    ratios = [
        _between(p, heights, rotation).mean(-1) / np.maximum(_between(p, (width,), rotation)[..., 0], 1e-9)
        for heights, width in CONTOURS
    ]
    return np.stack(ratios, -1)


def openness(points: NDArray[Any], rotation: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """(..., 3) openness 0–1 of right eye, left eye and mouth, as `aspect_ratios`."""
    return np.clip(aspect_ratios(points, rotation) / [OPEN_EYE, OPEN_EYE, OPEN_MOUTH], 0, 1)


def drawn_openness(points: NDArray[Any], rotation: NDArray[Any] | None) -> NDArray[np.float64]:
    """(..., 3) openness as drawn contours (..., 68, 2) of photo pixels say it; NaN where a contour is narrower than
    `LEAST_WIDTH`, since one pixel of its height then decides.
    """
    p = np.asarray(points, float)
    widths = np.concatenate([_between(p, (width,), None) for _, width in CONTOURS], -1)
    return np.where(widths < LEAST_WIDTH, np.nan, openness(p, rotation))


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
