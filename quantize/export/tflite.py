"""Full-int8 TFLite files of a student, made by litert-torch in an environment of its own (its pins and its two
gigabytes are not those of the rest).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeface.manifest import InputSpec, ModelSpec, OutputSpec
from quantize.compress.calibration import Images
from quantize.models import STRIDES, Network, checkpoint_of
from quantize.models.bundles import SIZE_MULTIPLE, sha256_of
from quantize.run import bar

#: Environment variable that names the interpreter of an environment with `REQUIREMENTS`.
VARIABLE = "EDGEFACE_LITERT_PYTHON"
#: torch first and alone: pip would bring a CUDA build of it otherwise.
REQUIREMENTS = (("torch==2.13.0", "numpy<2.5"), ("litert-torch==0.10.0",))


class ConverterMissingError(RuntimeError):
    """There is no environment with litert-torch."""


def interpreter(setting: Path | None = None) -> Path:
    """The Python of the converter's environment: ``setting``, else the environment variable, else ``.venv-litert``
    beside the checkout's files.

    Raises:
        ConverterMissingError: none of them is there.
    """
    candidates = [str(c) for c in (setting, os.environ.get(VARIABLE)) if c]
    candidates.append(str(_default_folder() / "bin" / "python"))
    for candidate in candidates:
        if Path(candidate).is_file():
            return Path(candidate)
    raise ConverterMissingError(
        f"TFLite export must have an environment with litert-torch, but got none at {', '.join(candidates)}: "
        f"set {VARIABLE}, or let `python -m quantize make-litert` make one (2.1 GB)"
    )


def make_environment(folder: Path | None = None) -> Path:
    """Makes the converter's environment and returns its interpreter."""
    folder = folder or _default_folder()
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for packages in REQUIREMENTS:
        subprocess.run([str(python), "-m", "pip", "install", *packages], check=True)
    return python


def _default_folder() -> Path:
    return Path(__file__).parents[2] / ".venv-litert"


def export_tflite(
    model: Network,
    images: Mapping[tuple[int, int], Sequence[Images]],
    files: Mapping[tuple[int, int], Path],
    python: Path,
    covered: float = 1.0,
) -> dict[tuple[int, int], dict[str, Any]]:
    """Converts the folded network with folded channel scales to int8, once for each (width, height).

    Args:
        model: see `quantize.models.fuse` and `quantize.compress.channel_scales.fold_scales`.
        images: calibration photos of each size, (n, h, w, 3) uint8 of each kind of photo.
        files: receive the networks.
        python: see `interpreter`.
        covered: a value's range holds the least and the greatest that it is in this share of the photos of a kind
            each, and is the widest of those of all kinds: one photo's outlier costs every value a part of its eight
            bits, while what is rare among all photos need not be in photos of its own kind.

    Returns:
        Per size ``{"input": …, "outputs": […]}`` with name, shape, dtype, scale and zero point, outputs by rising
        stride.

    Raises:
        RuntimeError: the converter failed, with the end of what it said; or the input is not int8 of scale 1/128.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(checkpoint_of(model), folder / "model.pt")
        outputs = {}
        for (width, height), path in files.items():
            stored = [folder / f"{width}x{height}-{i}.npy" for i in range(len(images[width, height]))]
            for file, kind in zip(stored, images[width, height], strict=True):
                np.save(file, kind)
            outputs[f"{width}x{height}"] = {"images": [str(file) for file in stored], "file": str(path.resolve())}
        job = {
            "checkpoint": str(folder / "model.pt"),
            "covered": covered,
            "outputs": outputs,
            "answer": str(folder / "answer.json"),
        }
        (folder / "job.json").write_text(json.dumps(job))
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        for path in files.values():
            path.unlink(missing_ok=True)
        with bar("TFLite", lambda: sum(path.is_file() for path in files.values()), len(files)):
            result = subprocess.run(
                [str(python), "-m", "quantize.export.tflite_convert", str(folder / "job.json")],
                cwd=Path(__file__).parents[2],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        if result.returncode:
            raise RuntimeError(f"the TFLite converter failed with status {result.returncode}:\n{result.stderr[-2000:]}")
        answer = json.loads((folder / "answer.json").read_text())
    done = {}
    for size, path in files.items():
        described = answer[f"{size[0]}x{size[1]}"]
        image = described["input"]
        if image["dtype"] != "int8" or abs(image["scale"] - 1 / 128) > 1e-9 or image["zero_point"] != 0:
            raise RuntimeError(
                f"the input of {path.name} must be int8 of scale 1/128 and zero point 0, but got {image}"
            )
        done[size] = described
    return done


def tflite_spec(path: Path, described: Mapping[str, Any], size: tuple[int, int]) -> ModelSpec:
    """The manifest's entry of a TFLite file, from what `export_tflite` said of it."""
    image = described["input"]
    outputs = tuple(
        OutputSpec(o["name"], s, "NHWC", o["dtype"], o["scale"], o["zero_point"])
        for o, s in zip(described["outputs"], STRIDES, strict=True)
    )
    return ModelSpec(
        path.name,
        sha256_of(path),
        "tflite",
        "int8",
        size,
        SIZE_MULTIPLE,
        InputSpec(image["name"], image["dtype"], "NHWC", "rgb", image["scale"], image["zero_point"]),
        outputs,
    )
