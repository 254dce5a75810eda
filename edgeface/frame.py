"""A picture as cameras deliver it: planes with strides, a colour format, the camera's rotation, a time stamp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.stamps import checked_integer, checked_stamp
from edgeface.turns import checked_rotation

__all__ = ["COLORS", "MAX_SIDE", "Frame", "as_frame", "check_found_in", "checked_roi", "checked_size"]

COLORS: Final = ("bgr", "rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy")
"""The colour formats that can be given, as in ``FaceEngine.detect(frame, color=…)``."""

MATRICES: Final = ("bt601", "bt709")
RANGES: Final = ("limited", "full")

#: Longest side of a frame in pixels; the core's fixed-point coordinates hold no more.
MAX_SIDE: Final = 16384

_PLANAR = {"nv12": 2, "nv21": 2, "i420": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One camera frame. Holds views, copies nothing that the core can read in place.

    `Frame.from_array` and `Frame.from_buffer` make one from what cameras usually give.

    Attributes:
        planes: uint8 arrays. bgr, rgb: one (h, w, 3); gray: one (h, w); nv12, nv21: (h, w) and (ceil h/2, ceil w/2, 2);
            i420: (h, w) and twice (ceil h/2, ceil w/2); yuyv, uyvy: one (h, w, 2) with even w. Rows may be any number
            of bytes apart, also negative; pixels within a row must be packed.
        color: one of `COLORS`.
        rotation: degrees clockwise (0, 90, 180, 270) that make the picture upright. Results stay in the frame as given.
        roi: (x1, y1, x2, y2) in whole pixels of the frame as given: look only there. Results stay in the frame's
            coordinates.
        matrix: "bt601" or "bt709", for the YUV formats.
        range: "limited" (16–235) or "full" (0–255), for the YUV formats.
        timestamp_ns: when it was taken, an integer of nanoseconds of any clock; copied to the result.
        sequence: running number of the frame; copied to the result.

    Raises:
        InvalidInputError: a plane of the wrong dtype, shape or layout, or a value that is not in the lists above.

    Examples:
        >>> nv12 = np.zeros((720, 640), np.uint8)  # 640x480 luma, then interleaved chroma
        >>> Frame.from_array(nv12, "nv12", rotation=90).size
        (640, 480)
    """

    planes: tuple[NDArray[np.uint8], ...]
    color: str
    rotation: int = 0
    roi: tuple[int, int, int, int] | None = None
    matrix: str = "bt601"
    range: str = "limited"
    timestamp_ns: int | None = None
    sequence: int | None = None

    def __post_init__(self) -> None:
        _check_choice("color", self.color, COLORS)
        object.__setattr__(self, "rotation", checked_rotation(self.rotation))
        object.__setattr__(self, "timestamp_ns", checked_stamp(self.timestamp_ns))
        object.__setattr__(self, "sequence", checked_integer(self.sequence, "sequence"))
        _check_choice("matrix", self.matrix, MATRICES)
        _check_choice("range", self.range, RANGES)
        count = _PLANAR.get(self.color, 1)
        if not isinstance(self.planes, (tuple, list)) or len(self.planes) != count:
            got = len(self.planes) if isinstance(self.planes, (tuple, list)) else type(self.planes).__name__
            raise must_be("Frame.planes", f"a tuple of {count} array(s) for {self.color}", got)
        object.__setattr__(self, "planes", tuple(self.planes))
        for number, plane in enumerate(self.planes):
            _check_plane(f"plane {number} of a {self.color} frame", plane)
        _check_shapes(self.planes, self.color)
        if self.roi is not None:
            object.__setattr__(self, "roi", checked_roi(self.roi, self.size))

    @property
    def width(self) -> int:
        """Pixels a row."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.planes[0].shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as given, before `rotation`."""
        return self.width, self.height

    @classmethod
    def from_array(cls, array: NDArray[Any], color: str, **attributes: Any) -> Frame:
        """Wrap one array.

        Args:
            array: uint8. bgr, rgb: (h, w, 3); gray: (h, w) or (h, w, 1); yuyv, uyvy: (h, w, 2); nv12, nv21, i420:
                (h * 3/2, w) as OpenCV and most cameras give it, h and w even. Views with any row stride are used in
                place, but for i420, whose array must be whole (see `from_buffer`). Mirrored or channel-reversed views
                (``image[:, ::-1]``, ``image[..., ::-1]``) of bgr, rgb and gray are copied once, of others refused.
            color: one of `COLORS`.
            **attributes: the other attributes of `Frame`.

        Raises:
            InvalidInputError: not a uint8 array of the shape above.
        """
        _check_choice("color", color, COLORS)
        _check_plane("frame", array, packed=False)
        if color == "gray" and array.ndim == 3 and array.shape[2] == 1:
            array = array[..., 0]
        if color in _PLANAR:
            planes = _split(array, color)
        elif color in ("yuyv", "uyvy") and array.ndim == 3 and min(array.strides[1:]) < 0:
            raise must_be(f"a {color} frame", "not a mirrored view (its U and V change places)", array.strides)
        else:
            planes = (array if _is_packed(array) else np.ascontiguousarray(array),)
        return cls(planes, color, **attributes)

    @classmethod
    def from_buffer(
        cls,
        buffer: Any,
        color: str,
        size: tuple[int, int],
        *,
        strides: Sequence[int] | None = None,
        offsets: Sequence[int] | None = None,
        **attributes: Any,
    ) -> Frame:
        """Wrap the raw memory of a camera driver, such as a mapped dma-buf or a GStreamer map.

        Args:
            buffer: anything with the buffer protocol.
            color: one of `COLORS`.
            size: (width, height) in pixels.
            strides: bytes from row to row, one a plane; packed rows if left out. Without strides and offsets the buffer
                must be as long as the frame, or as the whole pages of memory that it takes.
            offsets: byte where each plane begins; planes follow each other if left out.
            **attributes: the other attributes of `Frame`.

        Raises:
            InvalidInputError: the buffer is too short or too long for what is described, or a stride is shorter than a
                row.

        Examples:
            >>> memory = bytes(704 * 480 * 3 // 2)  # 640x480 NV12 whose rows are 704 bytes apart
            >>> Frame.from_buffer(memory, "nv12", (640, 480), strides=[704, 704]).planes[1].shape
            (240, 320, 2)
        """
        _check_choice("color", color, COLORS)
        try:
            memory = np.frombuffer(buffer, dtype=np.uint8)
        except (TypeError, ValueError, BufferError) as error:
            raise must_be("buffer", "contiguous memory", f"{type(buffer).__name__} ({error})") from None
        shapes = _plane_shapes(color, *checked_size(size))
        rows = [row for _, row in plane_rows(color, *checked_size(size))]
        steps = list(rows if strides is None else strides)
        if len(steps) != len(shapes):
            raise must_be("strides", f"{len(shapes)} numbers for {color}", len(steps))
        lengths = [step * (shape[0] - 1) + row for step, shape, row in zip(steps, shapes, rows, strict=True)]
        if offsets is None:
            starts = [
                sum(s * shape[0] for s, shape in zip(steps[:i], shapes[:i], strict=True)) for i in range(len(shapes))
            ]
        else:
            starts = list(offsets)
        if len(starts) != len(shapes):
            raise must_be("offsets", f"{len(shapes)} numbers for {color}", len(starts))
        packed = sum(row * shape[0] for row, shape in zip(rows, shapes, strict=True))
        if strides is None and offsets is None and len(memory) > packed and len(memory) not in whole_pages(packed):
            # padded rows or another format, which would be read as pixels
            raise must_be("buffer", f"{packed} bytes long for {color} {size[0]}x{size[1]} without strides", len(memory))
        planes = []
        for shape, row, step, start, length in zip(shapes, rows, steps, starts, lengths, strict=True):
            if step < row:
                raise must_be("stride", f"at least the {row} bytes of a row", step)
            if start < 0 or start + length > len(memory):
                raise must_be(
                    "buffer", f"at least {start + length} bytes long for {color} {size[0]}x{size[1]}", len(memory)
                )
            inner = (shape[2], 1) if len(shape) == 3 else (1,)
            planes.append(
                np.lib.stride_tricks.as_strided(memory[start : start + length], shape, (step, *inner), writeable=False)
            )
        return cls(tuple(planes), color, **attributes)


