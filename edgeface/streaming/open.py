"""`FaceEngine.stream`: which options are the stream's and which the source's."""

from __future__ import annotations

import inspect
import os
from typing import Any, Final

from edgeface.sources import Source, open_source
from edgeface.streaming.stream import Stream
from edgeface.tracking.engine import Detector

__all__ = ["open_stream"]

_OPTIONS: Final = frozenset(inspect.signature(Stream).parameters) - {"engine", "source"}


def open_stream(engine: Detector, source: int | str | os.PathLike[str] | Source, options: dict[str, Any]) -> Stream:
    """A stream over a source made of `options` that are not the stream's own."""
    own = {name: value for name, value in options.items() if name in _OPTIONS}
    rest = {name: value for name, value in options.items() if name not in _OPTIONS}
    return Stream(engine, open_source(source, **rest), **own)
