"""The background thread that keeps a source open and its frames coming."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Final

from edgeface.errors import EdgeFaceError, ImageError, InvalidInputError, SourceError
from edgeface.frame import Frame
from edgeface.sources.base import Source
from edgeface.streaming.slot import FrameSlot
from edgeface.streaming.stats import StreamState, StreamStats

__all__ = ["Capture"]

# So many damaged frames in a row, and the source is opened anew.
_DAMAGED_IN_A_ROW: Final = 30
_FPS_WEIGHT: Final = 0.1


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
        self._retry, self._patience = retry, patience
        self._stop = threading.Event()
        self._last_frame: float | None = None
        #: What ended it, if it was not the end of the frames or `stop`.
        self.error: EdgeFaceError | None = None
        # a daemon: a driver that hangs in a read must not keep the program from ending
        self._thread = threading.Thread(target=self._run, name=f"edgeface capture {source.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._source.cancelled.clear()
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Ask the thread to end and wait for it.

        Returns:
            False if it hangs in its source, which it will close when that returns.
        """
        self._stop.set()
        self._source.cancelled.set()
        self._slot.close(discard=True)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        opened_before = False
        pause, lost_at = 0.0, time.monotonic()
        try:
            while not self._stop.is_set():
                try:
                    self._source.open()
                    if opened_before:
                        self._stats.reconnects += 1
                    opened_before = True
                    self._stats.state = StreamState.RUNNING
                    got_before = self._stats.frames
                    self._pump()
                    return
                except SourceError as error:
                    self._note(error)
                    self._close_quietly()
                    if not opened_before or self._retry is None:
                        self.error = error
                        return
                    now = time.monotonic()
                    if self._stats.state is not StreamState.LOST and self._stats.frames > got_before:
                        pause, lost_at = 0.0, now  # it worked for a while: a new loss, not the same one
                    self._stats.state = StreamState.LOST
                    if self._patience is not None and now - lost_at >= self._patience:
                        self.error = SourceError(
                            f"source must come back within {self._patience:g} s, but got none from {self._source.name} "
                            f"({error})"
                        )
                        return
                    pause = min(max(2 * pause, self._retry[0]), self._retry[1])
                    self._stop.wait(pause)
        except EdgeFaceError as error:
            self.error = error
        except Exception as error:  # a source of the user's: its bugs belong to whoever reads the stream
            self.error = SourceError(f"source {self._source.name} must raise errors of edgeface, but got {error!r}")
            self.error.__cause__ = error
        finally:
            self._close_quietly()
            self._stats.state = StreamState.CLOSED if self._stop.is_set() else StreamState.ENDED
            self._slot.close(discard=self._stop.is_set())

    def _pump(self) -> None:
        """Move frames until there are no more."""
        damaged = 0
        while not self._stop.is_set():
            try:
                frame = self._source.read()
            except (ImageError, InvalidInputError) as error:
                self._note(error)
                self._stats.damaged += 1
                damaged += 1
                if damaged >= _DAMAGED_IN_A_ROW and self._source.live:
                    raise SourceError(f"source must give usable frames, but got {damaged} others ({error})") from None
                continue
            if frame is None:
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
        if self._last_frame is not None:
            rate = 1 / max(now - self._last_frame, 1e-6)
            old = self._stats.fps
            # mean of the periods, not of the rates: two frames at once must not look like a million a second
            self._stats.fps = rate if old is None else 1 / (1 / old + _FPS_WEIGHT * (1 / rate - 1 / old))
        self._last_frame = now

    def _note(self, error: Exception) -> None:
        self._stats.last_error = str(error)

    def _close_quietly(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # a camera that is gone may refuse even this
            self._note(error)
