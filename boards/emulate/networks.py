"""Executed instructions of one inference of a network file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boards.emulate.guest_run import DEFAULT_CPU, Counts, count_python
from boards.emulate.root import HERE, EmulationError

RUNTIMES = {".onnx": "onnxruntime", ".tflite": "litert"}


@dataclass(frozen=True)
class NetworkCount:
    """Executed instructions of one inference (1 thread, warm): in all and by kind, as counter.c names them."""

    model: str
    runtime: str
    cpu: str
    size: tuple[int, int]
    counts: Counts

    @property
    def millions(self) -> float:
        return self.counts["total"] / 1e6


def runtime_of(model: Path, runtime: str | None = None) -> str:
    """The runtime asked for, else the one for the file's kind."""
    runtime = runtime or RUNTIMES.get(model.suffix, "")
    if runtime not in RUNTIMES.values():
        raise EmulationError(f"model must end in {' or '.join(RUNTIMES)}, but got {model}")
    return runtime


def count_network(
    model: Path, cpu: str = DEFAULT_CPU, runtime: str | None = None, size: tuple[int, int] = (320, 320)
) -> NetworkCount:
    """Count the third inference of *model* (ONNX or TFLite) on the emulated *cpu*.

    *size* (width, height) fills free dimensions of an ONNX input only. The first two inferences are warm-up: engines
    pack weights and plan memory there.

    Raises:
        EmulationError: no runtime for the file, or the network did not run.
    """
    runtime = runtime_of(model, runtime)
    script = HERE / "guest" / "run_network.py"
    argv = [str(script), str(model.resolve()), runtime, *map(str, size), "3"]
    marks, _, _ = count_python(argv, cpu)
    begin, end = marks[4], marks[5]
    return NetworkCount(model.name, runtime, cpu, size, {kind: end[kind] - begin[kind] for kind in end})