def as_frame(frame: Frame | NDArray[np.uint8], color: str | None = None, **attributes: Any) -> Frame:
    """A `Frame` as it is, or an array wrapped: what every function that takes a frame does with it.

    Args:
        frame: a `Frame`, or a uint8 array in one of the shapes of `Frame.from_array`.
        color: of an array, required; left out with a `Frame`.
        **attributes: of an array: those of `Frame`. Values that are None, or 0 for `rotation`, count as left out.

    Raises:
        InvalidInputError: an array without its colour, a `Frame` with one, or as `Frame.from_array`.

    Examples:
        >>> as_frame(np.zeros((480, 640), np.uint8), "gray").size
        (640, 480)
    """
    if isinstance(frame, Frame):
        given = {"color": color, **attributes}
        for name, value in given.items():
            if value is not None and not (name == "rotation" and isinstance(value, (int, np.integer)) and value == 0):
                raise must_be(name, "left out with a Frame, which has its own", f"{name} as an argument too")
        return frame
    if color is None:
        raise must_be("color", "given with an array (bgr for cv2, rgb for most others)", None)
    return Frame.from_array(frame, color, **attributes)


def check_found_in(frame: Frame, size: tuple[int, int]) -> None:
    """Refuse a frame that faces cannot have been found in: what is measured there would be of something else.

    Args:
        frame: that they are said to be in.
        size: of `Faces`; (0, 0) where it is not known, which fits all.

    Raises:
        InvalidInputError: the frame is of another size.
    """
    if any(size) and tuple(size) != frame.size:
        got = "x".join(map(str, frame.size))
        raise must_be("frame", f"the one of {size[0]}x{size[1]} that the faces were found in", f"one of {got}")


