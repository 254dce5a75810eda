"""What a network's answers on labelled faces come to: errors of points by factor, state, covers, and peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.points.collect import SCALES, SHIFTS, Measured
from quantize.points.crop import placed
from quantize.points.labels import INNER
from quantize.points.mean_face import five_of
from quantize.points.metrics import auc, failure_rate, nme
from quantize.points.networks import Predictor
from quantize.points.state import LABELLED, STATE, drawn_openness

YAWS, HEIGHTS = ((0, 30), (30, 60), (60, 90)), ((0, 64), (64, 128), (128, 256), (256, 10_000))
LEAST = 20
"""Faces that a figure is made of; fewer say nothing."""
FRONTAL = 30
"""Degrees of yaw up to which a drawn contour shows how open eyes and mouth are."""
SHUT, NARROW, OPEN = 0.2, 0.5, 0.3
"""Openness below which an eye counts as shut, above which as open, and above which a mouth counts as open. Narrowed
eyes, as laughing makes them, count neither way.
"""

Figures = dict[str, Any]


def box_sizes(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) root of the area of the box around drawn points (n, 68, 2)."""
    return np.asarray(np.sqrt(np.prod(truth.max(1) - truth.min(1), axis=-1)))


def errors(found: NDArray[Any], truth: NDArray[Any], part: slice = slice(0, 68)) -> dict[str, NDArray[np.float64]]:
    """Percent of the outer eye corners' distance (``eyes``) and of the box (``box``), a face each."""
    eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    return {k: nme(found[:, part], truth[:, part], by) for k, by in (("eyes", eyes), ("box", box_sizes(truth)))}


def summary(error: dict[str, NDArray[np.float64]]) -> Figures:
    """Means over found faces, failure rate and area under the curve over all of them."""
    e = error["eyes"]
    known = np.isfinite(e)
    if not known.any():
        return {"faces": len(e), "missed": 1.0}
    return {
        "faces": len(e),
        "missed": round(float((~known).mean()), 4),
        "nme_eyes": round(float(e[known].mean()), 3),
        "nme_box": round(float(error["box"][known].mean()), 3),
        "failures": round(failure_rate(e), 4),
        "auc": round(auc(e), 4),
    }


