"""libedgeface_engine through ctypes, for tests. ``EDGEFACE_ENGINE_LIBRARY`` is the path of the shared library."""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = os.environ.get("EDGEFACE_ENGINE_LIBRARY", "")
FORMATS = {"bgr": 1, "rgb": 2, "gray": 3, "nv12": 4}
DTYPES = ("int8", "uint8", "float32")
OK, NULL, STRUCT_SIZE, ARGUMENT, SIZE, STRIDE, MEMORY, UNSUPPORTED, FILE, BUNDLE, TOO_NEW, MISSING, RUNTIME = range(13)


class Struct(c.Structure):
    """Knows its own size, as the library demands."""

    def __init__(self, **values: Any) -> None:
        super().__init__(struct_size=c.sizeof(type(self)), **values)


class Face(c.Structure):
    _fields_ = (
        ("box", c.c_float * 4),
        ("score", c.c_float),
        ("quality", c.c_float),
        ("landmarks", c.c_float * 10),
        ("rotation", c.c_float * 9),
    )


class Faces(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("face_size", c.c_uint32),
        ("capacity", c.c_uint32),
        ("count", c.c_uint32),
        ("items", c.POINTER(Face)),
    )


class Track(c.Structure):
    _fields_ = (("face", Face), ("id", c.c_uint32), ("hits", c.c_uint32), ("first_seen_ns", c.c_int64))


class Tracks(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("track_size", c.c_uint32),
        ("capacity", c.c_uint32),
        ("count", c.c_uint32),
        ("items", c.POINTER(Track)),
    )


class Image(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("format", c.c_uint32),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("planes", c.c_void_p * 3),
        ("strides", c.c_ssize_t * 3),
        ("matrix", c.c_uint32),
        ("range", c.c_uint32),
        ("rotation", c.c_uint32),
        ("crop", c.c_uint32 * 4),
        ("timestamp_ns", c.c_int64),
    )


class Input(Struct):
    _fields_ = (
        *(
            (name, c.c_uint32)
            for name in ("struct_size", "width", "height", "dtype", "layout", "color", "fit", "filter")
        ),
        ("scale", c.c_float),
        ("zero_point", c.c_int32),
        ("data", c.c_void_p),
    )


class Output(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "dtype", "layout", "stride", "columns", "rows")),
        ("scale", c.c_float),
        ("zero_point", c.c_int32),
        ("channel_scales", c.POINTER(c.c_float)),
        ("data", c.c_void_p),
        *((name, c.c_ssize_t) for name in ("cell_step", "row_step", "channel_step")),
    )


class Config(Struct):
    _fields_ = (
        *(
            (name, c.c_uint32)
            for name in ("struct_size", "max_width", "max_height", "tensor_width", "tensor_height", "isa")
        ),
        ("memory", c.c_void_p),
        ("memory_size", c.c_size_t),
        ("allocate", c.c_void_p),
        ("release", c.c_void_p),
        ("user", c.c_void_p),
    )


class TrackerConfig(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("min_hits", c.c_uint32),
        *((name, c.c_float) for name in ("lost_after", "new_score", "low_score", "fps")),
        ("max_faces", c.c_uint32),
    )


class EngineConfig(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("precision", c.c_uint32),
        ("path", c.c_char_p),
        ("data", c.c_void_p),
        ("size", c.c_size_t),
        *((name, c.c_uint32) for name in ("width", "height", "max_width", "max_height", "threads")),
        ("min_score", c.c_float),
        ("nms_iou", c.c_float),
        ("isa", c.c_uint32),
        ("reserved", c.c_uint32),
        ("tracker", TrackerConfig),
        ("points_path", c.c_char_p),
        ("points_data", c.c_void_p),
        ("points_size", c.c_size_t),
    )


class PointsOutput(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "role", "dtype")),
        ("scale", c.c_float),
        ("zero_point", c.c_int32),
        ("data", c.c_void_p),
    )


class Points(Struct):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("points", c.c_float * 136),
        ("points3d", c.c_float * 204),
        ("spread", c.c_float * 68),
        ("visible", c.c_float * 68),
        ("eyes_open", c.c_float * 2),
        ("mouth_open", c.c_float),
        ("cover", c.c_float * 6),
    )


class EngineInfo(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "width", "height", "threads", "isa")),
        ("min_score", c.c_float),
        ("nms_iou", c.c_float),
        *((name, c.c_char_p) for name in ("model", "version", "licence", "file", "precision", "runtime")),
    )


class BundleInfo(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "network_count", "level_count", "width", "height")),
        ("min_score", c.c_float),
        ("nms_iou", c.c_float),
        *((name, c.c_char_p) for name in ("name", "version", "licence")),
    )


class NetworkInfo(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "width", "height", "size_multiple", "output_count")),
        *((name, c.c_char_p) for name in ("format", "precision", "target", "file", "weights", "input_name")),
        ("output_names", c.c_char_p * 8),
    )


