"""The best picture of each track so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.align import aligned_crop, face_crop
from edgeface.errors import InvalidInputError
from edgeface.faces import DESCRIBED, Face
from edgeface.frame import Frame

__all__ = ["BestShot", "rank", "take"]


@dataclass(frozen=True, slots=True, eq=False)
class BestShot:
    """The best view of a tracked face. Holds copies: the frame is not kept alive.

    Attributes:
        track_id: of the track.
        face: as detected in that frame, not smoothed; box and landmarks in pixels of the frame as given.
        rank: what it was chosen by: the quality times the share of the box inside the frame.
        crop: (h, w, 3) uint8 BGR, the face with a margin, turned upright, at most 512 pixels a side; None if crops are
            off.
        aligned: (112, 112, 3) uint8 BGR, upright, landmarks at `edgeface.align.ALIGNED_POINTS`; None if crops are off
            or the landmarks are unusable.
        timestamp_ns: of the frame.
        sequence: of the frame.
    """

    track_id: int
    face: Face
    rank: float
    crop: NDArray[np.uint8] | None
    aligned: NDArray[np.uint8] | None
    timestamp_ns: int | None
    sequence: int | None


def rank(face: Face, size: tuple[int, int]) -> float:
    """Quality times the share of the box that lies inside a frame of `size`."""
    x1, y1, x2, y2 = (float(v) for v in face.box)
    width, height = size
    inside = max(0.0, min(x2, width) - max(x1, 0.0)) * max(0.0, min(y2, height) - max(y1, 0.0))
    area = (x2 - x1) * (y2 - y1)
    return face.quality * inside / area if area > 0 else 0.0


def take(track_id: int, face: Face, value: float, frame: Frame | None, when: tuple[int | None, int | None]) -> BestShot:
    """Copy everything that has to survive the frame."""
    arrays = {name: getattr(face, name) for name in ("box", "landmarks", "rotation", *DESCRIBED)}
    copies: dict[str, Any] = {name: array.copy() for name, array in arrays.items() if isinstance(array, np.ndarray)}
    kept = replace(face, track_id=track_id, **copies)
    crop = aligned = None
    if frame is not None:
        crop = face_crop(frame, face)
        try:
            aligned = aligned_crop(frame, face.landmarks)
        except InvalidInputError:  # landmarks in one place: a face a pixel wide
            aligned = None
    return BestShot(track_id, kept, value, crop, aligned, *when)
