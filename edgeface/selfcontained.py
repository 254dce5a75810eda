"""Whether a network's weights all lie in its own bytes, so that the sha256 of the file covers them.

ONNX can name further files (external data), TFLite can point behind the flatbuffer or to other files. Both are walked
here with the least of their formats that tells; neither runtime is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from edgeface.errors import BundleCorruptError, BundleError

__all__ = ["check_selfcontained"]

_MOST_PARTS: Final = 1 << 20  # messages and tables that are looked at; a network of ours has some thousands
_DEEPEST: Final = 100  # as Protocol Buffers' own limit

# onnx.proto: message -> field number -> message that it holds
_ONNX: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)


def check_selfcontained(name: str, kind: str, network: bytes) -> None:
    """Refuse a network that refers to bytes outside its own structure.

    Bytes that are no network of their kind pass: the runtime refuses them.

    Args:
        name: of the file, for messages.
        kind: "onnx" or "tflite"; others pass.
        network: the file.

    Raises:
        BundleError: weights lie elsewhere.
        BundleCorruptError: a TFLite file whose tables point outside it.
    """
    if kind == "onnx":
        _check_onnx(name, network)
    elif kind == "tflite" and network[4:8] == b"TFL3":  # LiteRT refuses others by itself
        _check_tflite(name, network)


def _check_onnx(name: str, network: bytes) -> None:
    if network[4:8] == b"ORTM":
        raise BundleError(f"{name} must be ONNX, but got onnxruntime's own format")
    try:
        for message, number, value in _onnx_fields(network):
            if message == "Tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
                raise BundleError(f"{name} must hold its weights, but got external data: save the network as one file")
    except BundleError:
        raise
    except (IndexError, ValueError) as error:
        # not Protocol Buffers, which the runtime says better; unless it names a place of external data
        if b"location" in network:
            raise BundleCorruptError(f"{name} must be intact ONNX, but got {error}") from None


def _onnx_fields(data: bytes) -> Iterator[tuple[str, int, int]]:
    """(message, field number, value or 0) of everything that may hold a tensor."""
    parts = 0
    todo = [("Model", 0, len(data), 0)]
    while todo:
        message, at, end, depth = todo.pop()
        groups = 0
        inner = _ONNX[message]
        while at < end:
            parts += 1
            if parts > _MOST_PARTS or depth > _DEEPEST:
                raise BundleError(f"ONNX must have at most {_MOST_PARTS} fields, {_DEEPEST} deep, but got more")
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            value = 0
            if wire == _VARINT:
                value, at = _varint(data, at)
            elif wire == _FIXED64:
                at += 8
            elif wire == _FIXED32:
                at += 4
            elif wire == _BYTES:
                length, at = _varint(data, at)
                if number in inner and not groups:
                    todo.append((inner[number], at, at + length, depth + 1))
                at += length
            elif wire == _GROUP:
                groups += 1
            elif wire == _END_GROUP and groups:
                groups -= 1
            else:
                raise ValueError(f"wire type {wire}")
            if not groups:
                yield message, number, value
        if at != end or groups:
            raise ValueError("a field beyond the end of its message")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number of more than ten bytes")


def _check_tflite(name: str, network: bytes) -> None:
    tables = _Tables(network)
    try:
        (root,) = struct.unpack_from("<I", network)
        outside = [
            "other files" if list(tables.vector(root, 8)) or list(tables.vector(root, 9)) else "",
            "bytes behind the flatbuffer" if any(tables.u64(b, 1) > 1 for b in tables.vector(root, 4)) else "",
            "options behind the flatbuffer"
            if any(tables.u64(o, 9) > 1 for g in tables.vector(root, 2) for o in tables.vector(g, 3))
            else "",
        ]
    except (struct.error, IndexError) as error:
        raise BundleCorruptError(f"{name} must be an intact TFLite file, but got {error}") from None
    if any(outside):
        raise BundleError(
            f"{name} must hold its weights inside the flatbuffer, but got {' and '.join(filter(None, outside))}: "
            "in a checkout `python -m quantize.export.one_piece BUNDLE` repairs it"
        )


class _Tables:
    """The little of flatbuffers that is needed: fields of tables and vectors of tables."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = 0

    def _field(self, table: int, slot: int) -> int:
        """Where a field lies; 0 if it is not there."""
        (back,) = struct.unpack_from("<i", self._data, table)
        layout = table - back
        if layout < 0:
            raise IndexError("a table whose layout lies before the file")
        (size,) = struct.unpack_from("<H", self._data, layout)
        if 4 + 2 * slot >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, layout + 4 + 2 * slot)
        return table + int(offset) if offset else 0

    def u64(self, table: int, slot: int) -> int:
        at = self._field(table, slot)
        return int(struct.unpack_from("<Q", self._data, at)[0]) if at else 0

    def vector(self, table: int, slot: int) -> Iterator[int]:
        at = self._field(table, slot)
        if not at:
            return
        at += struct.unpack_from("<I", self._data, at)[0]
        (count,) = struct.unpack_from("<I", self._data, at)
        for i in range(count):
            self._parts += 1
            if self._parts > _MOST_PARTS:
                raise IndexError(f"more than {_MOST_PARTS} tables")
            place = at + 4 + 4 * i
            yield place + struct.unpack_from("<I", self._data, place)[0]
