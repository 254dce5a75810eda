"""ncnn files (``.param`` and ``.bin``) of a float network, by pnnx's program."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quantize.export import ncnn_files
from quantize.export.ncnn_files import Layer

#: (width, height) that pnnx folds shapes for, with whole cells on every level, and those that the result is tried with.
FOLDED = (320, 320)
TRIED = ((320, 240), (320, 320), (336, 208))
#: Mean absolute difference of a raw output that 16-bit weights may make.
TOLERANCE = 0.01


class ConversionError(RuntimeError):
    """pnnx is missing, or what it made is not the network that it was given."""


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
        size: (width, height) that pnnx folds shapes for: crops between levels then fit this size alone.
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


def convert_student(onnx: Path, out: Path, *, half: bool = True) -> NcnnFiles:
    """Convert a student's float network for any input size, and compare it with what it came from.

    Args, Returns:
        As `convert`.

    Raises:
        ConversionError: pnnx is missing or failed, or the result differs by more than 16-bit weights explain.
    """
    files = convert(onnx, FOLDED, out, half=half)
    layers = ncnn_files.read(files.param.read_text())
    fit_levels(layers)
    files.param.write_text(ncnn_files.write(layers)[0])
    compare(onnx, files)
    return files


def fit_levels(layers: list[Layer]) -> None:
    """Let a level that is added to a finer one be enlarged to just that one's size.

    pnnx has folded the crop that this replaces: twice half a cell too many is one row too many, at 320x240 and not at
    320x320. Nearest neighbours are the same either way.
    """
    for enlarge in [layer for layer in layers if layer.kind == "Interp"]:
        (add,) = (layer for layer in layers if enlarge.tops[0] in layer.bottoms)
        if add.kind != "BinaryOp" or enlarge.keys.get(0) != "1":
            raise ConversionError(f"{enlarge.name} must repeat cells for a sum, but got it before {add.kind}")
        finer = add.bottoms[1 - add.bottoms.index(enlarge.tops[0])]
        copies = [f"{finer}_size", f"{finer}_sum"]
        add.bottoms = [copies[1] if blob == finer else blob for blob in add.bottoms]
        enlarge.bottoms.append(copies[0])
        enlarge.keys = {0: "1", 5: "1"}
        layers.remove(enlarge)
        at = next(i for i, layer in enumerate(layers) if layer is add)
        layers[at:at] = [Layer("Split", f"split_{finer}", [finer], copies, {}), enlarge]


def compare(onnx: Path, files: NcnnFiles, sizes: Sequence[tuple[int, int]] = TRIED) -> None:
    """Run both networks on noise of some sizes.

    Raises:
        ConversionError: an output has another shape, or differs by more than `TOLERANCE` on average.
    """
    import ncnn
    import onnxruntime as ort

    session = ort.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    net = ncnn.Net()
    net.opt.num_threads = 1
    if net.load_param(str(files.param)) or net.load_model(str(files.bin)):
        raise ConversionError(f"ncnn must load {files.param}, but did not")
    for width, height in sizes:
        image = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
        wanted = session.run(None, {session.get_inputs()[0].name: image})
        extractor = net.create_extractor()
        view = image[0]  # ncnn does not keep it alive
        extractor.input("in0", ncnn.Mat(view))
        for k, real in enumerate(wanted):
            got = np.array(extractor.extract(f"out{k}")[1])
            if got.shape != real.shape[1:] or not np.abs(got - real[0]).mean() < TOLERANCE:
                raise ConversionError(f"{files.param.name} must compute what {onnx.name} does at {width}x{height}")
