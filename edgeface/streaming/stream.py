"""`Stream`: the faces of whatever is newest, from a source that may come and go."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgeface.errors import EngineClosedError, InvalidInputError, SourceError, must_be
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.numerals import is_number
from edgeface.sources.base import Source
from edgeface.streaming.capture import Capture
from edgeface.streaming.slot import FrameSlot
from edgeface.streaming.stats import StreamState, StreamStats
from edgeface.tracking.clock import Timeline
from edgeface.tracking.engine import Detector, track_frame
from edgeface.tracking.tracker import Tracker

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Stream", "StreamResult"]

# Under a second together with what else closing does.
_STOP_S: Final = 0.8
_UNUSABLE_IN_A_ROW: Final = 100
# No frame for so many seconds, and for so many periods: the numbers of the last one say nothing any more.
_STALE_S: Final = 2.0
_STALE_PERIODS: Final = 3

_log = logging.getLogger("edgeface.stream")


@dataclass(frozen=True, slots=True, eq=False)
class StreamResult:
    """One frame of a stream and its faces.

    Attributes:
        frame: as it came; valid for as long as you hold it.
        faces: in it; with `track_ids` unless the stream does not track.
        age_s: seconds from the frame's arrival to now, when its faces are known.
        dropped: frames that were replaced by newer ones since the last result.
    """

    frame: Frame
    faces: Faces
    age_s: float
    dropped: int


def _are_numbers(values: Any, count: int) -> bool:
    """Whether these are so many numbers, in a tuple, a list or an array."""
    listed = isinstance(values, (tuple, list)) or (isinstance(values, np.ndarray) and values.ndim == 1)
    return listed and len(values) == count and all(map(is_number, values))


class Stream:
    """Reads a source in a background thread; detects in the thread that asks, on the newest frame there is.

    So a slow board sees fewer frames, never old ones. Iterate, or call `read`, from one thread. Leaving the ``with``
    block stops the capture thread within a second; so does dropping the stream. Losses of the source, its return and
    damaged frames are told to the logger ``edgeface.stream``.

    Args:
        engine: that detects; it stays open.
        source: that gives frames.
        tracker: True for a `Tracker` of its own, one with settings of yours, or False for detection only.
        latest: whether a new frame replaces one that was not asked for yet; as the source is (True for cameras, False
            for files) if None.
        rotation: degrees clockwise (0, 90, 180, 270) that make the pictures upright; None: as the frames say.
        roi: (x1, y1, x2, y2) to look at, cut to what of it lies inside each frame; None: as the frames say.
        retry: (shortest, longest) pause in seconds between attempts to open a source that was lost; None to give up at
            once. The first attempt is never repeated: a wrong name should not be waited for.
        patience: seconds after which a lost source counts as lost for good; None to wait for ever.

    Raises:
        InvalidInputError: an argument out of range.

    Examples:
        >>> with engine.stream(0) as stream:                                # doctest: +SKIP
        ...     for result in stream:
        ...         print(result.faces.track_ids, result.dropped, result.age_s)
    """

    def __init__(
        self,
        engine: Detector,
        source: Source,
        *,
        tracker: Tracker | bool = True,
        latest: bool | None = None,
        rotation: int | None = None,
        roi: tuple[int, int, int, int] | None = None,
        retry: tuple[float, float] | None = (0.5, 5.0),
        patience: float | None = None,
    ) -> None:
        if rotation not in (None, 0, 90, 180, 270):
            raise must_be("rotation", "0, 90, 180, 270 or None", repr(rotation))
        if retry is not None and not (_are_numbers(retry, 2) and 0 < retry[0] <= retry[1] < math.inf):
            raise must_be("retry", "(shortest, longest) in seconds or None", repr(retry))
        if patience is not None and not (is_number(patience) and patience >= 0):
            raise must_be("patience", "0 seconds or more, or None", repr(patience))
        if roi is not None and not (
            _are_numbers(roi, 4)
            and all(isinstance(side, (int, np.integer)) for side in roi)
            and roi[0] < roi[2]
            and roi[1] < roi[3]
        ):
            raise must_be("roi", "(x1, y1, x2, y2) of whole pixels with x1 < x2 and y1 < y2", repr(roi))
        if not isinstance(tracker, (Tracker, bool)):
            raise must_be("tracker", "a Tracker, True or False", repr(tracker))
        self._engine = engine
        self.tracker: Tracker | None = Tracker() if tracker is True else (tracker or None)
        self._changes: dict[str, Any] = {} if rotation is None else {"rotation": rotation}
        self._roi = roi
        self._stats = StreamStats()
        self._slot = FrameSlot(source.live if latest is None else latest)
        self._capture = Capture(source, self._slot, self._stats, retry=retry, patience=patience)
        weakref.finalize(self, self._capture.ask_to_stop).atexit = False  # a capture knows of no stream
        self._unusable = 0
        self._started = self._closed = False
        self._starting = threading.Lock()
        self._timeline = Timeline(source.live)

    @property
    def stats(self) -> StreamStats:
        """A copy of the counts as they are now."""
        stats = replace(self._stats, last_frame_s=self._capture.seconds_since_frame())
        since = stats.last_frame_s
        stale = since is None or since > max(_STALE_S, _STALE_PERIODS / (stats.fps or _STALE_PERIODS))
        return replace(stats, fps=None, age_s=None) if stale or stats.state is not StreamState.RUNNING else stats

    @property
    def finished(self) -> bool:
        """Whether there will be no more results: the source has ended or was lost for good, or `close` was called."""
        return self._closed or self._slot.exhausted

    def start(self) -> None:
        """Begin to read the source. Done by ``with``, by iteration and by `read` too.

        Raises:
            EngineClosedError: the stream was closed, or started in another process.
            SourceError: another stream reads the source.
        """
        if self._capture.forked:
            raise EngineClosedError("stream must be read in the process that started it, but got a fork of that")
        with self._starting:
            if self._closed:
                raise EngineClosedError("stream must be open, but got a closed one")
            if not self._started:
                self._capture.start()
                self._started = True

    def read(self, timeout: float | None = None) -> StreamResult | None:
        """Wait for a frame and find its faces.

        Args:
            timeout: seconds; None to wait for as long as the source lives.

        Returns:
            None if no frame came in time, or if there will be no more (`finished` tells which).

        Raises:
            SourceError: the source could not be opened, or was lost for good.
            EngineClosedError: the engine or the stream was closed.
            RuntimeFailedError: the runtime failed.
        """
        self.start()
        until = None if timeout is None else time.monotonic() + timeout
        dropped = 0
        while True:
            taken = self._slot.take(None if until is None else max(0.0, until - time.monotonic()))
            if taken is None:
                if self._capture.error is not None:
                    raise self._capture.error
                return None
            dropped += taken.dropped
            self._stats.dropped += taken.dropped
            try:
                frame = self._prepared(taken.frame)
                faces = self._faces(frame, taken.arrived)
            except InvalidInputError as error:  # this frame's fault: too large, or the region lies outside it
                self._stats.damaged += 1
                self._stats.last_error = str(error)
                self._unusable += 1
                if self._unusable == 1:
                    _log.warning("a frame could not be used: %s", error)
                if self._unusable >= _UNUSABLE_IN_A_ROW:
                    raise SourceError(
                        f"source must give usable frames, but got {self._unusable} others: {error}"
                    ) from error
                continue
            self._unusable = 0
            age = time.monotonic() - taken.arrived
            self._stats.results += 1
            self._stats.age_s = age
            return StreamResult(frame, faces, age, dropped)

    def close(self) -> None:
        """Stop reading, within a second. May be called more than once, and from another thread."""
        if self._capture.forked:  # its locks are as they were when the process was made
            self._closed = True
            return
        with self._starting:
            self._closed = True
        if self._started and not self._capture.stop(_STOP_S):
            self._stats.last_error = "the source hangs in a read; it will be closed when that returns"
        self._stats.state = StreamState.CLOSED

    def _prepared(self, frame: Frame) -> Frame:
        changes = dict(self._changes)
        if self._roi is not None:
            x1, y1, x2, y2 = self._roi
            changes["roi"] = (max(0, x1), max(0, y1), min(x2, frame.width), min(y2, frame.height))
        return replace(frame, **changes) if changes else frame

    def _faces(self, frame: Frame, arrived: float) -> Faces:
        if self.tracker is None:
            return self._engine.detect(frame)
        now_ns = self._timeline.time_of(frame.timestamp_ns, arrived)
        return track_frame(self._engine, frame, self.tracker, now_ns=now_ns)

    def __iter__(self) -> Iterator[StreamResult]:
        """Results until the source ends or the stream is closed, by another thread too."""
        while True:
            try:
                result = self.read()
            except EngineClosedError:
                if not self._closed:  # but the engine is
                    raise
                return
            if result is None:
                return
            yield result

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
