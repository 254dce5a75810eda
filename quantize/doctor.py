"""What the steps need, and what of it is not here: packages, teachers, environments, files, disk, memory, processor.

``python -m quantize doctor`` prints all of it in seconds; each step asks for its own part before it begins.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantize.config import Recipe, TrainOptions

STEPS = ("data", "label", "search", "pretrain", "train", "compress", "export", "evaluate", "package")
INSTALL = "pip install '.[quantize]'"
PACKAGES = {
    "data": {"cv2": "opencv-python-headless", "scipy": "scipy"},
    "label": {"cv2": "opencv-python-headless", "onnxruntime": "onnxruntime"},
    "search": {"torch": "torch"},
    "pretrain": {"torch": "torch"},
    "train": {"torch": "torch", "matplotlib": "matplotlib"},
    "compress": {"torch": "torch", "onnx": "onnx", "onnxruntime": "onnxruntime", "onnxscript": "onnxscript"},
    "export": {"torch": "torch", "onnx": "onnx", "onnxruntime": "onnxruntime", "onnxscript": "onnxscript"},
    "evaluate": {"torch": "torch", "onnxruntime": "onnxruntime"},
    "package": {"jinja2": "jinja2"},
}
"""Module and package that a step cannot do without, whatever its recipe says."""
TEACHERS = (
    "yunet_n_dynamic.onnx",
    "centerface.onnx",
    "retinaface_mnet025.onnx",
    "fsanet_capsule_3_16_2_21_5.pb",
    "fsanet_var_capsule_3_16_2_21_5.pb",
    "fsanet_noS_capsule_3_16_2_192_5.pb",
    "tddfa_mb05_120x120.onnx",
    "tddfa_param_mean_std.npz",
)
QUALITY_TEACHER = "mobilefacenet_112.onnx"
MESH_TEACHER = "face_landmark.tflite"
RUNTIMES = {"onnxruntime": "onnxruntime", "litert": "ai_edge_litert", "ncnn": "ncnn"}
LITERT = "EDGEFACE_LITERT_PYTHON"
LEAST_DISK, LEAST_MEMORY = 2 << 30, 2 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the report: ``what`` a ``step`` looks for, what is ``here`` (empty: missing), and what to do."""

    step: str
    what: str
    here: str
    remedy: str
    needed: bool = True
    """Whether the step cannot do without."""

    def __str__(self) -> str:
        return f"{self.what}, which is missing: {self.remedy}"


