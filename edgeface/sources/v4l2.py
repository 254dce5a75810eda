"""What a V4L2 driver really gives, asked through the descriptor that OpenCV holds."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DriverFormat", "is_camera", "read_format"]

_MAJOR: Final = 81  # of the kernel's video devices
# struct v4l2_format: a type, then a union that is aligned for pointers
_HEAD: Final = "I4x" if struct.calcsize("P") == 8 else "I"
_BYTES: Final = struct.calcsize(_HEAD) + 200
_G_FMT: Final = 3 << 30 | _BYTES << 16 | ord("V") << 8 | 4
_CAPTURE: Final = 1
_PIX: Final = "4s11I"  # after width and height: pixelformat, field, bytesperline, sizeimage, colorspace, priv, flags, …
_EXTENDED: Final = 0xFEEDCAFE  # in priv: the driver has filled in what follows it
_JPEG, _REC709, _BT2020, _SMPTE240M, _DCI_P3 = 7, 3, 10, 2, 12
_MATRICES: Final = {
    1: "bt601",
    2: "bt709",
    3: "bt601",
    4: "bt709",
    5: "bt601",
    6: "bt2020",
    7: "bt2020",
    8: "smpte240m",
}


@dataclass(frozen=True, slots=True)
class DriverFormat:
    """What VIDIOC_G_FMT says.

    Attributes:
        size: (width, height) in pixels.
        fourcc: pixel format, such as "NV12".
        stride: bytes from row to row of the first plane; 0 for compressed formats.
        length: bytes of a frame, trailing padding included.
        matrix: "bt601", "bt709", "bt2020" or "smpte240m".
        range: "limited" or "full".
    """

    size: tuple[int, int]
    fourcc: str
    stride: int
    length: int
    matrix: str
    range: str


def is_camera(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a video device of the kernel, whatever it is called (``/dev/v4l/by-id/…``)."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _MAJOR


def read_format(device: str) -> DriverFormat | None:
    """The format that is set now on a device that this process has open; None if it cannot be asked."""
    for descriptor in _descriptors(device):
        asked = bytearray(struct.pack(_HEAD, _CAPTURE).ljust(_BYTES, b"\0"))
        try:
            fcntl.ioctl(descriptor, _G_FMT, asked)
        except OSError:
            continue
        return _parsed(bytes(asked[struct.calcsize(_HEAD) :]))
    return None


def _descriptors(device: str) -> list[int]:
    """A second opening of a camera may be refused, or end the first one: the descriptor is found, not made."""
    try:
        number = Path(device).stat().st_rdev
        return [
            int(name)
            for name in os.listdir("/proc/self/fd")  # noqa: PTH208 - names, not paths
            if (status := _status(int(name))) is not None
            and stat.S_ISCHR(status.st_mode)
            and status.st_rdev == number
            and os.major(number) == _MAJOR
        ]
    except OSError:
        return []


def _status(descriptor: int) -> os.stat_result | None:
    try:
        return os.fstat(descriptor)
    except OSError:  # closed since it was listed
        return None


def _parsed(pix: bytes) -> DriverFormat:
    width, height = struct.unpack_from("2I", pix)
    fourcc, _, stride, length, colorspace, priv, _, encoding, quantization, *_ = struct.unpack_from(_PIX, pix, 8)
    if priv != _EXTENDED:
        encoding = quantization = 0
    matrix = _MATRICES.get(encoding)
    if matrix is None:  # V4L2_MAP_YCBCR_ENC_DEFAULT
        by_space = {_REC709: "bt709", _DCI_P3: "bt709", _BT2020: "bt2020", _SMPTE240M: "smpte240m"}
        matrix = by_space.get(colorspace, "bt601")
    full = quantization == 1 or (quantization == 0 and colorspace == _JPEG)  # V4L2_MAP_QUANTIZATION_DEFAULT
    return DriverFormat(
        (width, height), fourcc.decode("latin-1").strip(), stride, length, matrix, "full" if full else "limited"
    )
