"""Frames to measure with, for ever: noise, a camera's, or a recording's out of memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgeface.errors import ImageError, must_be
from edgeface.frame import Frame

if TYPE_CHECKING:
    from edgeface.sources.base import Source

__all__ = ["Feed", "Recording", "frame_feed"]

Feed = Callable[[], "Frame"]

_BUDGET: Final = 256 << 20
# Nanoseconds: of a step between frames whose stamps do not say it, and of the cut where a recording begins again.
_STEP: Final = 33_333_333
_CUT: Final = 10_000_000_000


class Recording:
    """A recording's frames, over and over, decoded outside of what is timed.

    All of them where they fit in memory. Of a longer recording each slice of a measurement gets the next part. Time
    stamps go on where the recording begins again, with a pause that ends tracks.

    Args:
        source: that ends, and can be opened again.
        budget: bytes of frames to keep.

    Raises:
        InvalidInputError: there is no frame.
    """

    def __init__(self, source: Source, budget: int = _BUDGET) -> None:
        self._source, self._budget = source, budget
        self._frames = _good_frames(source)
        self._ahead: Frame | None = None
        self._part: list[Frame] = []
        self._slice: int | None = None
        self._next = 0
        self._last: Frame | None = None
        self._now = 0
        #: Whether the recording is longer than what is kept.
        self.is_long = False
        self._load()
        if not self._part:
            raise must_be("source", "one that gives frames", source.name)
        self.is_long = self._ahead is not None
        if not self.is_long:
            self._frames.close()

    def fetch(self, number: int) -> None:
        """Get the frames of slice `number`; the same for every subject of a round."""
        if self.is_long and self._slice is not None and number != self._slice:
            self._load()
        self._slice = number

    def __call__(self) -> Frame:
        """The next frame."""
        if self._next == len(self._part):
            self._next = 0
            if len(self._part) > 1:  # a single picture is a camera that stands still, not a cut in every frame
                self._last = None
        frame, last = self._part[self._next], self._last
        self._next += 1
        self._last = frame
        if frame.timestamp_ns is None:
            return frame
        step = _CUT
        if last is not None and last.timestamp_ns is not None:
            step = frame.timestamp_ns - last.timestamp_ns
        self._now += step if 0 < step <= _CUT else _STEP
        return replace(frame, timestamp_ns=self._now)

    def describe(self) -> str:
        """What it is, for people."""
        first, count = self._part[0], len(self._part)
        size = f"{first.width}x{first.height}"
        if any(frame.size != first.size for frame in self._part):
            size = "of several sizes"
        kept = f"{count} frame{'s' * (count != 1)}"
        kept += " at a time, another part of it in each slice" if self.is_long else ", all of it"
        return f"{self._source.name} {size} {first.color}, {kept}, kept in memory"

    def _load(self) -> None:
        """The next part, from the beginning again after the end."""
        part = [] if self._ahead is None else [self._ahead]
        room = self._budget - sum(map(_bytes, part))
        self._ahead = None
        for frame in self._frames:
            room -= _bytes(frame)
            if room < 0 and part:
                self._ahead = frame
                break
            part.append(frame)
        if self._ahead is None and self.is_long:  # the end
            self._frames = _good_frames(self._source)
        if part:
            self._part, self._next, self._last = part, 0, None
        elif self.is_long:  # it ended with the last part; a pipe cannot begin again, its last part stays
            self._ahead = next(self._frames, None)
            if self._ahead is not None:
                self._load()


def frame_feed(source: str | None, width: int = 640, height: int = 480) -> tuple[Feed, str]:
    """Frames for ever, and what they are.

    Args:
        source: a picture, folder, video or camera as `edgeface.sources.open_source` takes it; None for a repeatable
            picture of noise, in which there are no faces.
        width, height: of the noise.

    Raises:
        InvalidInputError: a source without frames.
        SourceError: it cannot be opened.
    """
    if source is None:
        import numpy as np

        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        frame = Frame.from_array(noise, "bgr")
        return lambda: frame, f"noise {width}x{height} bgr"
    from edgeface.sources import open_source

    opened = open_source(source)
    if not opened.live:
        recording = Recording(opened)
        return recording, recording.describe()
    frames = _endless(opened)
    first = next(frames)
    return lambda: next(frames), f"{opened.name} {first.width}x{first.height} {first.color}"


def _endless(source: Source) -> Iterator[Frame]:
    while True:
        some = False
        for frame in _good_frames(source):
            some = True
            yield frame
        if not some:
            raise must_be("source", "one that gives frames", source.name)


def _good_frames(source: Source) -> Generator[Frame, None, None]:
    """Until the source ends; damaged frames are left out."""
    with source:
        while True:
            try:
                frame = source.read()
            except ImageError:
                continue
            if frame is None:
                return
            yield frame


def _bytes(frame: Frame) -> int:
    return sum(plane.nbytes for plane in frame.planes)
