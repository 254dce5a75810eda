"""Several regions of one frame: small faces in large frames without a larger network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.faces import Faces
from edgeface.frame import Frame, as_frame, checked_size
from edgeface.numerals import is_number

if TYPE_CHECKING:
    from edgeface.tracking.engine import Detector

__all__ = ["detect_regions", "tiles"]


def tiles(size: tuple[int, int], across: int, down: int, *, overlap: float = 0.2) -> list[tuple[int, int, int, int]]:
    """Cut a frame into overlapping regions.

    Args:
        size: (width, height) of the frame.
        across: how many in a row.
        down: how many rows.
        overlap: of neighbours, as a fraction of a tile; a face that is smaller than it lies wholly in one of them.

    Returns:
        (x1, y1, x2, y2) each, row by row.

    Raises:
        InvalidInputError: a size that is none, less than one tile, an overlap outside 0 to 0.9, or tiles of less than a
            pixel.

    Examples:
        >>> tiles((640, 480), 2, 1, overlap=0.0)
        [(0, 0, 320, 480), (320, 0, 640, 480)]
    """
    if not 0 <= overlap <= 0.9:
        raise must_be("overlap", "from 0 to 0.9", overlap)
    size = checked_size(size)
    columns, rows = (_spans(*pair, overlap) for pair in ((size[0], across), (size[1], down)))
    return [(x1, y1, x2, y2) for y1, y2 in rows for x1, x2 in columns]


def detect_regions(
    engine: Detector,
    frame: Frame | NDArray[np.uint8],
    regions: Iterable[tuple[int, int, int, int]],
    *,
    nms_iou: float = 0.45,
    color: str | None = None,
    rotation: int = 0,
) -> Faces:
    """Detect in each region and merge: one inference a region.

    A face that the edge of a region cuts is given by the region that sees more of it.

    Args:
        engine: a `FaceEngine`.
        frame: a `Frame`, whose own `roi` is ignored, or an array as `FaceEngine.detect` takes it.
        regions: (x1, y1, x2, y2) in whole pixels of the frame; an extra one of the whole frame finds the large faces.
        nms_iou: of two boxes from different regions that overlap by more than this the lower-scored one goes.
        color: of an array, required.
        rotation: of an array: degrees clockwise (0, 90, 180, 270) that make the picture upright.

    Returns:
        By falling score, in pixels of the frame; `timings` are sums.

    Raises:
        InvalidInputError: no regions, one outside the frame, a threshold outside 0 to 1, or an array without its
            colour.

    Examples:
        >>> faces = detect_regions(engine, frame, tiles(frame.size, 2, 2))       # doctest: +SKIP
    """
    from edgeface.tracking.engine import describer_of

    frame = as_frame(frame, color, rotation=rotation)
    if not is_number(nms_iou) or not 0 <= nms_iou <= 1:
        raise must_be("nms_iou", "from 0 to 1", repr(nms_iou))
    describer = describer_of(engine)
    options: dict[str, Any] = {"describe": False} if describer is not None else {}
    parts = [engine.detect(replace(frame, roi=region), **options) for region in regions]
    if not parts:
        raise must_be("regions", "at least one", "none")
    stages = {stage for part in parts for stage in part.timings}
    merged = Faces.join(
        parts,
        size=frame.size,
        rotation=frame.rotation,
        timestamp_ns=frame.timestamp_ns,
        sequence=frame.sequence,
        timings={stage: sum(part.timings.get(stage, 0.0) for part in parts) for stage in sorted(stages)},
    )
    kept = merged[_suppressed(merged.boxes, merged.scores, nms_iou)]
    return kept if describer is None else describer.describe_found(frame, kept)


def _suppressed(boxes: NDArray[np.float32], scores: NDArray[np.float32], nms_iou: float) -> NDArray[np.intp]:
    """Greedy suppression; a box that lies mostly within a better one goes too: it is a face cut by its region."""
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    kept: list[int] = []
    for i in order:
        low, high = np.maximum(boxes[kept, :2], boxes[i, :2]), np.minimum(boxes[kept, 2:], boxes[i, 2:])
        inter = (high - low).clip(0).prod(1)
        smaller = np.minimum(area[kept], area[i])
        if not ((inter > nms_iou * (area[kept] + area[i] - inter)) | (inter > 0.7 * smaller)).any():
            kept.append(int(i))
    return np.array(kept, np.intp)


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise must_be("tiles", "at least 1 each way", count)
    span = length / (count - (count - 1) * overlap)
    if span < 1:
        raise must_be("tiles", f"at least a pixel each of {length}", count)
    starts = [i * span * (1 - overlap) for i in range(count)]
    return [(math.floor(start), min(length, math.ceil(start + span))) for start in starts]
