"""The official WIDER FACE figures, easy, medium and hard, for people who have the full set.

Follows the authors' evaluation: 1000 thresholds over scores stretched to 0…1 on all photos, IoU of boxes that count
their last pixel (+1) of at least .5, faces outside of a subset ignored, VOC interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.engine import parse_size
from quantize.data.detections import Array, Found
from quantize.data.readers import load_mat, read_folder, unwrap
from quantize.engines import open_engine
from quantize.evaluate.detectors import DetectorSpec
from quantize.evaluate.predict import name_of, predict

SUBSETS = ("easy", "medium", "hard")
THRESHOLDS = 1000


@dataclass
class Truth:
    """One photo: ``boxes`` (n, 4) xywh, and for each subset the indices of the boxes that count."""

    boxes: Array
    subsets: dict[str, Any]


def read_truth(folder: Path) -> dict[str, Truth]:
    """``wider_face_val.mat`` and the three ``wider_*_val.mat`` of the authors' ground truth, by the photo's
    ``event/stem``.

    Raises:
        ValueError: a file is missing or is something else.
    """
    try:
        whole = load_mat(folder / "wider_face_val.mat")
        lists = {s: load_mat(folder / f"wider_{s}_val.mat")["gt_list"].ravel() for s in SUBSETS}
        events, files, boxes = (whole[k].ravel() for k in ("event_list", "file_list", "face_bbx_list"))
        truth = {}
        for e, event in enumerate(events):
            for i, entry in enumerate(files[e].ravel()):
                subsets = {
                    s: np.asarray(unwrap(lists[s][e].ravel()[i]), int).ravel() - 1 for s in SUBSETS
                }  # MATLAB counts from one
                xywh = np.asarray(unwrap(boxes[e].ravel()[i]), float).reshape(-1, 4)
                if any(((k < 0) | (k >= len(xywh))).any() for k in subsets.values()):
                    raise ValueError(f"indices must name faces of {unwrap(entry)}, but got others")
                truth[f"{unwrap(event)}/{unwrap(entry)}"] = Truth(xywh, subsets)
    except (KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        message = f"{folder} must hold the authors' ground truth, but got {type(error).__name__}: {error}"
        raise ValueError(message) from None
    return truth


def official(truth: Mapping[str, Truth], found: Mapping[str, Found]) -> dict[str, float]:
    """AP of each subset. ``found`` by ``event/stem``; a photo that is absent has no detections."""
    stretched = _stretched(found)
    result = {}
    for subset in SUBSETS:
        counts = np.zeros((THRESHOLDS, 2))
        faces = 0
        for key, t in truth.items():
            kept = t.subsets[subset]
            faces += len(kept)
            said = stretched.get(key)
            if len(t.boxes) and said is not None and len(said.scores):
                counts += _photo(t, kept, said)
        if faces:
            with np.errstate(invalid="ignore"):
                precision = np.nan_to_num(counts[:, 1] / counts[:, 0])
            result[subset] = _voc(counts[:, 1] / faces, precision)
    return result


def _stretched(found: Mapping[str, Found]) -> dict[str, Found]:
    """Scores from 0 to 1 over all photos, falling within each."""
    every = np.concatenate([f.scores for f in found.values()]) if found else np.zeros(0)
    if not len(every):
        return {}
    low, span = every.min(), max(float(np.ptp(every)), 1e-12)
    result = {}
    for key, f in found.items():
        order = np.argsort(-f.scores, kind="stable")
        result[key] = Found(f.boxes[order], (f.scores[order] - low) / span)
    return result


def _photo(truth: Truth, kept: Any, said: Found) -> Array:
    """Detections that count and faces that they find, at each threshold: (1000, 2)."""
    counts = np.zeros(len(truth.boxes), bool)
    counts[kept] = True
    xyxy = np.c_[truth.boxes[:, :2], truth.boxes[:, :2] + truth.boxes[:, 2:]]
    overlap = _iou_with_last_pixel(said.boxes, xyxy)
    taken = np.zeros(len(truth.boxes), bool)
    proposal, recalled = np.ones(len(said.scores), bool), np.zeros(len(said.scores))
    for i, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= 0.5:
            if counts[best]:
                taken[best] = True
            else:
                proposal[i] = False
        recalled[i] = taken.sum()
    proposals = np.cumsum(proposal)
    thresholds = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    last = np.searchsorted(-said.scores, -thresholds, side="right") - 1
    result = np.zeros((THRESHOLDS, 2))
    some = last >= 0
    result[some] = np.c_[proposals[last[some]], recalled[last[some]]]
    return result


def _iou_with_last_pixel(a: Array, b: Array) -> Array:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (high - low + 1).clip(0).prod(-1)
    area_a, area_b = ((z[:, 2:] - z[:, :2] + 1).prod(-1) for z in (a, b))
    return np.asarray(inter / (area_a[:, None] + area_b[None] - inter))


def _voc(recall: Array, precision: Array) -> float:
    recall, precision = np.r_[0, recall, 1], np.r_[0, precision, 0]
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.flatnonzero(recall[1:] != recall[:-1])
    return float(((recall[step + 1] - recall[step]) * precision[step + 1]).sum())


def measure(
    model: str,
    photos: Path,
    truth: Path,
    size: str = "640x640",
    out: Path = Path("runs/wider-official"),
    runtime: str = "onnxruntime",
    engine: str = "local",
    workers: int | None = None,
) -> dict[str, Any]:
    """Verb ``wider-official``: a detector on the full WIDER FACE.

    Args:
        model: bundle or peer, see `quantize.evaluate.detectors.DetectorSpec`.
        photos: ``WIDER_val/images``.
        truth: folder of the authors' ``wider_*_val.mat``.
        size: input size; photos are letterboxed.
        out: receives predictions.
        runtime: of a bundle.
        engine, workers: see `quantize.engines.open_engine`.

    Returns:
        ``rule``, how many ``photos`` were measured and ``of`` how many, and the AP of each subset.

    Raises:
        ValueError: the truth or the size cannot be read, or no photo of the truth is there.
    """
    labels = read_truth(truth)
    samples, _ = read_folder(photos)
    of_truth = {f"{s.path.parent.name}/{s.path.stem}": s for s in samples}
    wanted = {key: of_truth[key] for key in labels if key in of_truth}
    if not wanted:
        raise ValueError(f"photos must hold EVENT/NAME.jpg of the ground truth, but got none of them in {photos}")
    spec = DetectorSpec(model, parse_size(size), runtime)
    opened = None if engine == "local" else open_engine(engine, workers)
    try:
        found = predict(spec, list(wanted.values()), out / f"{name_of(spec, spec.open())}.jsonl", opened)
    finally:
        if opened is not None:
            opened.close()
    figures = official(labels, {key: found[s.key] for key, s in wanted.items()})
    result = {"rule": f"letterbox {size}", "photos": len(wanted), "of": len(labels)}
    return result | {subset: round(ap, 4) for subset, ap in figures.items()}
