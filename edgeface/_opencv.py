"""OpenCV for what reads files, opens cameras, follows or draws; whoever passes arrays does without it."""

from __future__ import annotations

from typing import Any

from edgeface.errors import RuntimeUnavailableError

__all__ = ["opencv"]


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
