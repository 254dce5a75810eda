"""Where frames come from: cameras, network streams, GStreamer pipelines, videos, pictures, raw files."""

from edgeface.sources.base import Source
from edgeface.sources.choose import open_source

__all__ = ["Source", "open_source"]
