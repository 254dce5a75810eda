"""Cameras of the kernel: V4L2, through OpenCV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeface._opencv import opencv
from edgeface.errors import ImageError, SourceError, must_be
from edgeface.frame import MATRICES, Frame, checked_size, whole_pages
from edgeface.sources.capture import CaptureSource
from edgeface.sources.layout import color_options, frame_length, padded_stride
from edgeface.sources.v4l2 import DriverFormat, read_format

__all__ = ["CameraSource"]

#: What is asked for, and every name under which a driver may give it.
_FOURCC: Final = {
    "yuyv": ("YUYV", "YUY2", "YUNV"),
    "uyvy": ("UYVY", "Y422"),
    "nv12": ("NV12",),
    "mjpg": ("MJPG", "JPEG"),
    "gray": ("GREY", "Y800", "Y8"),
}


class CameraSource(CaptureSource):
    """A V4L2 camera, with the driver's queue as short as it goes: old frames are of no use.

    Args:
        device: its number, or a path such as ``/dev/video2`` or one of ``/dev/v4l/by-id/``.
        size: (width, height) to ask for; the camera's own if None. It may give another, frames say which.
        fps: to ask for.
        pixel_format: "yuyv", "uyvy", "nv12", "gray": these come as they are, with no conversion before the core's;
            "mjpg": compressed over USB, for high rates, decoded to BGR by OpenCV; the driver's choice, as BGR, if None.
        strides: bytes from row to row, one a plane, for drivers that pad rows and do not say so.
        matrix: "bt601" or "bt709", for YUV formats; as the driver says if None, bt601 if it says nothing.
        range: "limited" or "full", for YUV formats; as the driver says if None, limited if it says nothing.

    Raises:
        InvalidInputError: an argument out of range.
    """

    live = True

    def __init__(
        self,
        device: int | str | os.PathLike[str] = 0,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        pixel_format: str | None = None,
        strides: Sequence[int] | None = None,
        matrix: str | None = None,
        range: str | None = None,  # noqa: A002 - as of a Frame
    ) -> None:
        super().__init__()
        if pixel_format is not None and pixel_format not in _FOURCC:
            raise must_be("pixel_format", f"one of {', '.join(_FOURCC)} or None", repr(pixel_format))
        if fps is not None and not 0 < fps < 1e6:
            raise must_be("fps", "above 0", fps)
        if isinstance(device, int) and device < 0:
            raise must_be("device", "0 or more", device)
        self._device = device if isinstance(device, int) else os.fspath(device)
        self.name = f"/dev/video{device}" if isinstance(device, int) else str(self._device)
        self._size, self._fps, self._format = None if size is None else checked_size(size), fps, pixel_format
        self._raw = pixel_format not in (None, "mjpg")
        for name, value in {"strides": strides, "matrix": matrix, "range": range}.items():
            if value is not None and not self._raw:
                raise must_be(name, "left out unless pixel_format is yuyv, uyvy, nv12 or gray", value)
        self._strides = strides
        self._colors: dict[str, Any] = color_options(pixel_format, matrix, range) if self._raw and pixel_format else {}
        self._driver: DriverFormat | None = None

    @property
    def _hint(self) -> str:
        if Path(self.name).exists():
            return " (does another program use it, and may you read it?)"
        return ": no such device (is the camera connected? ls /dev/video* shows those that are)"

    def _make(self) -> Any:
        cv2 = opencv()

        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            return capture
        if self._format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, int.from_bytes(_FOURCC[self._format][0].encode(), "little"))
        if self._size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._raw:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture

    def _opened(self) -> None:
        """What was asked for is not always what is given: read it back."""
        cv2 = opencv()

        self._driver = read_format(self.name)
        if self._format is None:
            return
        if self._driver is not None:
            given = self._driver.fourcc
        else:
            code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
            given = code.to_bytes(4, "little").decode("latin-1").strip("\0 ") if 0 < code < 1 << 32 else ""
        if given and given not in _FOURCC[self._format]:
            known = next((name for name, codes in _FOURCC.items() if given in codes), None)
            advice = f"pixel_format {known}" if known else "no pixel_format, for BGR"
            raise SourceError(
                f"camera must give the pixel_format {self._format}, but got {given} from {self.name}: ask for {advice}"
            )
        if self._driver is not None and self._raw and self._format != "gray":
            self._colors = {"range": self._driver.range, **self._colors}
            if "matrix" not in self._colors and self._driver.matrix not in MATRICES:
                raise SourceError(
                    f"colours of a camera must be {' or '.join(MATRICES)}, but got {self._driver.matrix} from "
                    f"{self.name}: say which of them comes closest with matrix, or leave pixel_format out"
                )
            self._colors = {"matrix": self._driver.matrix, **self._colors}

    def _frame(self, picture: np.ndarray[Any, np.dtype[Any]], **stamps: Any) -> Frame:
        if not self._raw:
            return super()._frame(picture, **stamps)
        cv2 = opencv()

        assert self._format is not None
        if self._driver is not None:
            size = self._driver.size
        else:
            width, height = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            size = round(self._capture.get(width)), round(self._capture.get(height))
        # how OpenCV shapes bare bytes has changed from version to version: only their number counts
        data = np.ascontiguousarray(picture).view(np.uint8).reshape(-1)
        try:
            strides = self._layout(len(data), size)
            return Frame.from_buffer(data, self._format, size, strides=strides, **self._colors, **stamps)
        except ValueError as error:
            raise ImageError(
                f"a frame of {self.name} must be {self._format} {size[0]}x{size[1]}, but got {error}"
            ) from None

    def _layout(self, length: int, size: tuple[int, int]) -> Sequence[int] | None:
        """Strides of a frame of `length` bytes: told, asked of the driver, or derived; never guessed."""
        assert self._format is not None
        planes = 2 if self._format == "nv12" else 1
        strides = self._strides
        if strides is None and self._driver is not None and self._driver.stride:
            strides = [self._driver.stride] * planes
        needed = frame_length(self._format, size, strides)
        whole = {needed, *whole_pages(needed), self._driver.length if self._driver is not None else needed}
        if length >= needed and length in whole:
            return strides
        if strides is None and (derived := padded_stride(length, self._format, size)) is not None:
            return [derived] * planes
        raise must_be(
            "the driver's rows",
            f"{needed} bytes together (say how far they are apart with strides, leave pixel_format out, or take a "
            "GStreamer pipeline, which knows)",
            f"{length} bytes",
        )
