"""From what a person writes to a source."""

from __future__ import annotations

import enum
import importlib
import inspect
import os
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple

from edgeface.errors import SourceError, must_be
from edgeface.frame import COLORS
from edgeface.images import SUFFIXES
from edgeface.sources.base import Source
from edgeface.sources.redaction import hide_secrets
from edgeface.sources.v4l2 import is_camera

__all__ = ["INSTEAD", "Kind", "kind_of", "open_source"]

_SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
_HEIC: Final = frozenset((".heic", ".heif"))


class _KindInfo(NamedTuple):
    module: str
    name: str
    title: str


class Kind(enum.Enum):
    """What a text names, with the class that reads it and what people call it."""

    CAMERA = _KindInfo("camera", "CameraSource", "a camera")
    NETWORK = _KindInfo("video", "NetworkSource", "a network stream")
    PIPELINE = _KindInfo("gstreamer", "GstSource", "a GStreamer pipeline")
    RAW = _KindInfo("raw", "RawSource", "bare frames")
    IMAGES = _KindInfo("images", "ImagesSource", "pictures")
    VIDEO = _KindInfo("video", "VideoSource", "a video file")

    @property
    def recorded(self) -> bool:
        """Whether it is read from files, whose pace is that of whoever reads."""
        return self in (Kind.RAW, Kind.IMAGES, Kind.VIDEO)

    def source_class(self) -> Any:
        """The class; its module is read only now."""
        return getattr(importlib.import_module(f"edgeface.sources.{self.value.module}"), self.value.name)

    def options(self) -> list[str]:
        """Names of the options that it takes."""
        parameters = inspect.signature(self.source_class()).parameters.values()
        names = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        return [*names, "realtime"] if self.recorded else names


#: What to do instead of an option that a kind does not have.
INSTEAD: Final = {
    "size": "its frames come in their own size; bare frames need size and color, --camera-size and --pixel-format",
    "color": "its frames come in their own format; bare frames need size and color, --camera-size and --pixel-format",
    "pixel_format": "it is a camera's",
    "fps": "its frames come at their own rate",
    "loop": "it has no end to begin again at",
    "realtime": "it is in real time anyway",
    "strides": "its frames say so themselves",
    "offsets": "its frames say so themselves",
    "matrix": "its frames come as BGR",
    "range": "its frames come as BGR",
    "transport": "it is a network stream's",
    "timeout": "it is a network stream's",
}


def open_source(spec: int | str | os.PathLike[str] | Source, **options: Any) -> Source:
    """Make a source out of what names it. It is opened when it is used.

    | `spec`                             | source                   | options                                         |
    |------------------------------------|--------------------------|-------------------------------------------------|
    | `0`, `"0"`, any video device       | `CameraSource`, V4L2     | `size`, `fps`, `pixel_format`, `strides`,       |
    |                                    |                          | `matrix`, `range`                               |
    | `"rtsp://…"`, `"http://…"`         | `NetworkSource`, FFmpeg  | `transport`, `timeout`                          |
    | `"videotestsrc ! …"` (with a `!`)  | `GstSource`, GStreamer   | `color`, `live`, `matrix`, `range`              |
    | a folder, a picture                | `ImagesSource`           | `fps`, `loop`, `realtime`                       |
    | any file, with `color` and `size`  | `RawSource`, bare frames | `color`, `size`, `fps`, `loop`, `realtime`,     |
    |                                    |                          | `strides`, `offsets`, `matrix`, `range`         |
    | any other file                     | `VideoSource`, FFmpeg    | `loop`, `realtime`                              |

    Args:
        spec: see the table; a `Source` is given back as it is. `"-"` with `color` and `size` is standard input.
        **options: see the table. `realtime=True` plays a file at its own pace and drops frames that come late.

    Raises:
        InvalidInputError: an option that the source does not have, or an empty `spec`.
        SourceError: a file that does not exist, or one that no source reads.

    Examples:
        >>> open_source("rtsp://admin:s3cret@camera.local/stream", timeout=3.0).name
        'rtsp://admin:***@camera.local/stream'
    """
    if isinstance(spec, Source):
        if options:
            raise must_be("source options", "left out with a Source", ", ".join(options))
        return spec
    if isinstance(spec, bool) or not isinstance(spec, (int, str, os.PathLike)):
        raise must_be("source", "a camera number, a path, an address or a GStreamer pipeline", repr(spec))
    text = str(spec) if isinstance(spec, int) else os.fsdecode(spec)
    kind = kind_of(text, bare=set(options) >= {"color", "size"})
    _check_options(kind, text, options)
    realtime = options.pop("realtime", False)
    argument = int(text) if kind is Kind.CAMERA and _is_number(text) else text
    source: Source = kind.source_class()(argument, **options)
    if realtime and not source.live:
        from edgeface.sources.realtime import RealTimeSource

        return RealTimeSource(source)
    return source


def kind_of(text: str, *, bare: bool) -> Kind:
    """What a text names.

    Args:
        text: see `open_source`.
        bare: whether color and size of bare frames are given.

    Raises:
        InvalidInputError: it is empty.
        SourceError: a file that does not exist, or one that no source reads.
    """
    if not text.strip():
        raise must_be("source", "a camera number, a path, an address or a GStreamer pipeline", repr(text))
    if _is_number(text) or text.startswith(("/dev/video", "/dev/v4l/")) or is_camera(text):
        return Kind.CAMERA
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in _SCHEMES:
        return Kind.NETWORK
    if text == "-":
        if bare:
            return Kind.RAW
        raise _unusable(text, "is standard input, which gives bare frames: say their color and size")
    status = _status(text)  # None too for a text that is too long for a path, as pipelines are
    if status is None:
        if "!" in text:
            return Kind.PIPELINE
        if separator and scheme.isalnum():
            raise _unusable(text, f"begins with none of {', '.join(f'{known}://' for known in _SCHEMES)}")
        raise _unusable(text, "does not exist")
    if stat.S_ISDIR(status.st_mode):
        return Kind.IMAGES
    if bare:
        return Kind.RAW
    if not stat.S_ISREG(status.st_mode):
        raise _unusable(text, "is no regular file: say color and size if it gives bare frames, or use a pipeline")
    suffix = Path(text).suffix.lower()
    if suffix in _HEIC:
        raise _unusable(text, "is a HEIC picture, which OpenCV cannot decode: convert it to JPEG (heif-convert)")
    return Kind.IMAGES if suffix in SUFFIXES else Kind.VIDEO


def _check_options(kind: Kind, text: str, options: dict[str, Any]) -> None:
    known = kind.options()
    for name in options:
        if name not in known:
            instead = f" ({INSTEAD[name]})" if name in INSTEAD else ""
            raise must_be(
                f"options of {kind.value.title} ({hide_secrets(text)})", f"among {', '.join(known)}", f"{name}{instead}"
            )
    if kind is Kind.RAW and options["color"] not in COLORS:
        raise must_be("color", f"one of {', '.join(COLORS)}", repr(options["color"]))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _status(text: str) -> os.stat_result | None:
    try:
        return Path(text).stat()
    except (OSError, ValueError):
        return None


def _unusable(text: str, why: str) -> SourceError:
    shown = hide_secrets(text if len(text) <= 200 else f"{text[:200]}…")
    return SourceError(
        f"source must be a camera, an address, a pipeline or a file that exists, but got {shown}: it {why}"
    )