class Golden(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "picture_width", "picture_height")),
        ("picture", c.c_void_p),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("input", c.c_void_p),
        ("input_size", c.c_size_t),
        ("output_count", c.c_uint32),
        ("outputs", c.c_void_p * 8),
        ("output_sizes", c.c_size_t * 8),
    )


class Verdict(Struct):
    _fields_ = (
        *((name, c.c_uint32) for name in ("struct_size", "compared", "values", "differing")),
        ("largest", c.c_float),
        ("allowed", c.c_float),
        ("tensor", c.c_char_p),
    )


def load() -> c.CDLL:
    """The library, with its texts as bytes."""
    library = c.CDLL(LIBRARY)
    for name in ("ef_last_error_message", "ef_last_error_field", "ef_version"):
        getattr(library, name).restype = c.c_char_p
    for name in ("ef_bundle_close", "ef_engine_close", "ef_tracker_destroy", "ef_destroy", "ef_tracker_reset"):
        getattr(library, name).restype = None
        getattr(library, name).argtypes = [c.c_void_p]
    library.ef_tracker_update.argtypes = [c.c_void_p, c.c_void_p, c.c_int64, c.c_void_p]
    library.ef_bundle_open_memory.argtypes = [c.c_char_p, c.c_size_t, c.c_void_p]
    for name in ("ef_bundle_input", "ef_bundle_outputs"):
        getattr(library, name).argtypes = [
            c.c_void_p,
            c.c_uint32,
            c.c_uint32,
            c.c_uint32,
            *[c.c_void_p] * (1 + name.endswith("s")),
        ]
    library.ef_bundle_find.argtypes = [c.c_void_p, *[c.c_char_p] * 3, c.c_uint32, c.c_uint32, c.c_void_p]
    library.ef_bundle_file.argtypes = [c.c_void_p, c.c_char_p, c.c_void_p, c.c_void_p]
    library.ef_bundle_network.argtypes = library.ef_bundle_golden.argtypes = [c.c_void_p, c.c_uint32, c.c_void_p]
    library.ef_bundle_decode.argtypes = [c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p, c.c_uint32, *[c.c_void_p] * 3]
    for name in ("ef_bundle_describe", "ef_engine_describe", "ef_bundle_decode_options"):
        getattr(library, name).argtypes = [c.c_void_p] * 2
    library.ef_engine_points.argtypes = [c.c_void_p] * 4
    library.ef_bundle_points_outputs.argtypes = [c.c_void_p, c.c_uint32, c.c_void_p, c.c_void_p]
    for name in ("ef_engine_detect", "ef_engine_track", "ef_engine_verify"):
        getattr(library, name).argtypes = [c.c_void_p] * 3
    return library


class Handle:
    """An opened bundle or engine that is closed at the end of a block; the status of a failed opening is raised."""

    def __init__(self, library: c.CDLL, opened: str, close: str, *arguments: Any) -> None:
        self.library, self._close, self.value = library, close, c.c_void_p()
        self.status = getattr(library, opened)(*arguments, c.byref(self.value))
        self.message = library.ef_last_error_message().decode() if self.status else ""
        self.field = library.ef_last_error_field().decode() if self.status else ""

    def __enter__(self) -> c.c_void_p:
        assert self.status == OK, self.message
        return self.value

    def __exit__(self, *_: object) -> None:
        getattr(self.library, self._close)(self.value)


def open_bundle(library: c.CDLL, source: Path | bytes) -> Handle:
    """A bundle by path or bytes. Keep the bytes as long as the bundle."""
    if isinstance(source, bytes):
        return Handle(library, "ef_bundle_open_memory", "ef_bundle_close", source, len(source))
    return Handle(library, "ef_bundle_open", "ef_bundle_close", str(source).encode())


def open_engine(library: c.CDLL, **values: Any) -> Handle:
    """An engine, by the fields of `EngineConfig`."""
    return Handle(library, "ef_engine_open", "ef_engine_close", c.byref(EngineConfig(**values)))


def image(pixels: NDArray[np.uint8], color: str = "bgr", **values: Any) -> Image:
    """(h, w, 3) or (h, w) pixels, which must outlive it."""
    made = Image(format=FORMATS[color], height=pixels.shape[0], width=pixels.shape[1], **values)
    made.planes[0] = pixels.ctypes.data
    made.strides[0] = pixels.strides[0]
    return made


def room(count: int) -> Faces:
    """Room for faces; the array lives as long as what is returned."""
    return Faces(face_size=c.sizeof(Face), capacity=count, items=(Face * count)())


def track_room(count: int) -> Tracks:
    """Room for tracks."""
    return Tracks(track_size=c.sizeof(Track), capacity=count, items=(Track * count)())
