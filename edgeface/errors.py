"""Every error that edgeface raises on purpose.

All of them derive from `EdgeFaceError`, so that one ``except`` clause is enough; each also derives from the builtin
that fits, so that code which knows nothing of edgeface still does the right thing. Messages have the form
"X must be …, but got …" wherever an argument is at fault.
"""

from __future__ import annotations

__all__ = [
    "BundleCorruptError",
    "BundleError",
    "BundleTooNewError",
    "EdgeFaceError",
    "EngineClosedError",
    "ImageError",
    "InvalidInputError",
    "RuntimeFailedError",
    "RuntimeUnavailableError",
    "SourceError",
    "must_be",
]


class EdgeFaceError(Exception):
    """Base class of every error in this module."""


class InvalidInputError(EdgeFaceError, ValueError):
    """An argument (a frame, a size, a threshold …) is not what the function can work with."""


class ImageError(EdgeFaceError, ValueError):
    """An image file is missing, empty, truncated, not an image, or of a kind that is not supported."""


class BundleError(EdgeFaceError, ValueError):
    """A model bundle cannot be used: missing, malformed, or without a network for what was asked."""


class BundleCorruptError(BundleError):
    """The bundle's bytes are damaged: not a zip, truncated, or a file that does not match its sha256."""


class BundleTooNewError(BundleError):
    """The bundle needs a newer edgeface: its schema or its ``min_sdk`` is beyond this one."""


class RuntimeUnavailableError(EdgeFaceError, ImportError):
    """A library that is needed, an inference runtime or OpenCV, is not installed or cannot be imported here."""


class RuntimeFailedError(EdgeFaceError, RuntimeError):
    """The inference runtime refused the network or failed while running it."""


class EngineClosedError(EdgeFaceError, RuntimeError):
    """The engine was used after `FaceEngine.close`."""


class SourceError(EdgeFaceError, OSError):
    """A camera, video or stream cannot be opened, or was lost for good."""


def must_be(name: str, expected: str, got: object) -> InvalidInputError:
    """Build the error for one bad argument, so that all of them read alike.

    Examples:
        >>> str(must_be("threads", "at least 1", 0))
        'threads must be at least 1, but got 0'
    """
    return InvalidInputError(f"{name} must be {expected}, but got {got}")