def _check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise must_be(name, f"one of {', '.join(map(str, choices))}", repr(value))


def _check_plane(name: str, plane: object, packed: bool = True) -> None:
    if not isinstance(plane, np.ndarray):
        raise must_be(name, "a numpy array", type(plane).__name__)
    if plane.dtype != np.uint8:
        raise must_be(name, "of dtype uint8", plane.dtype)
    if plane.ndim not in (2, 3):
        raise must_be(name, "an array of 2 or 3 dimensions", f"shape {plane.shape}")
    if 0 in plane.shape:
        raise must_be(name, "at least 1x1 pixel", f"shape {plane.shape}")
    if max(plane.shape[:2]) > MAX_SIDE * 3 // 2:
        raise must_be(name, f"at most {MAX_SIDE} pixels a side", f"shape {plane.shape}")
    if packed and not _is_packed(plane):
        raise must_be(
            name, "packed within each row (Frame.from_array copies where that is needed)", f"strides {plane.strides}"
        )


def _is_packed(plane: NDArray[Any]) -> bool:
    """Whether the pixels within a row, and the bytes within a pixel, follow each other."""
    if plane.ndim == 3:
        return (plane.shape[2] == 1 or plane.strides[2] == 1) and (
            plane.shape[1] == 1 or plane.strides[1] == plane.shape[2]
        )
    return plane.shape[1] == 1 or plane.strides[1] == 1


