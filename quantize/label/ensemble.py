"""Three face detectors at several scales as one teacher: more faces than each alone, and soft scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.label.centerface import CenterFace
from quantize.label.fusion import MOST, RUN_IOU, Detections, best_of_overlapping, fuse, joined, within_range
from quantize.label.retinaface import RetinaFace
from quantize.label.yunet import YuNet

KEPT_SCORE = 0.05
"""Fused scores above this are kept."""


class Ensemble:
    """YuNet n, CenterFace and RetinaFace mobilenet0.25, fused.

    Args:
        folder: Holds the weights of all three.

    Raises:
        FileNotFoundError: A detector's file is not there.

    Examples:
        >>> boxes, points, scores = Ensemble(folder)(cv2.imread("photo.jpg"))  # doctest: +SKIP
    """

    def __init__(self, folder: Path) -> None:
        self.detectors = (YuNet(folder), CenterFace(folder), RetinaFace(folder))

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """The faces of a photo, best first.

        Args:
            image: BGR (h, w, 3).

        Returns:
            Boxes (n, 4) xyxy and points (n, 5, 2) in pixels of the photo, not clipped to it, and fused scores (n,)
            above 0.05: 0.5 and more is a face, 0.3 to 0.5 unsure, less is background.
        """
        longest = max(image.shape[:2])
        views: dict[float, NDArray[np.uint8]] = {}
        parts = []
        for detector in self.detectors:
            runs = []
            for factor in detector.factors(longest):
                if factor not in views:
                    views[factor] = padded(resized(image, factor))
                found = best_of_overlapping(detector(views[factor]), RUN_IOU, MOST)
                found = found._replace(boxes=found.boxes / factor, points=found.points / factor)
                runs.append(within_range(found, detector.trust, factor))
            parts.append(joined(runs))
        fused = fuse(parts, [detector.trust for detector in self.detectors])
        return fused.at(fused.scores > KEPT_SCORE)


def resized(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The photo with its sides times ``factor``: linear up, area down."""
    if factor == 1:
        return image
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo with black on the right and below, so that its sides are multiples of 32."""
    bottom, right = (-side % 32 for side in image.shape[:2])
    return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)
