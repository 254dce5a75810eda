"""Is what a board computes what this machine computes?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.emulate.guest_run import run_python
from boards.emulate.networks import Network
from boards.emulate.root import HERE, EmulationError

GUEST = HERE / "guest"


def here(argv: Sequence[str]) -> Any:
    """JSON that a guest script prints when this machine's Python runs it."""
    done = subprocess.run([sys.executable, *argv], check=False, capture_output=True, text=True)
    if done.returncode:
        raise EmulationError(f"{' '.join(argv)} ended here with status {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def there(argv: Sequence[str], cpu: str, python_path: Sequence[Path] = ()) -> Any:
    """JSON that a guest script prints on the emulated *cpu*."""
    return json.loads(run_python(argv, cpu, python_path).splitlines()[-1])


def compare_networks(networks: Sequence[Network], cpus: Sequence[str]) -> Iterator[tuple[Network, str, float]]:
    """Largest difference of the raw outputs for one input, between each CPU and the first one.

    Args:
        networks: to run.
        cpus: to emulate, two or more.
    """
    script = str(GUEST / "run_network.py")
    jobs = [f"{n.path.resolve()}:{n.runtime}:{n.size[0]}x{n.size[1]}" for n in networks]
    with tempfile.TemporaryDirectory() as folder:
        for cpu in cpus:
            (Path(folder) / cpu).mkdir()
            run_python([script, "--save", f"{folder}/{cpu}", *jobs], cpu)
        for cpu in cpus[1:]:
            for number, network in enumerate(networks):
                a, b = (np.load(f"{folder}/{name}/{number}.npz") for name in (cpus[0], cpu))
                gaps = [np.abs(a[key].astype(np.float64) - b[key]).max() for key in a]
                yield network, cpu, float(max(gaps))


@dataclass(frozen=True)
class PipelineEquality:
    """The faces of one picture here and on one CPU: how many, and the largest difference of any number of them."""

    what: str
    faces: int
    exact: bool
    difference: float


def compare_pipeline(
    model: str,
    runtime: str,
    size: str,
    picture: np.ndarray,
    cpus: Sequence[str],
    site: Path,
    precision: str | None = None,
) -> list[PipelineEquality]:
    """Frames through the whole shipped path (preprocess, network, decode), here and on each CPU.

    Args:
        model: name of a bundled model, or path of a bundle.
        runtime: "litert" or "onnxruntime".
        size: input size such as "320x240".
        picture: (h, w, 3) uint8 BGR; it is tried as BGR and as NV12.
        cpus: to emulate.
        site: folder with the unpacked aarch64 wheel.
        precision: "int8" or "float32"; None for the engine's choice.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.npy"
        np.save(file, picture)
        argv = [str(GUEST / "run_pipeline.py"), model, runtime, size, str(file), *([precision] if precision else [])]
        wanted = here(argv)
        found = []
        for cpu in cpus:
            got = there(argv, cpu, [site])
            if got["sha256"] != wanted["sha256"]:
                raise EmulationError(f"{cpu} ran another network: {got['sha256']} and not {wanted['sha256']}")
            for color in ("bgr", "nv12"):
                a, b = got["faces"][color], wanted["faces"][color]
                what = f"{model} {runtime} {size} {color} on {cpu} ({got['isa']}) and here ({wanted['isa']})"
                if len(a["scores"]) != len(b["scores"]):
                    raise EmulationError(f"{what}: {len(a['scores'])} faces there, {len(b['scores'])} here")
                gaps = [np.abs(np.subtract(a[key], b[key])).max(initial=0.0) for key in b]
                found.append(PipelineEquality(what, len(b["scores"]), a == b, float(max(gaps))))
    return found
