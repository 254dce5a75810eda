"""Cameras of the kernel: V4L2, through OpenCV."""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np

from edgeface.errors import ImageError, must_be
from edgeface.frame import Frame
from edgeface.sources.capture import CaptureSource

__all__ = ["CameraSource"]

_FOURCC: Final = {"yuyv": "YUYV", "uyvy": "UYVY", "nv12": "NV12", "mjpg": "MJPG", "gray": "GREY"}


class CameraSource(CaptureSource):
    """A V4L2 camera, with the driver's queue as short as it goes: old frames are of no use.

    Args:
        device: its number, or a path such as ``/dev/video2`` or one of ``/dev/v4l/by-id/``.
        size: (width, height) to ask for; the camera's own if None. It may give another, frames say which.
        fps: to ask for.
        pixel_format: "yuyv", "uyvy", "nv12", "gray": these come as they are, with no conversion before the core's;
            "mjpg": compressed over USB, for high rates, decoded to BGR by OpenCV; the driver's choice, as BGR, if None.

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
    ) -> None:
        super().__init__()
        if pixel_format is not None and pixel_format not in _FOURCC:
            raise must_be("pixel_format", f"one of {', '.join(_FOURCC)} or None", repr(pixel_format))
        if fps is not None and not fps > 0:
            raise must_be("fps", "above 0", fps)
        self._device = device if isinstance(device, int) else os.fspath(device)
        self.name = f"/dev/video{device}" if isinstance(device, int) else str(self._device)
        self._size, self._fps, self._format = size, fps, pixel_format
        self._raw = pixel_format not in (None, "mjpg")

    def _make(self) -> Any:
        import cv2

        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not capture.isOpened():
            return capture
        if self._format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, int.from_bytes(_FOURCC[self._format].encode(), "little"))
        if self._size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._raw:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture

    def _frame(self, picture: np.ndarray[Any, np.dtype[Any]], **stamps: Any) -> Frame:
        if not self._raw:
            return super()._frame(picture, **stamps)
        import cv2

        assert self._format is not None
        width = round(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = round(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        # how OpenCV shapes bare bytes has changed from version to version: only their number counts
        data = np.ascontiguousarray(picture).view(np.uint8).reshape(-1)
        try:
            return Frame.from_buffer(data, self._format, (width, height), **stamps)
        except ValueError as error:
            raise ImageError(
                f"a frame of {self.name} must be {self._format} {width}x{height}, but got {error}"
            ) from None
