"""The scores behind every figure but error versus discard (`quantize.evaluate.discard`).

Plain NumPy over `Sample` (what is true) and `Found` (what a detector said). All in pixels of the stored photo, so that
networks with different inputs are compared on the same faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.boxes import iou_matrix
from quantize.data.detections import Array, Found, Predictions
from quantize.data.pose import geodesic_degrees, rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample

#: Average precision is given over faces of at least these heights, in pixels of the stored photo.
HEIGHTS = (0, 16, 32, 64)
#: Score that a detection needs to count as the answer for a labelled face, in landmark, pose and quality figures.
MATCH_SCORE = 0.3
#: Angles beyond this are left out, as is usual on AFLW2000.
MAX_ANGLE = 99
YAW_BINS = ((0, 30), (30, 60), (60, 99))
FP_SCORES = (0.3, 0.5, 0.7, 0.9)
#: Degrees between two rotations from which on one says nothing of the other: heads in turned photos.
NEAR_ROTATION = 20


@dataclass(frozen=True)
class Judged:
    """Detections of several photos (n, of all of them) by falling score: whether each is right, its score, and the
    number of its photo; and the faces of each photo, (photos,).
    """

    hits: NDArray[np.bool_]
    scores: Array
    photo: NDArray[np.intp]
    faces: NDArray[np.intp]


def average_precision(samples: Iterable[Sample], found: Predictions, min_height: float = 0) -> tuple[float | None, int]:
    """AP at IoU .5, all-point interpolation, over faces at least ``min_height`` pixels high (see `judge`).

    Returns:
        The AP (None where there is no such face), and the number of faces it is over.
    """
    judged = judge(samples, found, min_height)
    positives = int(judged.faces.sum())
    return (area_under_precision(judged), positives) if positives else (None, 0)


def operating_points(
    samples: Iterable[Sample], found: Predictions, min_height: float = 32, at: Sequence[float] = (0.5, 0.6)
) -> dict[str, float]:
    """What a threshold does: ``recall@t``, the share of the faces found, and ``precision@t``, the share of the
    detections that are right, over faces at least ``min_height`` pixels high. Empty where there is no such face.
    """
    judged = judge(samples, found, min_height)
    positives = int(judged.faces.sum())
    if not positives:
        return {}
    kept = {t: judged.hits[judged.scores >= t] for t in at}
    return {f"recall@{t}": round(float(k.sum() / positives), 4) for t, k in kept.items()} | {
        f"precision@{t}": round(float(k.mean()), 4) for t, k in kept.items() if len(k)
    }


def judge(samples: Iterable[Sample], found: Predictions, min_height: float) -> Judged:
    """A detection is right if it has an IoU of .5 with a face that no better one has taken.

    Faces lower than ``min_height`` pixels and those marked ``ignore`` count neither way, nor do detections on them, nor
    detections lower than .7 times ``min_height`` that match nothing.
    """
    hits: list[bool] = []
    scores: list[float] = []
    photo: list[int] = []
    positives: list[int] = []
    for number, sample in enumerate(samples):
        faces = [f for f in sample.faces if _has_box(f)]
        truth = _stack([f.box for f in faces], (4,))
        ignored = np.array([f.ignore for f in faces], bool) | (truth[:, 3] - truth[:, 1] < min_height)
        positives.append(int((~ignored).sum()))
        said = found.get(sample.key)
        if said is None or not len(said.scores):
            continue
        order = np.argsort(-said.scores, kind="stable")
        overlap = iou_matrix(said.boxes[order], truth)
        height = said.boxes[order, 3] - said.boxes[order, 1]
        used = np.zeros(len(truth), bool)
        for i, score in enumerate(said.scores[order]):
            free = np.where(used | ignored, -1.0, overlap[i])
            best = int(free.argmax()) if len(free) else -1
            hit = best >= 0 and free[best] >= 0.5
            if hit:
                used[best] = True
            elif overlap[i][ignored].max(initial=0) >= 0.5 or height[i] < min_height * 0.7:
                continue
            hits.append(hit)
            scores.append(float(score))
            photo.append(number)
    order = np.argsort(-np.array(scores), kind="stable")
    return Judged(
        np.array(hits, bool)[order],
        np.array(scores)[order],
        np.array(photo, np.intp)[order],
        np.array(positives, np.intp),
    )


def area_under_precision(judged: Judged, times: NDArray[np.intp] | None = None) -> float:
    """Area under the interpolated precision-recall curve.

    Args:
        judged: with at least one face.
        times: (photos,) how often each photo counts, as if there were so many of it; once if None.
    """
    if times is None:
        times = np.ones(len(judged.faces), np.intp)
    weight, right = times[judged.photo], np.flatnonzero(judged.hits)  # recall grows there alone
    said, true = np.cumsum(weight)[right], np.cumsum(weight[right])
    precision = np.maximum.accumulate((true / np.maximum(said, 1))[::-1])[::-1]
    return float(weight[right] @ precision / (judged.faces @ times))


def match(face: FaceLabel, said: Found) -> tuple[int | None, Array]:
    """The detection that answers for a face with labelled points, and the hull (4,) of its points.

    Its box must hold the centroid of the five points and overlap the hull (the 68 points' where there are any) with an
    IoU above .1; the best overlap wins. None where there is none.
    """
    points = np.asarray(face.extra.get("points68") or face.points, float)
    hull = np.r_[points.min(0), points.max(0)]
    x, y = np.asarray(face.points, float).mean(0)
    x1, y1, x2, y2 = said.boxes.T
    candidate = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2) & (said.scores >= MATCH_SCORE)
    overlap = np.where(candidate, iou_matrix(said.boxes, hull[None])[:, 0], 0)
    best = int(overlap.argmax()) if len(overlap) else -1
    return (best if best >= 0 and overlap[best] > 0.1 else None), hull


@dataclass(frozen=True)
class PointErrors:
    """Of n faces the number of the photo and the mean distance of the five points, over the inter-ocular distance and
    over the root of the hull's area, (n,) each; NaN for a face that was not found.
    """

    photo: NDArray[np.intp]
    ocular: Array
    box: Array


def points_by_face(samples: Iterable[Sample], found: Predictions) -> PointErrors:
    """Over all faces that have labelled points."""
    photo, ocular, box = [], [], []
    for number, sample in enumerate(samples):
        said = found.get(sample.key)
        for face in sample.faces:
            if face.points is None:
                continue
            photo.append(number)
            which, hull = (None, None) if said is None else match(face, said)
            if which is None or said is None or said.landmarks is None or hull is None:
                ocular.append(np.nan)
                box.append(np.nan)
                continue
            truth = np.asarray(face.points, float)
            apart = float(np.linalg.norm(truth - said.landmarks[which], axis=1).mean())
            ocular.append(apart / max(float(np.linalg.norm(truth[0] - truth[1])), 1e-6))
            box.append(apart / np.sqrt(max((hull[2] - hull[0]) * (hull[3] - hull[1]), 1e-6)))
    return PointErrors(np.array(photo, np.intp), np.array(ocular), np.array(box))


def landmark_errors(samples: Iterable[Sample], found: Predictions) -> dict[str, Any]:
    """Mean distance of the five points, in per cent of the inter-ocular distance (``nme5``, and its median) and of the
    root of the hull's area (``nme5_box``), over the faces that were found; ``miss5`` is the share that was not."""
    errors = points_by_face(samples, found)
    n, seen = len(errors.photo), ~np.isnan(errors.ocular)
    if not n:
        return {}
    return {
        "n5": n,
        "nme5": _percent(errors.ocular[seen], np.mean),
        "nme5_median": _percent(errors.ocular[seen], np.median),
        "nme5_box": _percent(errors.box[seen], np.mean),
        "miss5": round(float((~seen).mean()), 4),
    }


@dataclass(frozen=True)
class PoseErrors:
    """Of n faces the number of the photo, the labelled |yaw|, the absolute errors of yaw, pitch and roll (n, 3) and the
    geodesic angle (n,), in degrees; NaN for a face that was not found.
    """

    photo: NDArray[np.intp]
    yaw: Array
    angles: Array
    geodesic: Array


def poses_by_face(samples: Iterable[Sample], found: Predictions) -> PoseErrors:
    """Over all faces with a labelled direction within ±`MAX_ANGLE`."""
    photo, yaw, angles, geodesic = [], [], [], []
    for number, sample in enumerate(samples):
        said = found.get(sample.key)
        for face in sample.faces:
            pose = face.extra.get("pose_300wlp")
            if pose is None:
                continue
            truth = np.array([pose["yaw"], pose["pitch"], pose["roll"]], float)
            if np.abs(truth).max() > MAX_ANGLE:
                continue
            photo.append(number)
            yaw.append(abs(truth[0]))
            which = None if said is None else match(face, said)[0]
            if which is None or said is None or said.angles is None:
                angles.append(np.full(3, np.nan))
                geodesic.append(np.nan)
                continue
            answer = said.angles[which]
            angles.append(np.abs((truth - answer + 180) % 360 - 180))
            geodesic.append(float(geodesic_degrees(_rotation(truth), _rotation(answer))))
    return PoseErrors(np.array(photo, np.intp), np.array(yaw), _stack(angles, (3,)), np.array(geodesic))


def pose_errors(samples: Iterable[Sample], found: Predictions) -> dict[str, Any]:
    """Mean absolute error of yaw, pitch and roll, their mean (``pose_mae``), and the geodesic angle, in degrees, over
    the faces that were found; ``pose_miss`` is the share that was not, ``within_20`` the share of the found ones whose
    rotation is at most 20° off. ``pose_by_yaw`` has the same by |yaw|."""
    errors = poses_by_face(samples, found)
    n, seen = len(errors.photo), ~np.isnan(errors.geodesic)
    if not n:
        return {}
    result: dict[str, Any] = {"n_pose": n, "pose_miss": round(float((~seen).mean()), 4)}
    if not seen.any():
        return result
    per_angle = errors.angles[seen].mean(0)
    result["pose_mae"] = round(float(per_angle.mean()), 3)
    result |= {name: round(float(e), 3) for name, e in zip(("yaw", "pitch", "roll"), per_angle, strict=True)}
    result["geodesic"] = round(float(errors.geodesic[seen].mean()), 3)
    result["within_20"] = round(float((errors.geodesic[seen] <= NEAR_ROTATION).mean()), 4)
    result["pose_by_yaw"] = {}
    for low, high in YAW_BINS:
        last = high == YAW_BINS[-1][1]
        inside = (errors.yaw >= low) & ((errors.yaw < high) | (last & (errors.yaw <= high)))
        known = inside & seen
        if inside.any():
            result["pose_by_yaw"][f"{low}-{high}"] = {
                "n": int(inside.sum()),
                "miss": round(1 - float(known.sum() / inside.sum()), 4),
                "pose_mae": round(float(errors.angles[known].mean()), 3) if known.any() else None,
                "geodesic": round(float(errors.geodesic[known].mean()), 3) if known.any() else None,
            }
    return result


def false_positives(samples: Sequence[Sample], found: Predictions) -> dict[str, float]:
    """Detections per hundred photos without faces at several scores (``fp_per_100@0.5`` …), and of a hundred photos and
    more the lowest threshold that leaves one detection per hundred at most (``score_1fp``).
    """
    counts = {t: false_positive_counts(samples, found, t).sum() for t in FP_SCORES}
    result = {f"fp_per_100@{t}": round(100 * float(n) / max(1, len(samples)), 2) for t, n in counts.items()}
    allowed = len(samples) // 100
    if allowed:
        scores = np.sort(np.concatenate([np.zeros(0), *(found[s.key].scores for s in samples if s.key in found)]))
        over = float(scores[-allowed - 1]) if len(scores) > allowed else 0.0
        result["score_1fp"] = round(float(np.nextafter(over, 1)), 4)
    return result


def false_positive_counts(samples: Sequence[Sample], found: Predictions, score: float) -> NDArray[np.intp]:
    """(photos,) detections from ``score`` on, of photos without faces."""
    said = (found.get(s.key) for s in samples)
    return np.array([0 if f is None else int((f.scores >= score).sum()) for f in said], np.intp)


def score_samples(samples: Sequence[Sample], found: Predictions) -> dict[str, Any]:
    """Every figure for which the samples have labels."""
    result: dict[str, Any] = {
        "images": len(samples),
        "predicted_images": sum(s.key in found for s in samples),
    }
    if faces_are_boxed(samples):
        for height in HEIGHTS:
            ap, n = average_precision(samples, found, height)
            result[f"ap_ge{height}" if height else "ap_all"] = None if ap is None else round(ap, 4)
            result[f"n_ge{height}"] = n
        result |= operating_points(samples, found)
    result |= landmark_errors(samples, found) | pose_errors(samples, found)
    if not any(s.faces for s in samples):
        result |= false_positives(samples, found)
    return result


def faces_are_boxed(samples: Sequence[Sample]) -> bool:
    """Whether AP may be measured by the boxes: those of Pointing'04 are heads, not faces."""
    faces = [f for s in samples for f in s.faces]
    return any(_has_box(f) for f in faces) and not any(f.extra.get("pose_pointing04") for f in faces)


def _rotation(angles: Array) -> Array:
    """Rx(pitch) · Ry(yaw) · Rz(roll): the composition that published geodesic figures use, pitch not negated."""
    return rotation_from_300wlp(angles[0], -angles[1], angles[2])


def _has_box(face: FaceLabel) -> bool:
    return face.extra.get("box_from", "label") == "label"


def _stack(arrays: list[NDArray[Any]], shape: tuple[int, ...]) -> Array:
    return np.array(arrays, float).reshape(len(arrays), *shape)


def _percent(values: Array, of: Any) -> float | None:
    return round(100 * float(of(values)), 3) if len(values) else None
