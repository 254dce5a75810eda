"""The ensemble's rule around its networks: factors, suppression, size range, clusters, fused score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_SCORE, MOST, RUN_IOU = 0.02, 4000, 0.4
"""A run keeps scores above the first, at most so many, suppressed at this IoU."""
JOIN_IOU, FUSED_IOU = 0.4, 0.45
"""From the first on a detection joins a cluster; above the second the worse of two clusters is dropped."""
BLOCK = 256
"""Detections that are suppressed at a time: bounds the memory of the IoU matrices."""


class Detections(NamedTuple):
    """Faces of one photo, all float32: boxes (n, 4) xyxy, points (n, 5, 2) xy, both in pixels, and scores (n,)."""

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]

    def at(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """The detections of an index or a mask."""
        return Detections(self.boxes[index], self.points[index], self.scores[index])


@dataclass(frozen=True)
class Trust:
    """Face heights ``low`` to ``high`` that a detector is believed at, in pixels of its input, and its share of the
    fused score.
    """

    low: float
    high: float
    share: float


def none_found() -> Detections:
    """No detections."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


def joined(parts: Sequence[Detections]) -> Detections:
    """All detections of several runs, one after the other."""
    return Detections(*(np.concatenate(part) for part in zip(none_found(), *parts, strict=True)))


def best_of_overlapping(found: Detections, iou: float, most: int | None = None) -> Detections:
    """Greedy non-maximum suppression.

    Args:
        found: Detections in any order.
        iou: What overlaps a better one by more than this is dropped.
        most: Only so many of the best are looked at; None for all.

    Returns:
        What is left, best first.

    Examples:
        >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], np.float32)
        >>> found = Detections(boxes, np.zeros((3, 5, 2), np.float32), np.array([0.5, 0.75, 0.25], np.float32))
        >>> best_of_overlapping(found, 0.4).scores.tolist()
        [0.75, 0.25]
    """
    found = found.at(np.argsort(-found.scores, kind="stable")[:most])
    return found.at(leaders(found.boxes, iou))


def leaders(boxes: NDArray[np.float32], iou: float) -> NDArray[np.intp]:
    """Indices of the boxes, best first, that overlap no leader before them by more than ``iou``."""
    kept = np.zeros(0, np.intp)
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        index = np.flatnonzero(~(overlaps(boxes[kept], block) > iou).any(0))
        over = overlaps(block[index], block[index]) > iou
        free = np.ones(len(index), bool)
        for i in range(len(index)):
            if free[i]:
                free[i + 1 :] &= ~over[i, i + 1 :]
        kept = np.concatenate([kept, start + index[free]])
    return kept


def overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """`quantize.boxes.iou_matrix` in float32 and column by column, since suppression takes its time here."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T[:, :, None], b.T[:, None]
    inter = np.minimum(ax2, bx2)
    inter -= np.maximum(ax1, bx1)
    np.maximum(inter, 0, out=inter)
    high = np.minimum(ay2, by2)
    high -= np.maximum(ay1, by1)
    inter *= np.maximum(high, 0, out=high)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter
    return np.asarray(inter / np.maximum(union, np.float32(1e-9)), np.float32)


def within_range(found: Detections, trust: Trust, factor: float) -> Detections:
    """Scores lowered towards the ends of the heights that the detector is believed at.

    Args:
        found: Detections in pixels of the photo.
        trust: The detector's.
        factor: By which the photo was resized for this run.

    Returns:
        The detections whose score is above 0 after that.
    """
    height = (found.boxes[:, 3] - found.boxes[:, 1]) * np.float32(factor)
    rising = ((height - 0.6 * trust.low) / (0.4 * trust.low)).clip(0, 1)
    falling = ((1.4 * trust.high - height) / (0.4 * trust.high)).clip(0, 1)
    scores = (found.scores * rising * falling).astype(np.float32)
    return found._replace(scores=scores).at(scores > 0)


def fuse(parts: Sequence[Detections], trusts: Sequence[Trust]) -> Detections:
    """One face for everything that the detectors found of it.

    The best detection that overlaps none before it opens a cluster; the others join the opener they overlap most.

    Args:
        parts: Of each detector what it found at all factors, in pixels of the photo.
        trusts: As many, in the same order.

    Returns:
        Faces, best first: means of boxes and points weighted by score², and the sum of each detector's best score
        times its share.
    """
    found = joined(parts)
    detector = np.repeat(np.arange(len(parts)), [len(part.scores) for part in parts])
    order = np.argsort(-found.scores, kind="stable")
    found, detector = found.at(order), detector[order]
    openers = leaders(found.boxes, np.nextafter(np.float32(JOIN_IOU), np.float32(0)))
    overlap = overlaps(found.boxes, found.boxes[openers])
    overlap[np.arange(len(order))[:, None] < openers] = -1  # opened later
    overlap[openers, np.arange(len(openers))] = 2  # an opener is its own cluster's
    cluster = overlap.argmax(1) if len(order) else order

    weight = found.scores.astype(np.float64) ** 2
    values = np.concatenate([found.boxes, found.points.reshape(-1, 10)], 1)
    total = np.bincount(cluster, weight, len(openers))
    mean = np.stack([np.bincount(cluster, weight * value, len(openers)) for value in values.T], 1) / total[:, None]
    best = np.zeros((len(openers), len(parts)), np.float32)
    np.maximum.at(best, (cluster, detector), found.scores)
    score = best @ np.array([trust.share for trust in trusts], np.float32)
    faces = np.asarray(mean, np.float32)
    return best_of_overlapping(Detections(faces[:, :4], faces[:, 4:].reshape(-1, 5, 2), score), FUSED_IOU)
