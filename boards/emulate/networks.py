"""Executed instructions of one inference of network files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boards.emulate.guest_run import DEFAULT_CPU, Counts, count_python
from boards.emulate.root import HERE, EmulationError, cache_dir

RUNTIMES = {".onnx": "onnxruntime", ".tflite": "litert", ".param": "ncnn"}


@dataclass(frozen=True)
class Network:
    """A network file, what to call it, and the input size (width, height) that fills free dimensions."""

    path: Path
    name: str
    size: tuple[int, int]
    runtime: str

    @classmethod
    def of(
        cls,
        path: Path,
        size: tuple[int, int],
        name: str | None = None,
        runtime: str | None = None,
        *,
        rough_int8: bool = False,
    ) -> Network:
        """With the runtime asked for, else the one for the file's kind.

        Args:
            rough_int8: for ncnn: int8 with made-up ranges, which costs what int8 costs and finds nothing.

        Raises:
            EmulationError: no runtime for the file.
        """
        runtime = runtime or RUNTIMES.get(path.suffix, "")
        if runtime not in RUNTIMES.values():
            raise EmulationError(f"model must end in {' or '.join(RUNTIMES)}, but got {path}")
        if not path.is_file():
            raise EmulationError(f"model must be a file, but got {path}")
        file = _for_ncnn(path, size, rough_int8) if runtime == "ncnn" else path
        return cls(file, f"{name or path.name}{' int8' * rough_int8}", size, runtime)

    @property
    def bytes(self) -> int:
        """Of its files; ncnn has two."""
        weights = self.path.with_suffix(".bin")
        return self.path.stat().st_size + (weights.stat().st_size if self.runtime == "ncnn" else 0)


def _for_ncnn(path: Path, size: tuple[int, int], rough_int8: bool) -> Path:
    """The file itself, or what pnnx makes of an ONNX file, float or QDQ; kept by its contents."""
    from quantize.export.ncnn import ConversionError, convert

    if path.suffix == ".param":
        return path
    if path.suffix != ".onnx":
        raise EmulationError(f"model for ncnn must end in .param or .onnx, but got {path}")
    data = path.read_bytes()
    digest = hashlib.sha256(data + f"{size} {rough_int8}".encode()).hexdigest()[:12]
    target = cache_dir() / "ncnn" / digest / path.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not rough_int8 and b"QuantizeLinear" not in data:
            return convert(path, size, target).param
        from quantize.export.ncnn_int8 import convert_int8, convert_roughly

        return (convert_roughly(path, size, target) if rough_int8 else convert_int8(path, target)).param
    except ConversionError as error:
        raise EmulationError(str(error)) from error


def count_networks(networks: Sequence[Network], cpu: str = DEFAULT_CPU) -> list[Counts]:
    """Instructions of the third inference of each network (1 thread) on the emulated *cpu*: in all and by kind, as
    counter.c names them.

    One process runs them all: starting Python and the runtimes costs the emulator more than the inferences do. What
    earlier networks leave in memory then costs a later one up to 2 % (seen: edgeface-s int8 21.36 and, alone, 21.03).

    Raises:
        EmulationError: a network did not run.
    """
    script = HERE / "guest" / "run_network.py"
    jobs = [f"{n.path.resolve()}:{n.runtime}:{n.size[0]}x{n.size[1]}" for n in networks]
    marks, _, _ = count_python([str(script), *jobs], cpu)
    return [
        {kind: marks[2 * k + 1][kind] - marks[2 * k][kind] for kind in marks[2 * k]} for k, _ in enumerate(networks)
    ]
