"""Hard negatives, mined: places of the training photos that the network takes for a face, though nothing is labelled
there. Windows drawn at random meet a fist or a hubcap at the size at which it looks like a face once in a long while;
`quantize.train.views` draws some of its windows around these (bootstrapping: Sung and Poggio 1998,
doi 10.1109/34.655648).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quantize.data.boxes import iou_matrix
from quantize.data.pack import PackedPhotos
from quantize.models.detector import FloatDetector

NEAR = 0.1
"""IoU with a labelled face from which on a find is that face, if badly placed."""


def choose(photos: PackedPhotos, sets: Sequence[str], most: int, seed: Sequence[int]) -> NDArray[np.intp]:
    """Numbers of at most ``most`` photos of ``sets`` (names of sources) whose faces are all labelled, drawn by
    ``seed``.
    """
    usable = [i for i, s in enumerate(photos.samples) if s.source in sets and s.complete and not s.unknown_below]
    numbers = np.array(usable, np.intp)
    return np.random.default_rng(list(seed)).permutation(numbers)[:most]


def mine(
    model: nn.Module,
    photos: PackedPhotos,
    numbers: Sequence[int] | NDArray[np.intp],
    sizes: Sequence[int],
    least: float,
) -> NDArray[np.float32]:
    """What ``model`` finds with a score of at least ``least`` where there is no face and no ignore region, on the
    photos ``numbers``, each letterboxed to each of ``sizes``.

    Returns:
        (n, 6) float32: number of the photo, box xyxy in its pixels, and the scale from the photo to the input that the
        network was looking at.
    """
    was_training = model.training
    model.eval()
    found: list[NDArray[np.float32]] = []
    detectors = [FloatDetector(model, (size, size)) for size in sizes]
    for i in map(int, numbers):
        image = np.ascontiguousarray(photos[i][:, :, ::-1])
        for detector in detectors:
            said = detector.detect(image)
            boxes = said.boxes[said.scores >= least]
            boxes = boxes[_on_nothing(boxes, photos, i)]
            scale = detector.size[0] / max(image.shape[:2])
            found.append(np.c_[np.full(len(boxes), i), boxes, np.full(len(boxes), scale)].astype(np.float32))
    model.train(was_training)
    return np.concatenate([np.zeros((0, 6), np.float32), *found])


def _on_nothing(boxes: NDArray[np.float64], photos: PackedPhotos, i: int) -> NDArray[np.bool_]:
    """Which boxes touch no face and have their centre in no ignore region, (n,)."""
    faces = photos.samples[i].faces
    if not faces or not len(boxes):
        return np.ones(len(boxes), bool)
    labelled, ignore = np.stack([f.box for f in faces]), np.array([f.ignore for f in faces])
    x, y = ((boxes[:, k, None] + boxes[:, k + 2, None]) / 2 for k in (0, 1))
    inside = (x > labelled[:, 0]) & (x < labelled[:, 2]) & (y > labelled[:, 1]) & (y < labelled[:, 3])
    return np.asarray((iou_matrix(boxes, labelled).max(1) < NEAR) & ~(inside & ignore).any(1))
