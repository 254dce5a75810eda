"""Frames from a source in a background thread, faces of the latest one whenever they are asked for."""

from edgeface.streaming.stats import StreamState, StreamStats
from edgeface.streaming.stream import Stream, StreamResult

__all__ = ["Stream", "StreamResult", "StreamState", "StreamStats"]
