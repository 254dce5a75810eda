"""GStreamer pipelines, through PyGObject (Debian: python3-gi, gir1.2-gst-plugins-base-1.0, gstreamer1.0-plugins-*)."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from edgeface.errors import ImageError, SourceError, must_be
from edgeface.frame import Frame
from edgeface.sources.base import Source
from edgeface.sources.layout import color_options
from edgeface.sources.redaction import hide_secrets
from edgeface.sources.stamps import RisingStamps

__all__ = ["GstSource"]

_FORMATS: Final = {
    "bgr": "BGR",
    "rgb": "RGB",
    "gray": "GRAY8",
    "nv12": "NV12",
    "nv21": "NV21",
    "i420": "I420",
    "yuyv": "YUY2",
    "uyvy": "UYVY",
}
_COLORS: Final = {text: color for color, text in _FORMATS.items()}
# Names of GstVideoColorMatrix and GstVideoColorRange.
_MATRICES: Final = {"bt601": "bt601", "fcc": "bt601", "bt709": "bt709"}
_RANGES: Final = {"16-235": "limited", "0-255": "full"}
_SINK: Final = "edgeface_sink"
# How long a read waits before it looks whether it should stop, and how long without a frame is a loss.
_POLL_S: Final = 0.2
_LOST_S: Final = 10.0


class GstSource(Source):
    """A pipeline such as ``v4l2src device=/dev/video0 ! video/x-raw,width=640,height=480``, without its sink.

    The core reads the strides, the YUV format and the colorimetry that arrive, so that nothing has to be converted on
    the way; a ``videoconvert`` is put at the end and does nothing unless a format comes that edgeface does not know.

    Args:
        pipeline: in the syntax of ``gst-launch-1.0``. The sink is added: an appsink that keeps the latest frame.
        color: insist on this format; any that edgeface knows if None.
        live: whether old frames may be dropped.
        matrix: "bt601" or "bt709", for YUV formats; as the caps say if None.
        range: "limited" or "full", for YUV formats; as the caps say if None.

    Raises:
        InvalidInputError: no such color, matrix or range.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        color: str | None = None,
        live: bool = True,
        matrix: str | None = None,
        range: str | None = None,  # noqa: A002 - as of a Frame
    ) -> None:
        if color is not None and color not in _FORMATS:
            raise must_be("color", f"one of {', '.join(_FORMATS)}", repr(color))
        self._colors = color_options(color or "nv12", matrix, range)
        self.name = hide_secrets(pipeline)
        self.live = live
        formats = _FORMATS[color] if color else f"{{{','.join(_FORMATS.values())}}}"
        queue = "max-buffers=1 drop=true sync=false" if live else "max-buffers=2 drop=false sync=false"
        self._text = f"{pipeline} ! videoconvert ! video/x-raw,format={formats} ! appsink name={_SINK} {queue}"
        self._gst: Any = None
        self._video: Any = None
        self._pipeline: Any = None
        self._sink: Any = None
        self._count = 0
        self._stamps = RisingStamps(0)

    def open(self) -> None:
        self.close()
        self._gst, self._video = _import()
        gst = self._gst
        try:
            self._pipeline = gst.parse_launch(self._text)
        except Exception as error:  # GLib.Error, which has no fixed home
            raise SourceError(f"source must be a GStreamer pipeline, but got {self.name}: {_said(error)}") from None
        self._sink = self._pipeline.get_by_name(_SINK)
        if self._pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            reason = self._error() or "it does not start"
            self.close()
            raise SourceError(f"source must be a pipeline that starts, but got {self.name}: {reason}")
        self._count = 0

    def read(self) -> Frame | None:
        if self._sink is None:
            raise SourceError(f"source must be open, but got {self.name} closed")
        waited_until = time.monotonic() + _LOST_S
        while not self.cancelled.is_set():
            sample = self._sink.emit("try-pull-sample", int(_POLL_S * self._gst.SECOND))
            if sample is not None:
                return self._frame(sample)
            if reason := self._error():
                raise SourceError(f"source must go on giving frames, but got {reason} from {self.name}")
            if self._sink.get_property("eos"):
                return None
            if time.monotonic() > waited_until:
                raise SourceError(f"source must go on giving frames, but got none for {_LOST_S:.0f} s from {self.name}")
        return None

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = self._sink = None

    def __del__(self) -> None:
        if self.__dict__.get("_pipeline") is not None:  # one that is dropped would go on playing
            self.close()

    def _frame(self, sample: Any) -> Frame:
        buffer, info = sample.get_buffer(), self._video.VideoInfo.new_from_caps(sample.get_caps())
        number, self._count = self._count, self._count + 1
        if buffer is None or info is None:
            raise ImageError(f"frame {number} of {self.name} must be a picture, but got no data")
        color = _COLORS[info.finfo.name]
        # strides and offsets: the buffer's own if it says, else those that follow from the caps
        meta = self._video.buffer_get_video_meta(buffer)
        layout = meta if meta is not None else info
        planes = info.finfo.n_planes
        good, mapped = buffer.map(self._gst.MapFlags.READ)
        if not good:
            raise ImageError(f"frame {number} of {self.name} must be readable, but got memory that cannot be mapped")
        try:
            data = bytes(mapped.data)  # the memory goes back to its pool: a copy, the only one
        finally:
            buffer.unmap(mapped)
        if number == 0:
            self._stamps = RisingStamps(info.fps_n / info.fps_d if info.fps_d else 0)
        stamp = time.monotonic_ns() if self.live else self._stamps.next(self._position_ms(buffer))
        try:
            return Frame.from_buffer(
                data,
                color,
                (info.width, info.height),
                strides=list(layout.stride)[:planes],
                offsets=list(layout.offset)[:planes],
                timestamp_ns=stamp,
                sequence=number,
                **self._colorimetry(color, info.colorimetry),
            )
        except ValueError as error:
            raise ImageError(f"frame {number} of {self.name}: {error}") from None

    def _position_ms(self, buffer: Any) -> float:
        return math.nan if buffer.pts == self._gst.CLOCK_TIME_NONE else buffer.pts / 1e6

    def _colorimetry(self, color: str, said: Any) -> dict[str, str]:
        """Matrix and range, as told or as the caps say."""
        if color in ("bgr", "rgb", "gray"):
            return {}
        matrix = said.matrix.value_nick
        if "matrix" not in self._colors and matrix not in (*_MATRICES, "unknown"):
            raise SourceError(
                f"colours of a pipeline must be bt601 or bt709, but got {matrix} from {self.name}: convert them (… ! "
                "videoconvert ! video/x-raw,colorimetry=bt709), or say with matrix which comes closest"
            )
        known = {"matrix": _MATRICES.get(matrix), "range": _RANGES.get(said.range.value_nick)}
        return {name: value for name, value in known.items() if value is not None} | self._colors

    def _error(self) -> str | None:
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        return None if message is None else _said(message.parse_error()[0])


def _said(error: Any) -> str:
    return hide_secrets(str(getattr(error, "message", error)))


def _import() -> tuple[Any, Any]:
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstVideo", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp, GstVideo  # GstApp: or the appsink has no try-pull-sample

        del GstApp
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"GStreamer must be usable from Python, but got: {error} (apt install python3-gi "
            "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good, "
            "or pip install 'pygobject<3.51')"
        ) from None
    if not Gst.is_initialized():
        Gst.init(None)
    return Gst, GstVideo
