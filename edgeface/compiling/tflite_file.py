"""TFLite files as microcontrollers and NPU compilers want them: all weights inside the flatbuffer."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from edgeface.errors import BundleCorruptError, RuntimeUnavailableError

__all__ = ["custom_operators", "in_one_piece", "schema"]


def schema() -> Any:
    """The description of TFLite files, which ai-edge-litert brings.

    Raises:
        RuntimeUnavailableError: it is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise RuntimeUnavailableError(
            "ai-edge-litert must be installed to read TFLite files, but is not (pip install ai-edge-litert)"
        ) from error
    return schema_py_generated


def in_one_piece(network: bytes) -> bytes:
    """The same network with the buffers that lie behind the flatbuffer moved into it.

    TensorFlow Lite Micro reads such buffers as empty, and computes garbage without an error.

    Args:
        network: TFLite file.

    Returns:
        The file; `network` itself where nothing lies behind it.

    Raises:
        BundleCorruptError: it is damaged.
        RuntimeUnavailableError: ai-edge-litert is not installed.
    """
    import flatbuffers

    generated = schema()
    try:
        model = generated.ModelT.InitFromObj(generated.Model.GetRootAs(network, 0))
        outside = [buffer for buffer in model.buffers if buffer.offset > 1]
        for buffer in outside:
            data = network[buffer.offset : buffer.offset + buffer.size]
            if len(data) != buffer.size:
                raise ValueError(f"a buffer ends {buffer.size - len(data)} bytes behind the file")
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
        if not outside:
            return network
        builder = flatbuffers.Builder(len(network))
        builder.Finish(model.Pack(builder), b"TFL3")
    # what flatbuffers' accessors raise on damaged bytes, depending on which byte it is
    except (struct.error, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
        raise BundleCorruptError(f"network must be an intact TFLite file, but got {error}") from error
    return bytes(builder.Output())


def custom_operators(network: bytes) -> tuple[int, dict[str, int]]:
    """How many of a network's operators are builtin, and how many of each custom kind."""
    generated = schema()
    model = generated.ModelT.InitFromObj(generated.Model.GetRootAs(network, 0))
    builtin, custom = 0, dict[str, int]()
    for operator in model.subgraphs[0].operators:
        name = model.operatorCodes[operator.opcodeIndex].customCode
        if name:
            custom[name.decode()] = custom.get(name.decode(), 0) + 1
        else:
            builtin += 1
    return builtin, custom
