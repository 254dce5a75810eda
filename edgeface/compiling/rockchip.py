"""Rockchip NPUs, by rknn-toolkit2 in an environment of its own. Nothing of the toolkit is redistributed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.compiling import rockchip_run
from edgeface.compiling.targets import Target
from edgeface.errors import RuntimeFailedError, RuntimeUnavailableError
from edgeface.images import write_image

__all__ = ["PYTHON", "compile_network"]

#: Variable that names the Python of the toolkit's environment.
PYTHON: Final = "EDGEFACE_RKNN_PYTHON"


def compile_network(
    network: bytes,
    target: Target,
    size: tuple[int, int],
    input_name: str,
    image: NDArray[np.uint8],
    photos: Sequence[NDArray[np.uint8]] = (),
) -> tuple[bytes, list[NDArray[Any]], dict[str, Any]]:
    """Compile an ONNX network and run it once in the toolkit's simulator.

    Args:
        network: the QDQ network, whose quantisation is kept; or the float one with `photos`.
        target: a Rockchip processor.
        size: (width, height) of the input.
        input_name: of the network.
        image: (1, height, width, 3) uint8 for the simulator.
        photos: (height, width, 3) RGB pictures by which the toolkit quantises a float network; none for a QDQ network.

    Returns:
        The ``.rknn`` file, the simulator's outputs, and "version" of the toolkit.

    Raises:
        RuntimeUnavailableError: ``EDGEFACE_RKNN_PYTHON`` names no Python with the toolkit.
        RuntimeFailedError: the toolkit refused the network.
    """
    python = os.environ.get(PYTHON, "")
    if not python or not Path(python).is_file():
        raise RuntimeUnavailableError(
            f"{PYTHON} must name the Python of an environment with rknn-toolkit2 (docs/compile.md), but got {python!r}"
        )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "network.onnx").write_bytes(network)
        np.save(work / "image.npy", image)
        pictures = [work / f"photo{number}.png" for number in range(len(photos))]
        for path, photo in zip(pictures, photos, strict=True):
            write_image(path, np.ascontiguousarray(photo[..., ::-1]))
        job = {
            "platform": target.name,
            "level": int(target.settings["optimization_level"]),
            "network": str(work / "network.onnx"),
            "input": input_name,
            "size": list(size),
            "photos": [str(path) for path in pictures],
            "image": str(work / "image.npy"),
            "out": str(work / "network.rknn"),
            "outputs": str(work / "outputs.npz"),
        }
        (work / "job.json").write_text(json.dumps(job))
        # the toolkit writes files where it is started
        command = [python, str(Path(rockchip_run.__file__).resolve()), str(work / "job.json")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=work)
        if done.returncode or not (work / "result.json").is_file():
            raise RuntimeFailedError(
                f"rknn-toolkit2 must compile for {target.name}, but got {(done.stdout + done.stderr)[-1500:]}"
            )
        with np.load(work / "outputs.npz") as loaded:
            outputs = [loaded[f"arr_{i}"] for i in range(len(loaded.files))]
        report = json.loads((work / "result.json").read_text())
        return (work / "network.rknn").read_bytes(), outputs, report