def check_places(engine: str, device: str) -> None:
    """Refuses a name that no step would know, hours before the step that uses it.

    Raises:
        ValueError: not one of the names that ``--engine`` or ``--device`` takes.
    """
    if not re.fullmatch(r"local|dask(=.+)?", engine):
        raise ValueError(f"engine must be local, dask or dask=ADDRESS, but got {engine}")
    if not re.fullmatch(r"auto|cpu|(cuda|mps|xpu|hpu|xla)(:\d+)?", device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1 or another accelerator of PyTorch, but got {device}")


def missing(recipe: Recipe, step: str, engine: str = "local", device: str = "auto") -> list[Finding]:
    """What ``step`` of a recipe needs and lacks."""
    if step not in STEPS:
        return []
    return [f for f in _step(step, recipe, engine, device) if f.needed and not f.here]


def examine(recipe: Recipe | None = None, engine: str = "local", device: str = "auto") -> list[Finding]:
    """Everything that the steps need, of one recipe or of any, in their order; the machine itself comes last."""
    check_places(engine, device)
    return [f for step in STEPS for f in _step(step, recipe, engine, device)] + list(_machine())


def _step(step: str, recipe: Recipe | None, engine: str, device: str) -> Iterator[Finding]:
    for module, package in PACKAGES[step].items():
        yield Finding(step, f"the package {package}", _module(module), INSTALL)
    if step in ("evaluate", "train", "pretrain", "search", "label"):
        yield Finding(step, "the compiled core of edgeface", _core(), INSTALL, step == "evaluate")
    if step in ("label", "evaluate") and (engine.startswith("dask") or recipe is None):
        dask = engine.startswith("dask")
        yield Finding(
            step, "the package dask (for --engine dask)", _module("distributed"), "pip install '.[scale]'", dask
        )
    yield from {
        "data": _data,
        "label": _label,
        "search": _nothing,
        "pretrain": _nothing,
        "train": _train,
        "compress": _compress,
        "export": _export,
        "evaluate": _evaluate,
        "package": _nothing,
    }[step](recipe)
    if device.startswith("cuda") and step in ("train", "pretrain", "search"):
        yield Finding(
            step, f"the accelerator {device}", _accelerator(), "leave --device out, or use a machine with one"
        )
    if recipe is not None:
        yield from _disk(step, recipe)


def _nothing(recipe: Recipe | None) -> Iterator[Finding]:
    yield from ()


def _data(recipe: Recipe | None) -> Iterator[Finding]:
    for s in recipe.data.sets if recipe else ():
        yield _path("data", f"set {s.name}", s.path, "correct its path in data.sets, or take it out", not s.optional)


def _label(recipe: Recipe | None) -> Iterator[Finding]:
    if recipe is not None and recipe.label.teachers is None:
        return
    needed = recipe is not None
    yield Finding("label", "the package openvino (teachers of rotation)", _module("openvino"), INSTALL, needed)
    if recipe is None:
        text = "label.teachers names their folder; without one only your labels count"
        yield Finding("label", "teachers' weights", "", f"with a recipe: doctor -c RECIPE ({text})", False)
        return
    folder = recipe.label.teachers
    assert folder is not None
    files = [*TEACHERS, *([QUALITY_TEACHER] if recipe.label.quality_sets else [])]
    if recipe.task == "points":
        files.append(MESH_TEACHER)
        yield Finding("label", "the package ai-edge-litert (teacher of depth)", _module("ai_edge_litert"), INSTALL)
    for file in files:
        yield _path(
            "label",
            f"teacher {file}",
            folder / file,
            "get its weights (docs/toolchain.md), or leave label.teachers out",
        )


def _train(recipe: Recipe | None) -> Iterator[Finding]:
    if recipe is None:
        return
    methods = recipe.train.methods
    for name, path in (
        ("model.init", recipe.model.init),
        ("train.methods.tough_teacher", methods.tough_teacher),
        ("train.methods.tolerant_teacher", methods.tolerant_teacher),
    ):
        if path is not None:
            yield _path("train", f"the checkpoint {name}", path, f"correct {name}")
    # a recipe of points has no such table
    if isinstance(recipe.train, TrainOptions) and recipe.train.mimic.detector is not None:
        remedy = "get its weights (docs/toolchain.md), or leave train.mimic out"
        yield _path("train", "the detector train.mimic.detector", recipe.train.mimic.detector, remedy)


def _compress(recipe: Recipe | None) -> Iterator[Finding]:
    method = recipe.compress.method if recipe else ""
    needed = method in ("nncf", "qat")
    if needed or recipe is None:
        yield Finding("compress", "the package nncf (methods nncf and qat)", _module("nncf"), INSTALL, needed)
    if method == "qat" or recipe is None:
        here = next((c for c in ("c++", "g++", "clang++") if shutil.which(c)), "")
        yield Finding("compress", "a C++ compiler (method qat)", here, "apt-get install g++", method == "qat")


def _export(recipe: Recipe | None) -> Iterator[Finding]:
    if recipe is None or recipe.export.ncnn:
        needed = recipe is not None
        yield Finding("export", "the package pnnx (ncnn files)", _module("pnnx"), "pip install pnnx", needed)
        yield Finding("export", "the package ncnn (its files are tried)", _module("ncnn"), "pip install ncnn", needed)
    if recipe is not None and not recipe.export.tflite:
        return
    asked = (
        recipe.export.litert_python if recipe else None,
        os.environ.get(LITERT),
        _checkout() / ".venv-litert/bin/python",
    )
    here = next((str(p) for p in asked if p and Path(p).is_file()), "")
    remedy = "python -m quantize make-litert (2.1 GB), or export.tflite=false"
    yield Finding("export", "an environment with litert-torch (TFLite files)", here, remedy, recipe is not None)


def _evaluate(recipe: Recipe | None) -> Iterator[Finding]:
    runtimes = recipe.evaluate.runtimes if recipe else list(RUNTIMES)
    for name in runtimes:
        module = RUNTIMES[name]
        if name != "onnxruntime":
            remedy = {"litert": "pip install '.[tflite]'", "ncnn": "pip install ncnn"}[name]
            yield Finding("evaluate", f"the runtime {name}", _module(module), remedy, recipe is not None)
    if recipe is None:
        return
    if recipe.evaluate.sets is not None:
        there = "there" if recipe.evaluate.sets.exists() else ""
        remedy = "correct it: the dev split is measured alone"
        yield Finding("evaluate", f"the folder evaluate.sets at {recipe.evaluate.sets}", there, remedy, False)
    for peer in recipe.evaluate.peers:
        _, colon, file = peer.partition(":")
        if colon:
            yield _path("evaluate", f"peer {peer}", Path(file), "correct its path in evaluate.peers, or take it out")


def _disk(step: str, recipe: Recipe) -> Iterator[Finding]:
    folder = recipe.run
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free, wanted = shutil.disk_usage(folder).free, LEAST_DISK
    if step == "label":
        wanted += _pack_bytes(recipe.run / "data" / "samples.jsonl")
    here = _gigabytes(free) if free >= wanted else ""
    yield Finding(
        step,
        f"{_gigabytes(wanted)} of free disk for {recipe.run}",
        here,
        f"{_gigabytes(free)} are free: free some, or set run to another disk",
    )


def _pack_bytes(samples: Path) -> int:
    """What the photos of step ``data`` take up when they are packed."""
    if not samples.is_file():
        return 0
    rows = map(json.loads, samples.read_text().splitlines())
    return sum(int(row["width"]) * int(row["height"]) * 3 for row in rows)


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    here = _gigabytes(memory) if memory >= LEAST_MEMORY else ""
    yield Finding(
        "machine",
        f"{_gigabytes(LEAST_MEMORY)} of memory",
        here,
        f"{_gigabytes(memory)} are here: smaller train.phases batch",
        False,
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("machine", "processor cores", str(cores), "", False)
    bfloat16 = "yes" if _has_bfloat16() else ""
    yield Finding(
        "machine", "cores with bfloat16 (avx512_bf16)", bfloat16, "training takes float32, which is slower", False
    )
    yield Finding("machine", "an accelerator", _accelerator(), "training takes the processor", False)


def _has_bfloat16() -> bool:
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _accelerator() -> str:
    if importlib.util.find_spec("torch") is None:
        return ""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


def _module(name: str) -> str:
    """ "installed" where a module can be imported; it is not imported, which may take seconds."""
    return "installed" if importlib.util.find_spec(name) is not None else ""


def _core() -> str:
    return "built" if importlib.util.find_spec("edgeface._core") is not None else ""


def _path(step: str, what: str, path: Path, remedy: str, needed: bool = True) -> Finding:
    return Finding(step, f"{what} at {path}", "there" if path.exists() else "", remedy, needed)


def _checkout() -> Path:
    return Path(__file__).parents[1]


def _gigabytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
