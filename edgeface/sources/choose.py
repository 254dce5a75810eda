"""From what a person writes to a source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgeface.errors import SourceError, must_be
from edgeface.frame import COLORS
from edgeface.images import SUFFIXES
from edgeface.sources.base import Source

__all__ = ["open_source"]

_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")


def open_source(spec: int | str | os.PathLike[str] | Source, **options: Any) -> Source:
    """Make a source out of what names it. It is opened when it is used.

    | `spec`                             | source                   | options                                   |
    |------------------------------------|--------------------------|-------------------------------------------|
    | `0`, `"0"`, `"/dev/video0"`        | `CameraSource`, V4L2     | `size`, `fps`, `pixel_format`             |
    | `"rtsp://…"`, `"http://…"`         | `NetworkSource`, FFmpeg  | `transport`, `timeout`                    |
    | `"videotestsrc ! …"` (with a `!`)  | `GstSource`, GStreamer   | `color`, `live`                           |
    | a folder, a picture                | `ImagesSource`           | `fps`, `loop`                             |
    | any file, with `color` and `size`  | `RawSource`, bare frames | `color`, `size`, `fps`, `loop`, `strides` |
    | any other file                     | `VideoSource`, FFmpeg    | `loop`                                    |

    Args:
        spec: see the table; a `Source` is given back as it is. `"-"` with `color` and `size` is standard input.
        **options: see the table.

    Raises:
        InvalidInputError: an option that the source does not have.
        SourceError: a file that does not exist.

    Examples:
        >>> open_source("rtsp://camera.local/stream", timeout=3.0).name
        'rtsp://camera.local/stream'
    """
    if isinstance(spec, Source):
        if options:
            raise must_be("source options", "left out with a Source", ", ".join(options))
        return spec
    if isinstance(spec, bool) or not isinstance(spec, (int, str, os.PathLike)):
        raise must_be("source", "a camera number, a path, an address or a GStreamer pipeline", repr(spec))
    kind, argument = _kind(spec, options)
    try:
        source: Source = kind(argument, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise must_be(f"options of {kind.__name__}", "ones that it has (see open_source)", ", ".join(options)) from None
    return source


def _kind(spec: int | str | os.PathLike[str], options: dict[str, Any]) -> tuple[Any, Any]:
    # the modules are cheap, but there is no reason to read all of them for one source
    text = str(spec) if isinstance(spec, int) else os.fspath(spec)
    if text.isdecimal() or text.startswith("/dev/video"):
        from edgeface.sources.camera import CameraSource

        return CameraSource, int(text) if text.isdecimal() else text
    if text.startswith(_SCHEMES):
        from edgeface.sources.video import NetworkSource

        return NetworkSource, text
    if "!" in text and not Path(text).exists():
        from edgeface.sources.gstreamer import GstSource

        return GstSource, text
    if "color" in options and "size" in options:
        if options["color"] not in COLORS:
            raise must_be("color", f"one of {', '.join(COLORS)}", repr(options["color"]))
        from edgeface.sources.raw import RawSource

        return RawSource, text
    path = Path(text)
    if not path.exists():
        raise SourceError(f"source must be a camera, an address, a pipeline or a file that exists, but got {text}")
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        from edgeface.sources.images import ImagesSource

        return ImagesSource, path
    from edgeface.sources.video import VideoSource

    return VideoSource, path
