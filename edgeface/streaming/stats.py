"""What a stream can say of itself."""

from __future__ import annotations

from dataclasses import dataclass

from edgeface._compat import StrEnum

__all__ = ["StreamState", "StreamStats"]


class StreamState(StrEnum):
    """What the capture thread is doing."""

    CONNECTING = "connecting"  #: opening the source for the first time, or waiting for its first frame
    RUNNING = "running"  #: frames come
    LOST = "lost"  #: the source is gone, and is tried again from time to time
    ENDED = "ended"  #: there will be no more frames
    CLOSED = "closed"  #: `Stream.close` was called


@dataclass(slots=True)
class StreamStats:
    """Counts since the stream was started.

    Attributes:
        state: see `StreamState`.
        frames: that the source gave.
        dropped: of these, how many were replaced by a newer one before anybody asked for them.
        results: that were given out.
        damaged: frames that could not be used (corrupt, of a wrong size or format).
        reconnects: how often the source was lost and found again.
        last_error: message of the last trouble, without passwords; None if there was none.
        age_s: of the last result: from the frame's capture to its faces. None while no frames come.
        fps: of the source, over the last second or so. None while no frames come.
        last_frame_s: seconds since the source gave its last frame; None if it never did.
    """

    state: StreamState = StreamState.CONNECTING
    frames: int = 0
    dropped: int = 0
    results: int = 0
    damaged: int = 0
    reconnects: int = 0
    last_error: str | None = None
    age_s: float | None = None
    fps: float | None = None
    last_frame_s: float | None = None
