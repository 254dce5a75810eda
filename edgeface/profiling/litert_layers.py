"""Per-operator times from LiteRT's own profiler.

The Python package has no call for it, but the shared library that it brings, ``libLiteRt.so``, exports the C API
(https://github.com/google-ai-edge/LiteRT, ``litert/c/``). That API may change from release to release, so it is called
in a process of its own: where it does not fit, that process fails and the report says so.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from edgeface.profiling.layer import Layer

__all__ = ["litert_layer_times", "medians", "parse_summary"]

_TIMEOUT_S: Final = 120
_CPU: Final = 1
_RUNS: Final = 4  # of one measurement

# Rows of LiteRtGetProfileSummary: type, four numbers of time, percentages, memory, calls, name.
_ROW: Final = re.compile(
    r"^\s*(?P<type>\S.*?)\s+[\d.]+\s+[\d.]+\s+(?P<average>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+(?P<calls>\d+)\s+(?P<name>\S.*?)\s*$"
)


def litert_layer_times(network: bytes, repeats: int = 7) -> tuple[list[Layer], str | None]:
    """Operators of a TFLite network in order of execution (one thread), or none and the reason.

    Nodes that XNNPACK takes over come under XNNPACK's names: a 1x1 convolution is a "Fully Connected".
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(network)
        command = [sys.executable, "-m", "edgeface.profiling.litert_layers", str(path), str(repeats)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return [], f"LiteRT's profiler could not be run: {error}"
    lines = done.stdout.splitlines()
    # it may crash while it cleans up, after the answer has been printed
    if not lines or not lines[-1].startswith("["):
        return [], f"LiteRT's profiler failed with status {done.returncode}: its C API may have changed"
    return [Layer(*row) for row in json.loads(lines[-1])], None


def medians(runs: Sequence[Sequence[Layer]]) -> list[Layer]:
    """Layer by layer the median of several measurements, which must have executed the same ones.

    The profiler itself only knows means, which one interruption spoils.
    """
    named = [[(layer.name, layer.operator) for layer in run] for run in runs]
    if any(names != named[0] for names in named):
        raise SystemExit("the runs executed different layers")
    return [Layer(*key, median(run[i].microseconds for run in runs)) for i, key in enumerate(named[0] if named else [])]


def parse_summary(text: str, runs: int) -> list[Layer]:
    """Layers of the "Run Order" table of a profile summary of some runs.

    A row that stands for several nodes of the same kind (more calls than *runs*) gives their sum.
    """
    table = re.split(r"^=+ .* =+$", text, flags=re.MULTILINE)
    layers = []
    for line in table[1].splitlines() if len(table) > 1 else ():
        match = _ROW.match(line)
        if match:
            operator = match["type"].removeprefix("Delegate/")
            microseconds = float(match["average"]) * 1000 * int(match["calls"]) / runs
            layers.append(Layer(match["name"], operator, microseconds))
    return layers


class _Library:
    """The C API: every call checked, handles as ``c_void_p``."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("ai_edge_litert")
        if spec is None or spec.origin is None:
            raise SystemExit("ai-edge-litert is not installed")
        self._library = ctypes.CDLL(str(Path(spec.origin).with_name("libLiteRt.so")))

    def call(self, name: str, *arguments: Any) -> None:
        """LiteRt*name*(arguments …)."""
        status = getattr(self._library, f"LiteRt{name}")(*arguments)
        if status:
            raise SystemExit(f"LiteRt{name} gave status {status}")

    def handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """LiteRt*name*(arguments …, &handle)."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def count(self, name: str, *arguments: Any, kind: Any = ctypes.c_size_t) -> int:
        """LiteRt*name*(arguments …, &number)."""
        number = kind()
        self.call(name, *arguments, ctypes.byref(number))
        return int(number.value)


def _profile(network: bytes, repeats: int) -> list[Layer]:
    """Mean times of some runs of a network that is compiled for them: the profiler cannot forget earlier runs."""
    lite = _Library()
    memory = ctypes.create_string_buffer(network, len(network))
    environment = lite.handle("CreateEnvironment", ctypes.c_int(0), None)
    model = lite.handle("CreateModelFromBuffer", environment, memory, ctypes.c_size_t(len(network)))
    options = lite.handle("CreateOptions")
    lite.call("SetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
    keep = ctypes.create_string_buffer(b"enable_profiling = true\n")
    deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    profiling = lite.handle(
        "CreateOpaqueOptions", b"runtime_options_string", ctypes.cast(keep, ctypes.c_void_p), deleter
    )
    lite.call("AddOpaqueOptions", options, profiling)
    compiled = lite.handle("CreateCompiledModel", environment, model, options)
    profiler = lite.handle("CompiledModelGetProfiler", compiled)
    first = ctypes.c_size_t(0)
    signature = lite.handle("GetModelSignature", model, first)

    def buffers(kind: str) -> Any:
        made = []
        for i in range(lite.count(f"GetNumSignature{kind}s", signature)):
            index = ctypes.c_size_t(i)
            tensor = lite.handle(f"GetSignature{kind}TensorByIndex", signature, index)
            tensor_type = ctypes.create_string_buffer(512)  # an opaque struct of about 70 bytes
            lite.call("GetRankedTensorType", tensor, tensor_type)
            needs = lite.handle(f"GetCompiledModel{kind}BufferRequirements", compiled, first, index)
            made.append(lite.handle("CreateManagedTensorBufferFromRequirements", environment, tensor_type, needs))
        return (ctypes.c_void_p * len(made))(*[buffer.value for buffer in made])

    inputs, outputs = buffers("Input"), buffers("Output")

    def run() -> None:
        sizes = ctypes.c_size_t(len(inputs)), ctypes.c_size_t(len(outputs))
        lite.call("RunCompiledModel", compiled, first, sizes[0], inputs, sizes[1], outputs)

    for _ in range(3):
        run()
    lite.call("StartProfiler", profiler)
    for _ in range(repeats):
        run()
    lite.call("StopProfiler", profiler)
    summary = ctypes.c_char_p()
    lite.call("GetProfileSummary", profiler, compiled, ctypes.byref(summary))
    return parse_summary((summary.value or b"").decode("utf-8", "replace"), repeats)


if __name__ == "__main__":
    layers = medians([_profile(Path(sys.argv[1]).read_bytes(), _RUNS) for _ in range(int(sys.argv[2]))])
    print(json.dumps([[layer.name, layer.operator, layer.microseconds] for layer in layers]), flush=True)
