"""Faces of every frame of a video file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from edgeface.errors import ImageError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.sources.base import Source
from edgeface.tracking.engine import Detector, track_frame
from edgeface.tracking.tracker import Tracker

__all__ = ["VIDEO_SUFFIXES", "VideoResult", "detect_video"]

#: What counts as a video by its name.
VIDEO_SUFFIXES: Final = frozenset(
    f".{name}" for name in "3gp asf avi flv m2ts m4v mjpeg mjpg mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv".split()
)


class VideoResult(NamedTuple):
    """One frame of a video.

    Attributes:
        frame: as it was read; None if it is damaged.
        faces: in it, with `track_ids`, in pixels of `frame`; None if it is damaged.
        error: what is wrong with it; None if it is good.
    """

    frame: Frame | None
    faces: Faces | None
    error: str | None


def detect_video(
    engine: Detector,
    source: Source,
    *,
    tracker: Tracker | None = None,
    rotation: int | None = None,
    roi: tuple[int, int, int, int] | None = None,
) -> Iterator[VideoResult]:
    """Find and follow the faces in every frame of an open source.

    Args:
        engine: a `FaceEngine`.
        source: open, such as ``VideoSource("clip.mp4")`` within ``with``.
        tracker: with settings of yours (`detect_every`); a new one if None.
        rotation: degrees clockwise (0, 90, 180, 270) that make the frames upright; None: as the file says.
        roi: (x1, y1, x2, y2) in pixels of the frame as given, look only there.

    Yields:
        One result a frame, in order. A damaged frame gives its error and does not stop the others.

    Raises:
        InvalidInputError: a region outside the frames, or an unknown rotation.
        SourceError: the source was lost.

    Examples:
        >>> with VideoSource("clip.mp4") as source:                                  # doctest: +SKIP
        ...     for result in detect_video(engine, source):
        ...         print(result.faces.timestamp_ns, result.faces.track_ids)
    """
    tracker = Tracker() if tracker is None else tracker
    while True:
        try:
            frame = source.read()
        except ImageError as error:
            yield VideoResult(None, None, str(error))
            continue
        if frame is None:
            return
        if rotation is not None or roi is not None:
            frame = replace(frame, roi=roi, rotation=frame.rotation if rotation is None else rotation)
        yield VideoResult(frame, track_frame(engine, frame, tracker), None)
