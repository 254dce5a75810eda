"""Step ``label`` of edgeface-points: teachers label the photos, then each face is cut out and packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from quantize.data.mean_face import refine_rotations
from quantize.data.sample import Sample, read_samples, write_samples
from quantize.engines import open_engine
from quantize.label.step import labelled
from quantize.points.bias import unbiased
from quantize.points.bridge import bare, bridge_edge
from quantize.points.config import recipe_of
from quantize.points.labels import PointLabeller
from quantize.points.pack import SHARE, SIDE, Targets, Writer, load, save_targets
from quantize.points.state import STATE
from quantize.progress import watched
from quantize.run import Run, StepError, perform

MASKED = [*range(3, 14), *range(30, 36), *range(48, 68)]
"""The points under a face mask that is worn over the nose."""


def label(run: Run) -> dict[str, Any]:
    """Packs the faces of the training photos (``pack``) and of the dev split (``dev-pack``).

    Raises:
        StepError: the recipe names no teachers, or no face could be labelled.
    """
    return perform(run, "label", _label, [run.need("data", "samples.jsonl"), run.need("data", "dev.jsonl")], ["label"])


def _label(run: Run, folder: Path) -> dict[str, Any]:
    recipe = recipe_of(run)
    teachers = recipe.label.teachers
    if teachers is None:
        raise StepError("label.teachers must name a folder for edgeface-points: depth and rotations come from teachers")
    samples, dev = read_samples(run.need("data", "samples.jsonl")), read_samples(run.need("data", "dev.jsonl"))
    engine = open_engine(run.engine, run.workers)
    try:
        samples, missing = labelled(run, samples, engine)
        dev, more = labelled(run, dev, engine)
    finally:
        engine.close()
    refine_rotations(samples)
    refine_rotations(dev)
    write_samples(folder / "samples.jsonl", samples)
    write_samples(folder / "dev.jsonl", dev)
    labeller = PointLabeller(teachers)
    names = [s.name for s in recipe.data.sets]
    packed = _pack(labeller, samples, folder / "pack", recipe.label.least_side, names)
    dev_packed = _pack(labeller, dev, folder / "dev-pack", recipe.label.least_side, names)
    reference = load(folder / "pack")[1]
    for part in ("pack", "dev-pack"):
        finish(folder / part, reference)
    drawn = int(reference.drawn.sum())
    return {"faces": packed, "drawn": drawn, "dev": dev_packed, "unreadable": missing + more}


def _pack(labeller: PointLabeller, samples: list[Sample], folder: Path, least: float, names: list[str]) -> int:
    writer = Writer()
    for sample in watched(samples, folder.name):
        faces = [f for f in sample.faces if not f.ignore and min(f.box[2:] - f.box[:2]) >= least]
        if not faces:
            continue
        image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        for face in faces:
            target = labeller(np.asarray(image, np.uint8), face, sample.source)
            if target is not None:
                writer.add(np.asarray(image, np.uint8), target, names.index(sample.source))
    return writer.write(folder)


def finish(folder: Path, reference: Targets) -> None:
    """What is known once all faces are packed: teachers' bias by ``reference``, who wears no glasses, and what masks
    hide.
    """
    crops, targets = load(folder)
    unbiased(targets, reference)
    pixels = (targets.points / SHARE + 0.5) * SIDE
    surely = bare(np.array([bridge_edge(c, p) for c, p in zip(crops, pixels, strict=True)]))
    names = np.array([STATE.index("glasses"), STATE.index("sunglasses")])
    unsure = np.ix_(np.flatnonzero(~surely), names)
    targets.state[unsure] = np.where(targets.state[unsure] == 0, np.nan, targets.state[unsure])
    masked = (targets.state[:, STATE.index("mask")] == 1) & (targets.state[:, STATE.index("cover_nose")] == 1)
    targets.visible[np.ix_(np.flatnonzero(masked), np.array(MASKED))] = 0
    save_targets(folder, targets)
