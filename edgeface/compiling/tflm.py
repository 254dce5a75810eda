"""TensorFlow Lite Micro: the network as a C array, and the arena that it needs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.compiling import tflm_run
from edgeface.errors import RuntimeFailedError, RuntimeUnavailableError

__all__ = ["c_array", "run"]

_ENOUGH: Final = 64 << 20
#: TFLM aligns its arena to so many bytes; it needs as many more where the block it is given is not aligned.
_ALIGNMENT: Final = 16


def run(network: bytes, image: NDArray[Any], arena: int = _ENOUGH) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Run a network in the interpreter of the wheel ``tflite-micro``.

    Args:
        network: TFLite file in one piece.
        image: the input, in the network's shape and dtype.
        arena: bytes that the interpreter may use.

    Returns:
        The outputs in the order of the network, and "version" and "arena_bytes": what of the arena is in use.

    Raises:
        RuntimeUnavailableError: the wheel is not installed.
        RuntimeFailedError: the interpreter refused the network, or the arena was too small.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise RuntimeUnavailableError(
            "tflite-micro must be installed to compile for tflm, but is not (pip install tflite-micro)"
        )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("network.tflite", "input.npy", "outputs.npz")]
        paths[0].write_bytes(network)
        np.save(paths[1], image)
        command = [sys.executable, tflm_run.__file__, *map(str, paths), str(arena)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        used = re.search(r"Arena allocation total (\d+) bytes", done.stderr)
        if done.returncode or used is None:
            raise RuntimeFailedError(f"TensorFlow Lite Micro must run the network, but got {done.stderr[-1000:]}")
        with np.load(paths[2]) as loaded:
            outputs = [loaded[f"arr_{i}"] for i in range(len(loaded.files))]
    version = importlib.metadata.version("tflite-micro")
    return outputs, {"version": version, "arena_bytes": int(used[1]) + _ALIGNMENT}


def c_array(network: bytes, name: str, arena: int, about: str) -> tuple[str, str]:
    """A header and a C source with the network as an array.

    Args:
        network: TFLite file.
        name: of the array, a C identifier.
        arena: bytes of the arena, for the header.
        about: one line on what it is.

    Returns:
        The header's text and the source's, which includes ``NAME.h``.

    Examples:
        >>> header, source = c_array(b"\\x01\\x02", "net", 16, "two bytes")
        >>> print(source.splitlines()[-1])
        const unsigned char net[2] = {1,2};
    """
    guard = f"{name.upper()}_H"
    header = (
        f"/* {about} */\n#ifndef {guard}\n#define {guard}\n\n"
        f"#define {name.upper()}_ARENA_BYTES {arena}\n#define {name.upper()}_BYTES {len(network)}\n\n"
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n'
        f"/* aligned to 16 bytes, as TFLM wants it */\nextern const unsigned char {name}[{len(network)}];\n"
        f"#ifdef __cplusplus\n}}\n#endif\n#endif\n"
    )
    rows = [",".join(map(str, network[i : i + 32])) for i in range(0, len(network), 32)]
    body = ",\n".join(rows)
    source = f'/* {about} */\n#include "{name}.h"\n\n__attribute__((aligned(16)))\n'
    source += f"const unsigned char {name}[{len(network)}] = {{{body}}};\n"
    return header, source
