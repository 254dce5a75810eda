"""Figures of a network on packed faces with drawn points: the dev split, exact crops and inexact ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quantize.points.config import JitterOptions, PointsViewOptions
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
    """``nme`` % of the outer eye corners' distance over drawn faces in exact crops, ``nme_inexact`` in crops as
    training has them, ``taught`` % of the crop's side over faces whose points are the teachers'.
    """
    crops, targets = load(folder)
    rng = np.random.default_rng(seed)
    views = FaceViews(folder, PointsViewOptions(jitter=JitterOptions()))
    figures: dict[str, float] = {}

    def points(which: NDArray[Any], jitters: list[Jitter]) -> NDArray[np.float64]:
        images = np.stack([cut(crops[i], j) for i, j in zip(which, jitters, strict=True)])
        return predict(model, images)["points"].astype(float)

    drawn = np.flatnonzero(targets.drawn > 0)
    if len(drawn):
        found = points(drawn, [NONE] * len(drawn))
        figures["nme"] = float(np.mean(nme(found, targets.points[drawn])))
        jitters = [views.jitter(rng) for _ in drawn]
        truth = np.stack([j.moved(targets.points[i]) for i, j in zip(drawn, jitters, strict=True)])
        figures["nme_inexact"] = float(np.mean(nme(points(drawn, jitters), truth)))
    taught = np.flatnonzero(targets.drawn == 0)
    if len(taught):
        error = np.linalg.norm(points(taught, [NONE] * len(taught)) - targets.points[taught], axis=-1)
        figures["taught"] = float(error.mean() * 100)
    return {k: round(v, 4) for k, v in figures.items()}
