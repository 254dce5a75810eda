"""Cover the faces of a video so that frames in which a face was not found stay covered too."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.tracking import Tracker
from edgeface.video.obscuring import METHODS, grown, obscure

__all__ = ["COVER_SCORE", "FaceCover"]

#: Score from which a face is covered: below that of detection, since a face too many does no harm here.
COVER_SCORE: Final = 0.3
# An unseen face may be farther from its prediction every second, by so much of its size.
_GROWS: Final = 1.0
# A face is mostly there before it is first found; how much farther it may have been a frame earlier.
_BACK: Final = 0.05
# A face that is first found so many of its sizes from where another was lost may be the same one.
_FARTHEST: Final = 4.0


class FaceCover:
    """Covers every face that its tracker knows, and where an unseen one was last seen.

    Pictures are given back `ahead` frames late, so that a face is covered in the frames before it was first found.

    Args:
        method: "pixelate" or "blur".
        detect_every: search every Nth frame only.
        lost_after: seconds for which a face that is not found any more stays covered.
        ahead: frames before the first sighting of a face that are covered too. That many pictures are held in memory.

    Raises:
        InvalidInputError: an argument out of range.

    Examples:
        >>> cover = FaceCover("blur")
        >>> for result in detect_video(engine, source, tracker=cover.tracker):       # doctest: +SKIP
        ...     for picture in cover.add(to_bgr(result.frame)):
        ...         writer.write(picture)
        >>> cover.finish()
        []
    """

    def __init__(
        self, method: str = "pixelate", *, detect_every: int = 1, lost_after: float = 1.0, ahead: int = 8
    ) -> None:
        if method not in METHODS:
            raise must_be("method", " or ".join(METHODS), repr(method))
        if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 0:
            raise must_be("ahead", "0 frames or more", repr(ahead))
        self._method, self._ahead = method, ahead
        #: To find the faces with: it reports a face at once, and boxes as they were measured.
        self.tracker = Tracker(
            detect_every=detect_every, min_hits=1, lost_after=lost_after, smoothing=None, best_shots=False
        )
        self._seen: dict[int, NDArray[np.float64]] = {}  # where each living track was last seen
        self._lost: list[NDArray[np.float64]] = []  # where those were seen who are not now
        self._waiting: deque[tuple[NDArray[np.uint8], list[NDArray[np.float64]]]] = deque()

    def add(self, picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Take in the picture of the frame that `tracker` was last given; it is changed.

        Returns:
            The pictures that are ready, covered.
        """
        boxes, before = [], self._seen
        self._seen = {}
        self._lost = [before[t.track_id] for t in self.tracker.tracks if t.unseen_s > 0 and t.track_id in before]
        for track in self.tracker.tracks:
            box = track.box.astype(np.float64)
            if track.track_id not in before:
                self._cover_before(box)
            where = before.get(track.track_id, box)
            if track.unseen_s > 0:
                last, box = where, _around(where, box)
                box = grown(box[None], _GROWS * min(track.unseen_s, 1.0))[0]
                self._seen[track.track_id] = last
            else:
                self._seen[track.track_id] = box
            boxes.append(box)
        self._waiting.append((picture, boxes))
        return self._ready(self._ahead)

    def _cover_before(self, box: NDArray[np.float64]) -> None:
        """A face that is first found here was somewhere before; maybe it is one that was lost nearby."""
        far = _FARTHEST * float((box[2:] - box[:2]).max())
        near = [last for last in self._lost if np.abs(last - box).max() < far]
        for back, (_, earlier) in enumerate(reversed(self._waiting), start=1):
            earlier.append(grown(box[None], _BACK * back)[0])
            earlier += [_around(last, box) for last in near]

    def finish(self) -> list[NDArray[np.uint8]]:
        """The pictures that are left."""
        return self._ready(0)

    def _ready(self, keep: int) -> list[NDArray[np.uint8]]:
        ready = []
        while len(self._waiting) > keep:
            picture, boxes = self._waiting.popleft()
            ready.append(obscure(picture, np.array(boxes).reshape(-1, 4), method=self._method, inplace=True))
        return ready


def _around(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) the box that holds both."""
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])
