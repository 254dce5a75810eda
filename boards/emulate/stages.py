"""Executed instructions of the stages of a frame: preprocess, infer, decode."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

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
