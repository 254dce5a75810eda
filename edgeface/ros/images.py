"""``sensor_msgs/Image`` and ``CompressedImage`` as frames, without cv_bridge."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.frame import Frame
from edgeface.images import decode_image
from edgeface.ros.bayer import BAYER, demosaic

__all__ = ["frame_from_compressed", "frame_from_image"]

#: sensor_msgs/image_encodings.hpp -> colour of a `Frame`.
_COLORS: Final = {
    "bgr8": "bgr",
    "8UC3": "bgr",
    "rgb8": "rgb",
    "mono8": "gray",
    "8UC1": "gray",
    "yuv422": "uyvy",
    "uyvy": "uyvy",
    "yuv422_yuy2": "yuyv",
    "yuyv": "yuyv",
    "nv12": "nv12",
    "nv21": "nv21",
}
_WITH_ALPHA: Final = {"bgra8": "bgr", "8UC4": "bgr", "rgba8": "rgb"}


def frame_from_image(message: Any, *, rotation: int = 0, roi: tuple[int, int, int, int] | None = None) -> Frame:
    """Wrap a ``sensor_msgs/Image``, rows of any step, without a copy where the encoding allows.

    Args:
        message: the image.
        rotation: degrees clockwise (0, 90, 180, 270) that make it upright.
        roi: as of a `Frame`.

    Returns:
        A frame whose time stamp is the header's, in nanoseconds.

    Raises:
        InvalidInputError: an encoding that edgeface does not know (depth, 16 bits), or too little data.

    Examples:
        >>> faces = engine.track(frame_from_image(message), tracker=tracker)     # doctest: +SKIP
    """
    encoding, size = message.encoding, (int(message.width), int(message.height))
    extra: dict[str, Any] = {"rotation": rotation, "roi": roi, "timestamp_ns": _nanoseconds(message)}
    if encoding in _WITH_ALPHA:
        pixels = _rows(message, 4 * size[0]).reshape(size[1], size[0], 4)
        return Frame.from_array(np.ascontiguousarray(pixels[..., :3]), _WITH_ALPHA[encoding], **extra)
    if encoding in BAYER:
        return Frame.from_array(demosaic(_rows(message, size[0]), encoding), "bgr", **extra)
    if encoding not in _COLORS:
        raise must_be("image encoding", f"one of {', '.join([*_COLORS, *_WITH_ALPHA, *BAYER])}", repr(encoding))
    color = _COLORS[encoding]
    steps = [int(message.step)] * (2 if color in ("nv12", "nv21") else 1)
    return Frame.from_buffer(message.data, color, size, strides=steps, **extra)


def frame_from_compressed(
    message: Any,
    *,
    rotation: int = 0,
    roi: tuple[int, int, int, int] | None = None,
    max_pixels: int | None = None,
) -> Frame:
    """Decode a ``sensor_msgs/CompressedImage`` (JPEG or PNG).

    The transport compresses a Bayer image as it is, a grey picture of the mosaic, and says so in ``format``.

    Args:
        message: the image.
        rotation: as of `frame_from_image`.
        roi: as of `frame_from_image`.
        max_pixels: as of `edgeface.images.read_image`.

    Raises:
        ImageError: damaged, of an unknown format, or too large.
        InvalidInputError: as `frame_from_image`; or a depth image.
    """
    kind = str(message.format)
    if "compressedDepth" in kind:
        raise must_be("compressed image", "a picture", f"format {kind!r}")
    picture = decode_image(bytes(message.data), max_pixels=max_pixels)
    encoding = kind.split(";")[0].strip()
    if encoding.startswith("bayer_") and "bgr8" not in kind and "rgb8" not in kind:
        picture = demosaic(picture[..., 0], encoding)
    return Frame.from_array(picture, "bgr", rotation=rotation, roi=roi, timestamp_ns=_nanoseconds(message))


def _rows(message: Any, used: int) -> NDArray[np.uint8]:
    """(height, used) uint8: the bytes of each row without its padding."""
    height, step = int(message.height), int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    if step < used or data.size < step * height:
        raise must_be("image data", f"{height} rows of {used} bytes or more", f"{data.size} bytes in steps of {step}")
    return data[: step * height].reshape(height, step)[:, :used]


def _nanoseconds(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
