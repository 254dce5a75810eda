"""OpenCV for what reads files, opens cameras, follows or draws; whoever passes arrays does without it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from edgeface.errors import RuntimeUnavailableError

__all__ = ["opencv", "silenced"]

_lock = threading.Lock()
#: Those that are to come back: of the first of the threads that keep it silent, then SILENT of each other one.
_levels: list[int] = []


def opencv() -> Any:
    """The module ``cv2``, imported when it is first needed.

    Raises:
        RuntimeUnavailableError: it is not installed or cannot be imported.
    """
    try:
        import cv2
    except ImportError as error:
        raise RuntimeUnavailableError(
            "OpenCV must be installed to read files and cameras, to crop, to follow and to draw, "
            f"but got {error} (pip install opencv-python-headless, or Debian's python3-opencv)"
        ) from None
    return cv2


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """OpenCV without log lines of its own meanwhile, for calls whose failure edgeface tells.

    The level is the process's, so it comes back when the last of several threads is through. Whoever has set
    ``OPENCV_LOG_LEVEL`` gets the lines.
    """
    logging = getattr(opencv().utils, "logging", None)
    if logging is None or "OPENCV_LOG_LEVEL" in os.environ:
        yield
        return
    with _lock:
        _levels.append(logging.setLogLevel(logging.LOG_LEVEL_SILENT))
    try:
        yield
    finally:
        with _lock:
            level = _levels.pop()
            if not _levels:
                logging.setLogLevel(level)
