"""The background thread that keeps a source open and its frames coming."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from dataclasses import replace
from typing import Final

from edgeface.errors import EdgeFaceError, ImageError, InvalidInputError, SourceError
from edgeface.frame import Frame
from edgeface.sources.base import Source
from edgeface.sources.redaction import hide_secrets
from edgeface.streaming.slot import FrameSlot
from edgeface.streaming.stats import StreamState, StreamStats

__all__ = ["Capture"]

_log = logging.getLogger("edgeface.stream")

# So many damaged frames in a row, and the source is opened anew.
_DAMAGED_IN_A_ROW: Final = 30
# A source that never gave a frame is opened so often: it may be another device than was meant.
_FRUITLESS: Final = 3
_FPS_WEIGHT: Final = 0.1
# How often a stream looks whether the one before it has let go of the source.
_POLL_S: Final = 0.1
# Seconds that the end of the program waits for all captures together.
_EXIT_S: Final = 1.0

# Where a source keeps the capture that reads it.
_READER: Final = "_edgeface_reader"

_claims = threading.RLock()  # a stream may be collected, and stopped, by whoever holds it


class Capture:
    """Reads a source into a slot until it ends, fails for good, or is stopped.

    Args:
        source: to open, read and close, all in this thread.
        slot: to leave frames in.
        stats: to count in.
        retry: shortest and longest pause between attempts to open a lost source, in seconds; None: a loss is the end.
        patience: seconds without the source after which it counts as lost for good; None: never.
    """

    def __init__(
        self,
        source: Source,
        slot: FrameSlot,
        stats: StreamStats,
        *,
        retry: tuple[float, float] | None,
        patience: float | None,
    ) -> None:
        self._source, self._slot, self._stats = source, slot, stats
        self._name = hide_secrets(source.name)
        self._retry, self._patience = retry, patience
        self._stop = threading.Event()
        self._last_frame: float | None = None
        self._lost_at: float | None = None
        self._before: Capture | None = None
        self._process: int | None = None
        #: What ended it, if it was not the end of the frames or `stop`.
        self.error: EdgeFaceError | None = None
        # a daemon: a driver that hangs in a read must not keep the program from ending
        self._thread = threading.Thread(target=self._run, name=f"edgeface capture {self._name}", daemon=True)

    @property
    def forked(self) -> bool:
        """Whether this is the copy of a capture that runs in another process."""
        return self._process not in (None, os.getpid())

    def start(self) -> None:
        """Begin.

        Raises:
            SourceError: another stream reads this source.
        """
        with _claims:
            before: Capture | None = self._source.__dict__.get(_READER)
            if before is not None and not before.forked and before._thread.is_alive():
                if not before._stop.is_set():
                    raise SourceError(
                        f"source must be read by one stream at a time, but got a second one of {self._name}"
                    )
                self._before = before
            self._source.__dict__[_READER] = self
        self._process = os.getpid()
        _running.add(self)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end, without waiting for it."""
        if not self.forked:  # in another process there is no thread, and the locks are as they were when it was made
            self._stop.set()
            with _claims:
                if self._source.__dict__.get(_READER) is self:  # else another stream reads it now, or nobody
                    self._source.cancelled.set()
            self._slot.close(discard=True)

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end and wait for it.

        Returns:
            False if it hangs in its source, which it will close when that returns.
        """
        if self._process is None or self.forked:
            return True
        self.ask_to_stop()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def seconds_since_frame(self) -> float | None:
        """Seconds since the source gave a frame; None if it never did."""
        return None if self._last_frame is None else time.monotonic() - self._last_frame

    def _run(self) -> None:
        try:
            if self._wait_for_turn():
                try:
                    self._keep_open()
                finally:
                    self._close_quietly()
        except EdgeFaceError as error:
            self.error = _without_secrets(error)
        except Exception as error:  # a source of the user's: its bugs belong to whoever reads the stream
            self.error = SourceError(
                f"source {self._name} must raise errors of edgeface, but got {hide_secrets(repr(error))}"
            )
            self.error.__cause__ = error
        finally:
            with _claims:
                if self._source.__dict__.get(_READER) is self:
                    del self._source.__dict__[_READER]
                    self._source.cancelled.clear()  # the next reader is not meant
            self._stats.state = StreamState.CLOSED if self._stop.is_set() else StreamState.ENDED
            self._slot.close(discard=self._stop.is_set())

    def _wait_for_turn(self) -> bool:
        """Wait until the stream before this one, whose read hangs, has closed the source; False when stopped first."""
        before = self._before
        if before is not None:
            if before._thread.is_alive():
                self._note(SourceError(f"source must be let go by the stream before, but got {self._name} hanging"))
            while before._thread.is_alive() and not self._stop.is_set():
                before._thread.join(_POLL_S)
            if before._thread.is_alive():
                return False
            self._before = None
        if self._stop.is_set():
            return False
        self._source.cancelled.clear()
        return True

    def _keep_open(self) -> None:
        """Open, read until that fails, and open again, until the frames end or nobody wants them."""
        opened, fruitless, pause = False, 0, 0.0
        while not self._stop.is_set():
            try:
                self._source.open()
                opened = True
                self._pump()
                return
            except SourceError as error:
                if self._stop.is_set():
                    return
                self._close_quietly()
                self._note(error)
                if not opened or self._retry is None:
                    raise
                now = time.monotonic()
                if self._stats.state is not StreamState.LOST:  # a new loss, not the same one
                    pause, self._lost_at = 0.0, now
                    self._stats.state = StreamState.LOST
                    _log.warning("%s is lost, and is tried again: %s", self._name, hide_secrets(str(error)))
                fruitless += self._stats.frames == 0
                if fruitless >= _FRUITLESS:
                    raise SourceError(
                        f"source must give usable frames, but got none in {fruitless} attempts: {error}"
                    ) from None
                assert self._lost_at is not None
                if self._patience is not None and now - self._lost_at >= self._patience:
                    raise SourceError(
                        f"source must come back within {self._patience:g} s, but got none from {self._name} ({error})"
                    ) from None
                pause = min(max(2 * pause, self._retry[0]), self._retry[1])
                self._stop.wait(pause)

    def _pump(self) -> None:
        """Move frames until there are no more."""
        damaged = 0
        while not self._stop.is_set():
            try:
                frame = self._source.read()
            except (ImageError, InvalidInputError) as error:
                self._damage(error)
                damaged += 1
                if damaged >= _DAMAGED_IN_A_ROW and self._source.live:
                    raise SourceError(f"source must give usable frames, but got {damaged} others ({error})") from None
                continue
            if frame is None:
                if damaged and not self._stats.frames and not self._stop.is_set():
                    raise _UnusableError(
                        f"source must give usable frames, but got {damaged} others from {self._name} "
                        f"({self._stats.last_error})"
                    )
                self._found()
                return
            damaged = 0
            self._count()
            if not self._slot.put(self._numbered(frame)):
                return

    def _numbered(self, frame: Frame) -> Frame:
        """Number frames by what this stream has read: a source that was opened again begins at 0."""
        return replace(frame, sequence=self._stats.frames - 1)

    def _count(self) -> None:
        now = time.monotonic()
        self._stats.frames += 1
        if not self._found() and self._last_frame is not None:
            rate = 1 / max(now - self._last_frame, 1e-6)
            old = self._stats.fps
            # mean of the periods, not of the rates: two frames at once must not look like a million a second
            self._stats.fps = rate if old is None else 1 / (1 / old + _FPS_WEIGHT * (1 / rate - 1 / old))
        self._stats.state = StreamState.RUNNING
        self._last_frame = now

    def _found(self) -> bool:
        """Whether the source was lost until now."""
        if self._stats.state is not StreamState.LOST:
            return False
        assert self._lost_at is not None
        self._stats.reconnects += 1
        _log.warning("%s is back after %.1f s", self._name, time.monotonic() - self._lost_at)
        return True

    def _damage(self, error: Exception) -> None:
        self._note(error)
        self._stats.damaged += 1
        if self._stats.damaged in (1, 10, 100) or self._stats.damaged % 1000 == 0:  # told, without flooding a log
            _log.warning(
                "%s: %d damaged frame%s so far: %s",
                self._name,
                self._stats.damaged,
                "" if self._stats.damaged == 1 else "s",
                self._stats.last_error,
            )

    def _note(self, error: Exception) -> None:
        self._stats.last_error = hide_secrets(str(error))

    def _close_quietly(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # a camera that is gone may refuse even this
            self._note(error)


class _UnusableError(EdgeFaceError, OSError):
    """A recording without one good frame: opening it again would change nothing."""


def _without_secrets(error: EdgeFaceError) -> EdgeFaceError:
    if isinstance(error, _UnusableError):
        return SourceError(str(error))
    shown = hide_secrets(str(error))
    return error if shown == str(error) else type(error)(shown)


_running: weakref.WeakSet[Capture] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """The interpreter ends daemon threads wherever they are, in the middle of a library's C++ too, which aborts it."""
    until = time.monotonic() + _EXIT_S
    captures = [capture for capture in _running if not capture.forked]
    for capture in captures:
        capture.ask_to_stop()
    for capture in captures:
        capture._thread.join(max(0.0, until - time.monotonic()))
