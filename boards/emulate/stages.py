"""Executed instructions of the stages of a frame: preprocess, infer, decode."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boards.emulate.guest_run import count_python
from boards.emulate.root import HERE

#: Stage -> marker before it, in guest/run_pipeline.py.
MARKERS = {"preprocess": 10, "infer": 20, "decode": 30, "all": 0}


def count_stages(
    model: str,
    runtime: str,
    size: str,
    picture: np.ndarray,
    cpu: str,
    python_path: Sequence[Path],
    isa: str | None = None,
    precision: str | None = None,
) -> dict[str, int]:
    """Instructions by stage of one NV12 frame, the third one; "all" is everything that ``detect`` did for it.

    Args:
        isa: kernels of the C++ core to force (``EDGEFACE_ISA``).

    The other arguments are those of `boards.emulate.compare.compare_pipeline`.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.npy"
        np.save(file, picture)
        argv = [
            str(HERE / "guest" / "run_pipeline.py"),
            model,
            runtime,
            size,
            str(file),
            *([precision] if precision else []),
        ]
        env = {} if isa is None else {"EDGEFACE_ISA": isa}
        marks, _, _ = count_python(argv, cpu, python_path, env=env)
    return {stage: marks[first + 1]["total"] - marks[first]["total"] for stage, first in MARKERS.items()}


def stage_records(
    bundle: Path, size: str, picture: np.ndarray, cpus: Sequence[str], python_path: Sequence[Path]
) -> list[dict[str, Any]]:
    """For the table: each stage on each CPU, on LiteRT, int8; what the C++ core does with plain kernels as well."""
    frame = f"NV12 {picture.shape[1]}x{picture.shape[0]} to {size}, {bundle.stem} int8 on LiteRT"
    records = []
    for kernels, isa in (("scalar", "scalar"), ("best", None)):
        counts = {
            cpu: count_stages(str(bundle), "litert", size, picture, cpu, python_path, isa, "int8") for cpu in cpus
        }
        for stage in ("preprocess", "decode") if isa else tuple(MARKERS):
            instructions = {cpu: counts[cpu][stage] for cpu in cpus}
            records.append({"stage": stage, "kernels": kernels, "frame": frame, "instructions": instructions})
    return records
