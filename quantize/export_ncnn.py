"""ncnn files (``.param`` and ``.bin``) of a float network, by pnnx's binary."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple


class ConversionError(RuntimeError):
    """pnnx is missing, or it did not take the network."""


class NcnnFiles(NamedTuple):
    """A network as ncnn loads it: its layers as text, and their weights."""

    param: Path
    bin: Path


def pnnx_program() -> Path:
    """The converter inside the package ``pnnx``. The package's own command imports torch, which its program does not
    need.

    Raises:
        ConversionError: the package is not installed.
    """
    found = importlib.util.find_spec("pnnx")
    for folder in found.submodule_search_locations or () if found else ():
        if (Path(folder) / "pnnx").is_file():
            return Path(folder) / "pnnx"
    raise ConversionError("pnnx must be installed, but got none (pip install --no-deps pnnx)")


def convert(onnx: Path, size: tuple[int, int], out: Path, *, half: bool = True) -> NcnnFiles:
    """Convert a float network with one picture as its input.

    Args:
        onnx: NCHW, three channels; free sides are filled from `size`.
        size: (width, height) that pnnx folds shapes for. The result takes any size that the network does.
        out: path of the result without its suffixes.
        half: store weights in 16 bits. ncnn computes as its options say either way.

    Returns:
        ``OUT.param`` and ``OUT.bin``, with the blobs in0, out0, out1 …

    Raises:
        ConversionError: pnnx is missing or failed.
    """
    width, height = size
    with tempfile.TemporaryDirectory() as folder:  # pnnx writes seven more files beside its input
        source = Path(folder) / "net.onnx"
        shutil.copy(onnx, source)
        command = [str(pnnx_program()), source.name, f"inputshape=[1,3,{height},{width}]f32", f"fp16={int(half)}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
        made = NcnnFiles(Path(folder) / "net.ncnn.param", Path(folder) / "net.ncnn.bin")
        if done.returncode or not all(file.is_file() for file in made):
            raise ConversionError(f"pnnx must convert {onnx}, but got:\n{(done.stdout + done.stderr)[-3000:]}")
        files = NcnnFiles(out.with_name(f"{out.name}.param"), out.with_name(f"{out.name}.bin"))
        for source, target in zip(made, files, strict=True):
            shutil.copy(source, target)
    return files
