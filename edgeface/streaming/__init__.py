"""Frames from a source in a background thread, and the faces of the newest one on request."""

from edgeface.streaming.stats import StreamState, StreamStats
from edgeface.streaming.stream import Stream, StreamResult

__all__ = ["Stream", "StreamResult", "StreamState", "StreamStats"]
