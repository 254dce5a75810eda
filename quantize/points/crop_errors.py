"""How inexact the crops of the first network are, and what that costs: ``python -m quantize.points.crop_errors RUN``.

Crops of faces on the dev split as they are found are compared with those that the labels give, by yaw, upright and with
the photo turned. `quantize.points.config.JitterOptions` stands for these errors in training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Found
from quantize.data.photos import read_photo
from quantize.data.pose import rotation_from_300wlp
from quantize.data.sample import Sample, read_samples
from quantize.points.collect import match
from quantize.points.crop import face_crop, placed, sample_crop
from quantize.points.figures import YAWS, box_sizes
from quantize.points.labels import FaceTarget, yaw_of
from quantize.points.mean_face import five_of
from quantize.points.model import SIZE
from quantize.progress import watched

LEAST_SIDE = 40
"""Pixels: smaller faces are left out."""
ROLLS = (0, 45)
"""Degrees that photos are turned by."""
WIDE = (0.08, 0.2, 15.0)
"""Shift (crop sides), log scale and turn (degrees) from which a crop counts as far off."""


class CropError(NamedTuple):
    """One face: ``shift`` (2,) in crop sides, ``scale`` the log of the found side over the true one, ``turn`` in
    degrees; ``exact``, ``found``: error of the points in both crops, percent of the box, NaN without a network.
    """

    yaw: float
    roll: int
    shift: NDArray[np.float64]
    scale: float
    turn: float
    exact: float = float("nan")
    found: float = float("nan")


def crop_error(true: NDArray[Any], found: NDArray[Any]) -> tuple[NDArray[np.float64], float, float]:
    """Shift, log scale and turn of ``found`` (2, 3) as ``true`` (2, 3) sees it; both from `face_crop`.

    Examples:
        >>> true = np.array([[80.0, 0, 50], [0, 80, 60]])
        >>> shift, scale, turn = crop_error(true, true * [2, 2, 1] + [[0, 0, 8], [0, 0, 0]])
        >>> shift.tolist(), round(scale, 3), turn
        ([0.1, 0.0], 0.693, 0.0)
    """
    shift = np.linalg.solve(true[:, :2], found[:, 2] - true[:, 2])
    relative = np.linalg.solve(true[:, :2], found[:, :2])
    turn = float(np.degrees(np.arctan2(relative[1, 0], relative[0, 0])))
    return shift, float(np.log(np.hypot(*relative[:, 0]))), turn


def turned(image: NDArray[np.uint8], degrees: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """``image`` (h, w, 3) turned clockwise about its centre on a larger canvas of 128, and the matrix (2, 3) of it."""
    h, w = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -degrees, 1)
    c, s = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(h * s + w * c), int(h * c + w * s))
    matrix[:, 2] += [(size[0] - w) / 2, (size[1] - h) / 2]
    out = cv2.warpAffine(image, matrix, size, borderValue=(128, 128, 128))
    return np.asarray(out, np.uint8), np.asarray(matrix, np.float64)


def measure(
    samples: Sequence[Sample],
    label: Callable[..., FaceTarget | None],
    detect: Callable[[NDArray[np.uint8]], Found],
    points: Callable[[NDArray[np.uint8]], NDArray[Any]] | None = None,
    rolls: Sequence[int] = ROLLS,
) -> tuple[list[CropError], int]:
    """The errors of all faces of `LEAST_SIDE` and more, and how many were missed.

    Args:
        samples: labelled photos.
        label: photo, face and set to its target, as `PointLabeller`.
        detect: photo to finds with landmarks and angles.
        points: crops (n, 112, 112, 3) to points (n, 68, 2), for the error in both crops.
        rolls: degrees that each photo is turned by.
    """
    errors, missed = [], 0
    for sample in watched(samples, "crops"):
        faces = [f for f in sample.faces if not f.ignore and min(f.box[2:] - f.box[:2]) >= LEAST_SIDE]
        if not faces:
            continue
        upright = read_photo(sample)
        targets = [t for t in (label(upright, f, sample.source) for f in faces) if t is not None]
        for roll in rolls if targets else ():
            image, move = turned(upright, roll) if roll else (upright, np.eye(2, 3))
            finds = detect(image)
            for target in targets:
                one = _error(image, target, move, roll, finds, points)
                missed += one is None
                errors += [] if one is None else [one]
    return errors, missed


def _error(
    image: NDArray[np.uint8],
    target: FaceTarget,
    move: NDArray[np.float64],
    roll: int,
    finds: Found,
    points: Callable[[NDArray[np.uint8]], NDArray[Any]] | None,
) -> CropError | None:
    truth = target.points @ move[:, :2].T + move[:, 2]
    rotation = np.eye(3)
    rotation[:2, :2] = move[:, :2]
    middle = np.array([target.box[:2] + target.box[2:]]) / 2 @ move[:, :2].T + move[:, 2]
    half = (target.box[2:] - target.box[:2]) / 2
    box = np.r_[middle[0] - half, middle[0] + half]
    best = match(box, finds)
    if best is None or finds.landmarks is None or finds.angles is None:
        return None
    true, _ = face_crop(five_of(truth), rotation @ target.rotation, box)
    found, _ = face_crop(finds.landmarks[best], rotation_from_300wlp(*finds.angles[best]), finds.boxes[best])
    if not (np.isfinite(true).all() and np.isfinite(found).all()):
        return None
    one = CropError(abs(yaw_of(target.rotation)), roll, *crop_error(true, found))
    if points is None:
        return one
    said = points(np.stack([sample_crop(image, m, SIZE) for m in (true, found)]))
    size = box_sizes(target.points[None])[0]
    off = [
        np.linalg.norm(placed(p, m) - truth, axis=1).mean() / size * 100
        for p, m in zip(said, (true, found), strict=True)
    ]
    return one._replace(exact=float(off[0]), found=float(off[1]))


def table(errors: Sequence[CropError]) -> str:
    """Markdown: a row for each roll and range of yaw, with the spread of each error (half of the middle 68 %), the
    share of crops that are far off (`WIDE`), and the error of the points in true and found crops.
    """
    lines = [
        "| photo turned by | yaw | faces | shift | log scale | turn, ° | far off | NME / box, true, % | found, % |",
        "|---" * 9 + "|",
    ]
    for roll in sorted({e.roll for e in errors}):
        for low, high in YAWS:
            some = [e for e in errors if e.roll == roll and low <= e.yaw < high]
            if not some:
                continue
            shift, scale, turn = np.stack([e.shift for e in some]), *np.array([(e.scale, e.turn) for e in some]).T
            far = (np.abs(shift).max(1) > WIDE[0]) | (np.abs(scale) > WIDE[1]) | (np.abs(turn) > WIDE[2])
            own = [
                f"{_spread(shift.ravel()):.3f}",
                f"{_spread(scale):.3f}",
                f"{_spread(turn):.1f}",
                f"{far.mean():.3f}",
            ]
            nme = [f"{np.mean([getattr(e, k) for e in some]):.2f}" for k in ("exact", "found")]
            lines.append("| " + " | ".join([f"{roll}°", f"{low}–{high}°", str(len(some)), *own, *nme]) + " |")
    return "\n".join(lines)


def _spread(values: NDArray[Any]) -> float:
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of the dev split."""
    from quantize.points.dev import predict
    from quantize.points.evaluate import detector_of
    from quantize.points.labels import PointLabeller
    from quantize.points.model import load_points

    parser = argparse.ArgumentParser(prog="python -m quantize.points.crop_errors", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run that has step label")
    parser.add_argument("--teachers", type=Path, default=Path("../shared/teachers"), help="folder of the teachers")
    parser.add_argument("--detector", default="edgeface-s", help="bundle of the first network: name or path")
    parser.add_argument("--weights", type=Path, help="checkpoint (ema.pt) whose error in both crops is measured, too")
    given = parser.parse_args(arguments)
    model = None if given.weights is None else load_points(given.weights)
    errors, missed = measure(
        read_samples(given.run / "label" / "dev.jsonl"),
        PointLabeller(given.teachers),
        detector_of(given.detector),
        None if model is None else (lambda crops: predict(model, crops)["points"]),
    )
    print(table(errors))
    print(f"\n{missed} of {missed + len(errors)} were not found.")


if __name__ == "__main__":
    main()