def points_of(faces: Sequence[Measured], trial: str, predict: Predictor) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Photo pixels (n, 68, 2), NaN where there is no crop, and the raw outputs of the faces with one."""
    has = [i for i, f in enumerate(faces) if trial in f.crops]
    out = np.full((len(faces), 68, 2), np.nan)
    if not has:
        return out, {}
    raw = predict(np.stack([faces[i].crops[trial] for i in has]))
    for i, points in zip(has, raw["points"], strict=True):
        out[i] = placed(points, faces[i].matrices[trial])
    return out, {"which": np.array(has), **raw}


def figures_of(faces: Sequence[Measured], predict: Predictor, full: bool = True) -> tuple[Figures, dict[str, Any]]:
    """All figures of a network over the faces of one set, and the errors behind the curves.

    ``full``: with the factors of the FAN paper; else the two crops alone.
    """
    drawn = [f for f in faces if np.isfinite(f.truth).all()]
    figures: Figures = {}
    curves: dict[str, Any] = {}
    if drawn:
        truth = np.stack([f.truth for f in drawn])
        for trial in ("true", "found"):
            found, raw = points_of(drawn, trial, predict)
            error = errors(found, truth)
            figures[trial] = summary(error)
            curves[trial] = error["eyes"]
            if trial == "found":
                figures["inner, found"] = summary(errors(found, truth, INNER))
                five = nme(five_of(found), five_of(truth), _five_eyes(truth))
                figures["five, found"] = {"faces": len(five), "nme_eyes": _mean(five)}
                both = np.isfinite(error["eyes"])
                exact = curves["true"][both]
                figures["found over true"] = (
                    round(float(error["eyes"][both].mean() / exact.mean()), 4) if len(exact) else None
                )
            elif full:
                figures |= _factors(drawn, error)
                figures |= openness_figures(drawn, truth, raw)
                figures["spread"] = spread_figures(drawn, found, truth, raw, trial)
        if full:
            for trial in [*(f"shift {s:g}" for s in SHIFTS), *(f"scale {s:g}" for s in SCALES)]:
                if any(trial in f.crops for f in drawn):
                    figures[trial] = summary(errors(points_of(drawn, trial, predict)[0], truth))
    if any(f.extra.get("label") in LABELLED for f in faces):
        figures |= cover_figures(faces, predict)
    return figures, curves


def _five_eyes(truth: NDArray[np.float64]) -> NDArray[np.float64]:
    five = five_of(truth)
    return np.asarray(np.linalg.norm(five[:, 0] - five[:, 1], axis=-1))


def _mean(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 3) if len(known) else None


def _factors(faces: Sequence[Measured], error: dict[str, NDArray[np.float64]]) -> Figures:
    """By yaw, by height in the stored photo and by sharpness, in exact crops."""
    yaw = np.array([abs(f.yaw) for f in faces])
    height, blur = np.array([f.height for f in faces]), np.array([f.blur for f in faces])
    groups = {f"yaw {a}-{b}": (yaw >= a) & (yaw < b) for a, b in YAWS}
    groups |= {
        f"height {a}-{b}" if b < 10_000 else f"height from {a}": (height >= a) & (height < b) for a, b in HEIGHTS
    }
    edges = np.nanquantile(blur, [1 / 3, 2 / 3])
    groups |= {"blurred third": blur < edges[0], "middle third": (blur >= edges[0]) & (blur < edges[1])}
    groups["sharp third"] = blur >= edges[1]
    return {name: summary({k: v[g] for k, v in error.items()}) for name, g in groups.items() if g.sum() >= LEAST}


def spread_figures(
    faces: Sequence[Measured], found: NDArray[Any], truth: NDArray[Any], raw: dict[str, Any], trial: str
) -> Figures:
    """Whether the spread says what it should: the correlation of its mean with a face's error, and the share of
    coordinates within the interval that a Laplace distribution says holds half and nine in ten.
    """
    which = raw["which"]
    sides = np.array([np.hypot(*faces[i].matrices[trial][:, 0]) for i in which])
    scale = np.exp(raw["spread"]) * sides[:, None]
    apart = np.abs(found[which] - truth[which])
    ratio = apart / scale[..., None]
    error, said = np.linalg.norm(apart, axis=-1).mean(1) / sides, np.exp(raw["spread"]).mean(1)
    return {
        "rank correlation": round(
            float(np.corrcoef(np.argsort(np.argsort(error)), np.argsort(np.argsort(said)))[0, 1]), 3
        ),
        "within half": round(float((ratio < np.log(2)).mean()), 3),
        "within nine tenths": round(float((ratio < np.log(10)).mean()), 3),
    }


def openness_figures(faces: Sequence[Measured], truth: NDArray[Any], raw: dict[str, Any]) -> Figures:
    """Eyes and mouth against drawn contours (`drawn_openness`) of faces up to `FRONTAL` degrees of yaw: mean error, and
    how well shut eyes and open mouths are told apart (area under the ROC curve).
    """
    some = [(k, faces[i]) for k, i in enumerate(raw["which"]) if abs(faces[i].yaw) < FRONTAL]
    if len(some) < LEAST:
        return {}
    rows = np.array([k for k, _ in some])
    labels = np.stack([drawn_openness(truth[raw["which"][k]], f.rotation) for k, f in some])
    said = _sigmoid(raw["state"][rows, :3])
    figures: Figures = {}
    eyes, mouth = np.isfinite(labels[:, :2]), np.isfinite(labels[:, 2])
    if eyes.any():
        o, p = labels[:, :2][eyes], said[:, :2][eyes]
        sure = (o < SHUT) | (o > NARROW)
        figures["eyes"] = {
            "eyes": len(o),
            "mae": round(float(np.abs(p - o).mean()), 4),
            "shut": int((o < SHUT).sum()),
            "open": int((o > NARROW).sum()),
            "auc_shut": roc_area(-p[sure], o[sure] < SHUT),
        }
    if mouth.any():
        o, p = labels[:, 2][mouth], said[:, 2][mouth]
        figures["mouth"] = {
            "mouths": len(o),
            "mae": round(float(np.abs(p - o).mean()), 4),
            "open": int((o > OPEN).sum()),
            "auc_open": roc_area(p, o > OPEN),
        }
    return figures


def cover_figures(faces: Sequence[Measured], predict: Predictor) -> Figures:
    """Masks against the labels of mask sets, found faces alone: area under the ROC curve, and rates at .5."""
    labelled = [f for f in faces if f.extra.get("label") in LABELLED]
    seen = [f for f in labelled if "found" in f.crops]
    figures: Figures = {"mask faces": {"faces": len(labelled), "missed": round(1 - len(seen) / len(labelled), 4)}}
    if not seen:
        return figures
    said = _sigmoid(predict(np.stack([f.crops["found"] for f in seen]))["state"][:, 3:])
    truth = np.array([LABELLED[f.extra["label"]] for f in seen])
    for name in ("cover_nose", "cover_mouth", "mask"):
        k = STATE.index(name) - 3
        known = np.isfinite(truth[:, k])
        positive = truth[known, k] > 0.5
        if not positive.any() or positive.all():
            continue
        p = said[known, k]
        figures[name] = {
            "covered": int(positive.sum()),
            "free": int((~positive).sum()),
            "auc": roc_area(p, positive),
            "true_positive_rate": round(float((p[positive] >= 0.5).mean()), 4),
            "false_positive_rate": round(float((p[~positive] >= 0.5).mean()), 4),
        }
    return figures


def peer_figures(faces: Sequence[Measured]) -> Figures:
    """The peers on the same faces, with the found boxes: all 68 points, and the 51 inner ones that all draw alike; and
    the first network's own five points.
    """
    drawn = [f for f in faces if np.isfinite(f.truth).all()]
    if not drawn:
        return {}
    truth = np.stack([f.truth for f in drawn])
    figures: Figures = {}
    for name in sorted({n for f in drawn for n in f.peers}):
        points = np.stack([f.peers.get(name, np.full((68, 2), np.nan)) for f in drawn])
        five = nme(five_of(points), five_of(truth), _five_eyes(truth))
        figures[name] = summary(errors(points, truth)) | {
            "inner": summary(errors(points, truth, INNER)),
            "five": _mean(five),
        }
        figures[name]["by_yaw"] = _peer_yaw(drawn, errors(points, truth))
    own = np.stack([f.extra.get("found5", np.full((5, 2), np.nan)) for f in drawn])
    figures["the detector's five"] = {"five": _mean(nme(own, five_of(truth), _five_eyes(truth)))}
    return figures


def _peer_yaw(faces: Sequence[Measured], error: dict[str, NDArray[np.float64]]) -> Figures:
    yaw = np.array([abs(f.yaw) for f in faces])
    groups = {f"{a}-{b}": (yaw >= a) & (yaw < b) for a, b in YAWS}
    return {n: summary({k: v[g] for k, v in error.items()}) for n, g in groups.items() if g.sum() >= LEAST}


def roc_area(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve; None without both kinds.

    Examples:
        >>> roc_area(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
        0.75
    """
    if not positive.any() or positive.all():
        return None
    order = scores[positive][:, None] - scores[~positive][None]
    return round(float((order > 0).mean() + 0.5 * (order == 0).mean()), 4)


def _sigmoid(x: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x, float))))