def _plane_shapes(color: str, width: int, height: int) -> list[tuple[int, ...]]:
    half = ((height + 1) // 2, (width + 1) // 2)
    match color:
        case "bgr" | "rgb":
            return [(height, width, 3)]
        case "gray":
            return [(height, width)]
        case "yuyv" | "uyvy":
            return [(height, width, 2)]
        case "i420":
            return [(height, width), half, half]
        case _:
            return [(height, width), (*half, 2)]


def whole_pages(length: int) -> set[int]:
    """Lengths that a buffer of `length` bytes may have in memory that is given out in pages."""
    return {-(-length // page) * page for page in (4096, 16384, 65536)}


def plane_rows(color: str, width: int, height: int) -> list[tuple[int, int]]:
    """(rows, bytes a row) of each plane of a frame without padding."""
    return [
        (shape[0], shape[1] * (shape[2] if len(shape) == 3 else 1)) for shape in _plane_shapes(color, width, height)
    ]


def _check_shapes(planes: Sequence[NDArray[np.uint8]], color: str) -> None:
    height, width = planes[0].shape[:2]
    if max(height, width) > MAX_SIDE:
        raise must_be("frame", f"at most {MAX_SIDE} pixels a side", f"{width}x{height}")
    for number, (plane, shape) in enumerate(zip(planes, _plane_shapes(color, width, height), strict=True)):
        if plane.shape != shape:
            what = f"plane {number} of a {color} frame" if len(planes) > 1 else f"a {color} frame"
            raise must_be(what, f"of shape {shape if number else _GENERIC[color]}", plane.shape)
    if color in ("yuyv", "uyvy") and width % 2:
        raise must_be(f"the width of a {color} frame", "even", width)


_GENERIC = dict.fromkeys(("bgr", "rgb"), "(h, w, 3)") | dict.fromkeys(("yuyv", "uyvy"), "(h, w, 2)")
_GENERIC |= dict.fromkeys(("gray", "nv12", "nv21", "i420"), "(h, w)")


def _split(array: NDArray[np.uint8], color: str) -> tuple[NDArray[np.uint8], ...]:
    """Split OpenCV's single (h * 3/2, w) array of a 4:2:0 picture into its planes, as views where that is possible."""
    if array.ndim != 2 or array.shape[0] % 3 or array.shape[1] % 2:
        raise must_be(f"a {color} frame", "of shape (h * 3/2, w) with even h and w", array.shape)
    height, width = array.shape[0] // 3 * 2, array.shape[1]
    if array.strides[0] < 0 or array.strides[1] < 0:
        # chroma lies under the luma, and in the rows of i420 two of its rows side by side: a mirror mixes them up
        raise must_be(f"a {color} frame", "not a mirrored view (mirror what comes of it)", f"strides {array.strides}")
    if color == "i420" and _is_packed(array) and not array.flags.c_contiguous:
        raise must_be(
            "an i420 frame",
            "without columns or rows cut off, since each row of the array holds two rows of chroma (rows with padding: "
            "Frame.from_buffer(whole_array, 'i420', size, strides=[stride, stride // 2, stride // 2]))",
            f"rows of {width} bytes that are {array.strides[0]} apart",
        )
    array = array if _is_packed(array) else np.ascontiguousarray(array)
    luma, chroma = array[:height], array[height:]
    if color == "i420":
        u, v = chroma.reshape(2, height // 2, width // 2)
        return luma, u, v
    rows, inner = chroma.strides[0], (2, 1)
    return luma, np.lib.stride_tricks.as_strided(chroma, (height // 2, width // 2, 2), (rows, *inner))


def checked_size(size: object) -> tuple[int, int]:
    """(width, height) as ints.

    Raises:
        InvalidInputError: not two whole numbers from 1 to `MAX_SIDE`.
    """
    if isinstance(size, np.ndarray) and size.ndim == 1:
        size = size.tolist()
    if isinstance(size, (tuple, list)) and len(size) == 2:
        width, height = size
        if all(_is_whole(side) and 1 <= side <= MAX_SIDE for side in (width, height)):
            return int(width), int(height)
    raise must_be("size", f"(width, height), each 1 to {MAX_SIDE}", size)


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def checked_roi(roi: object, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2) as ints, from a tuple, list or array.

    Raises:
        InvalidInputError: not a region of whole pixels inside a frame of `size`.
    """
    width, height = size
    if isinstance(roi, np.ndarray) and roi.ndim == 1:
        roi = roi.tolist()
    if isinstance(roi, (tuple, list)) and len(roi) == 4 and all(map(_is_whole, roi)):
        x1, y1, x2, y2 = (int(v) for v in roi)
        if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:
            return x1, y1, x2, y2
    raise must_be(
        "roi", f"(x1, y1, x2, y2) of whole pixels with x1 < x2, y1 < y2 inside the {width}x{height} frame", roi
    )
