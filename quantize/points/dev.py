"""Figures of a network on packed faces with drawn points: the dev split, exact crops and inexact ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quantize.points.config import JitterOptions, PointsViewOptions
from quantize.points.figures import NARROW, OPEN, SHUT, roc_area
from quantize.points.losses import named
from quantize.points.metrics import nme
from quantize.points.model import PointsNet
from quantize.points.pack import load
from quantize.points.views import NONE, FaceViews, Jitter, as_input, cut

BATCH = 64


@torch.no_grad()
def predict(model: PointsNet, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """The outputs by name of (n, 112, 112, 3) RGB crops; points (n, 68, 2) in crop sides."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    parts = []
    for at in range(0, len(crops), BATCH):
        x = as_input(torch.from_numpy(crops[at : at + BATCH]).permute(0, 3, 1, 2)).to(device)
        parts.append({k: v.cpu().numpy() for k, v in named(model(x)).items()})
    model.train(was)
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def measure(model: PointsNet, folder: Path, seed: int = 7) -> dict[str, float]:
    """Figures of a network on packed faces; those without faces are left out.

    Returns:
        ``nme``, ``nme_inexact``: % of the outer eye corners' distance over drawn faces, in exact crops and in crops as
        training has them by default; ``taught``, ``taught_inexact``: % of the crop's side over faces whose points are
        the teachers'; ``auc_shut``, ``auc_open``: how well shut eyes and open mouths are told apart in
        exact crops of drawn faces.
    """
    crops, targets = load(folder)
    rng = np.random.default_rng(seed)
    views = FaceViews(folder, PointsViewOptions(jitter=JitterOptions()))
    figures: dict[str, float] = {}

    def said(which: NDArray[Any], jitters: list[Jitter]) -> dict[str, NDArray[np.float32]]:
        return predict(model, np.stack([cut(crops[i], j) for i, j in zip(which, jitters, strict=True)]))

    def inexact(which: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        jitters = [views.jitter(rng, int(i)) for i in which]
        truth = np.stack([j.moved(targets.points[i]) for i, j in zip(which, jitters, strict=True)])
        return said(which, jitters)["points"], truth

    drawn = np.flatnonzero(targets.drawn > 0)
    if len(drawn):
        exact = said(drawn, [NONE] * len(drawn))
        figures["nme"] = float(np.mean(nme(exact["points"], targets.points[drawn])))
        figures |= _told_apart(exact["state"], targets.state[drawn])
        found, truth = inexact(drawn)
        figures["nme_inexact"] = float(np.mean(nme(found, truth)))
    taught = np.flatnonzero(targets.drawn == 0)
    if len(taught):
        error = np.linalg.norm(said(taught, [NONE] * len(taught))["points"] - targets.points[taught], axis=-1)
        figures["taught"] = float(error.mean() * 100)
        found, truth = inexact(taught)
        figures["taught_inexact"] = float(np.linalg.norm(found - truth, axis=-1).mean() * 100)
    return {k: round(v, 4) for k, v in figures.items()}


def _told_apart(said: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Areas under the ROC curve; ``said`` (n, 9) logits, ``labels`` (n, 9) as `quantize.points.state.STATE`."""
    eyes, mouth = labels[:, :2], labels[:, 2]
    sure = (eyes < SHUT) | (eyes > NARROW)  # neither where it is NaN
    areas = {
        "auc_shut": roc_area(-said[:, :2][sure], eyes[sure] < SHUT),
        "auc_open": roc_area(said[:, 2][np.isfinite(mouth)], mouth[np.isfinite(mouth)] > OPEN),
    }
    return {name: area for name, area in areas.items() if area is not None}
