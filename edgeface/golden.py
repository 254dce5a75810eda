"""Golden vectors: a drawn picture, the input tensor and the output tensors that belong to it, kept inside the bundle.

``golden.json`` lies beside ``manifest.json`` and says which files of the bundle they are (``docs/bundle.md``).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface import _core
from edgeface.bundle import Bundle, ModelSpec
from edgeface.errors import BundleCorruptError, BundleError, RuntimeUnavailableError
from edgeface.runtimes import NPUS, RUNTIMES, choose_and_open, entry_of, installed, output_shape, tensor_shape

__all__ = [
    "Difference",
    "Golden",
    "Report",
    "Vectors",
    "add_golden",
    "draw_picture",
    "preprocess",
    "read_golden",
    "reference",
    "verify",
]

# (width, height) of vectors of a network that takes any: small, for the sake of the wheel.
_SMALL: Final = (96, 64)
_INDEX: Final = "golden.json"
_PICTURE: Final = "golden-picture.ppm"
_SCHEMA: Final = 1
_MAX_BYTES: Final = 32 << 20
#: How far outputs may be from the reference's, as real numbers before channel scales. Other kernels round the
#: accumulators of int8 networks otherwise, which a few layers add up to; floats differ in the last bits.
TOLERANCES: Final = {"int8": 0.5, "float32": 1e-3}


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The golden vectors of one network.

    Attributes:
        file: the network's name in the bundle.
        size: (width, height) of its input.
        input: as `ef_preprocess` makes it of the picture, in the network's dtype and layout.
        outputs: of the reference, by name, in the network's dtype and layout.
        by: what computed the outputs.
    """

    file: str
    size: tuple[int, int]
    input: NDArray[Any]
    outputs: dict[str, NDArray[Any]]
    by: str


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """All golden vectors of a bundle.

    Attributes:
        picture: (h, w, 3) uint8 RGB.
        networks: by the name of the network's file.
    """

    picture: NDArray[np.uint8]
    networks: dict[str, Vectors]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first tensor that is not what it must be.

    Attributes:
        tensor: "input", or the output's name.
        largest: largest difference as real numbers, before channel scales.
        steps: the same in the tensor's own integers; None for floats.
        differing: values that differ at all.
        values: of the tensor.
    """

    tensor: str
    largest: float
    steps: int | None
    differing: int
    values: int


@dataclass(frozen=True, slots=True)
class Report:
    """What one runtime made of one network's golden input.

    Attributes:
        runtime: its name and version.
        file: the network.
        exact: every tensor is equal to the bit.
        largest: largest difference of all outputs, as real numbers before channel scales.
        allowed: the tolerance.
        difference: the first tensor beyond it; None where all are within.
    """

    runtime: str
    file: str
    exact: bool
    largest: float
    allowed: float
    difference: Difference | None


def draw_picture(width: int = 240, height: int = 180) -> NDArray[np.uint8]:
    """A face of ellipses, drawn here, that the networks take for one.

    Returns:
        (height, width, 3) uint8 RGB.

    Examples:
        >>> draw_picture().shape
        (180, 240, 3)
    """
    y, x = np.mgrid[0:height, 0:width] + 0.5
    unit = height / 180
    cx, cy = width / 2, height / 2
    picture = np.empty((height, width, 3))
    picture[:] = (150, 165, 175)
    picture += ((x / width - 0.5) * 30)[..., None]

    def ellipse(dx: float, dy: float, rx: float, ry: float, soft: float, turn: float = 0.0) -> NDArray[np.float64]:
        along, across = x - cx - dx * unit, y - cy - dy * unit
        u = (along * np.cos(turn) + across * np.sin(turn)) / (rx * unit)
        v = (across * np.cos(turn) - along * np.sin(turn)) / (ry * unit)
        return np.asarray(np.clip((1 - np.hypot(u, v)) * min(rx, ry) / soft + 0.5, 0, 1), np.float64)

    def paint(mask: NDArray[np.float64], color: tuple[int, int, int]) -> None:
        picture[:] = picture * (1 - mask[..., None]) + np.array(color) * mask[..., None]

    hair, dark, nose = (50, 36, 28), (55, 40, 35), (150, 105, 85)
    paint(ellipse(0, 95, 75, 50, 2), (60, 75, 110))  # shoulders, neck, hair
    paint(ellipse(0, 50, 20, 30, 2), (185, 140, 115))
    paint(ellipse(0, -14, 46, 54, 2), hair)
    face = ellipse(0, 0, 37, 49, 2)
    paint(face, (214, 170, 145))
    picture *= (1 - face * np.clip(((x - cx) / (37 * unit)) ** 2, 0, 1) * 0.18)[..., None]
    paint(ellipse(0, -46, 38, 20, 3), hair)
    for side in (-1, 1):
        paint(ellipse(side * 38, 2, 6, 12, 2), (200, 150, 125))  # ear, eye, brow, nostril, cheek
        paint(ellipse(side * 15, -8, 11, 6, 3) * 0.35, (120, 80, 65))
        paint(ellipse(side * 15, -7, 7.5, 3.6, 1), (240, 238, 235))
        paint(ellipse(side * 15, -7, 3.4, 3.6, 1), dark)
        paint(ellipse(side * 15, -18, 10, 2.4, 1.2, side * 0.12), (60, 42, 33))
        paint(ellipse(side * 4.5, 14, 2.6, 1.8, 1.2) * 0.7, (120, 75, 62))
        paint(ellipse(side * 24, 14, 10, 9, 8) * 0.25, (225, 120, 105))
    paint(ellipse(-5, 3, 2.5, 12, 3) * 0.3, nose)
    paint(ellipse(0, 11, 7, 5, 4) * 0.25, nose)
    paint(ellipse(0, 27, 13, 4.5, 1.5), (170, 85, 80))  # mouth, chin
    paint(ellipse(0, 26.5, 12, 1.2, 1), (110, 45, 45))
    paint(ellipse(0, 36, 10, 3, 4) * 0.25, (140, 95, 80))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def preprocess(picture: NDArray[np.uint8], model: ModelSpec, size: tuple[int, int]) -> NDArray[Any]:
    """The input tensor that this machine's kernels make of an RGB picture."""
    tensor = np.empty(tensor_shape(model.input.layout, 3, *size), model.input.dtype)
    height, width, _ = picture.shape
    _core.preprocess(
        [picture],
        "rgb",
        width,
        height,
        tensor,
        layout=model.input.layout,
        color=model.input.color,
        scale=model.input.scale,
        zero_point=model.input.zero_point,
    )
    return tensor


def reference(
    bundle: Bundle, model: ModelSpec, size: tuple[int, int], image: NDArray[Any]
) -> tuple[list[NDArray[Any]], str]:
    """A network's outputs by its reference, in the manifest's order, and what computed them.

    TFLite networks are run by LiteRT's reference kernels, whose integers TensorFlow Lite Micro reproduces; ONNX
    networks by onnxruntime with exact int8; ncnn networks by ncnn.

    Raises:
        RuntimeUnavailableError: the runtime is not installed.
    """
    return _REFERENCES[model.format](bundle, model, size, image)


def add_golden(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    computed: Mapping[str, tuple[list[NDArray[Any]], str]] = MappingProxyType({}),
) -> Path:
    """Write a bundle with golden vectors: of each network that takes any size or the bundle's default, by its
    reference.

    The rest of the bundle stays as it is; old vectors are replaced.

    Args:
        path: of a bundle that is a zip.
        out: of the result; the bundle itself if None.
        computed: outputs in the manifest's order, and what computed them, by the network's file: of compiled networks,
            which no runtime here runs.

    Returns:
        Path of the result.

    Raises:
        BundleError: no such bundle, or it cannot be written there.
        RuntimeUnavailableError: a runtime that has to compute the reference is not installed.
    """
    path = Path(path)
    bundle = Bundle.open(path)
    picture = draw_picture()
    files = {_PICTURE: b"P6 %d %d 255\n" % (picture.shape[1], picture.shape[0]) + picture.tobytes()}
    networks: dict[str, Any] = {}
    for model in bundle.manifest.models:
        size = _SMALL if model.size is None else bundle.manifest.default_size
        if model.serves(size) and (model.file in computed or model.format in _REFERENCES):
            image = preprocess(picture, model, size)
            found = computed[model.file] if model.file in computed else reference(bundle, model, size, image)
            networks[model.file] = _describe(model, size, image, found, files)
    index = {"schema": _SCHEMA, "picture": _entry(_PICTURE, files[_PICTURE]), "networks": networks}
    files = {_INDEX: json.dumps(index, indent=1).encode(), **files}
    target = path if out is None else Path(out)
    _write(path, target, files)
    read_golden(Bundle.open(target))
    return target


def read_golden(bundle: Bundle) -> Golden:
    """The golden vectors of a bundle, checked against their hashes and the networks'.

    Raises:
        BundleError: the bundle carries none.
        BundleCorruptError: they are damaged, or of another network than the bundle's.
    """
    index = _parse(_read(bundle.path, _INDEX))
    networks = {}
    try:
        picture = _picture(_verified(bundle.path, index["picture"]))
        models = {model.file: model for model in bundle.manifest.models}
        for file, one in index["networks"].items():
            model = models[file]
            if one["sha256"] != model.sha256:
                raise BundleCorruptError(
                    f"golden vectors of {file} must be of sha256 {model.sha256}, but got {one['sha256']}: "
                    "the network was replaced"
                )
            width, height = one["size"]
            size = int(width), int(height)
            image = _tensor(bundle.path, one["input"], model.input.dtype, tensor_shape(model.input.layout, 3, *size))
            outputs = {
                spec.name: _tensor(bundle.path, entry, spec.dtype, output_shape(spec, size))
                for spec, entry in zip(model.outputs, one["outputs"], strict=True)
            }
            networks[file] = Vectors(file, size, image, outputs, str(one["by"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleCorruptError(f"{_INDEX} in {bundle.path} must be intact, but got {error!r}") from error
    return Golden(picture, networks)


def verify(bundle: Bundle, runtime: str = "auto", *, tolerance: float | None = None) -> list[Report]:
    """Compare what this machine's kernels and runtimes make of the golden picture with the golden vectors.

    Args:
        bundle: with golden vectors.
        runtime: one of `edgeface.runtimes.RUNTIMES` or `NPUS`; "auto" for every one that is installed.
        tolerance: of outputs, as real numbers before channel scales; that of the precision if None (see `TOLERANCES`).
            The input tensor is compared to the bit.

    Returns:
        One report for each runtime and network.

    Raises:
        BundleError: no golden vectors, or none for this runtime.
        RuntimeUnavailableError: the runtime is not installed.

    Examples:
        >>> for report in verify(Bundle.find("edgeface-s")):                 # doctest: +SKIP
        ...     print(report.runtime, report.file, report.largest, report.difference)
    """
    golden = read_golden(bundle)
    reports = []
    known = (*RUNTIMES, *NPUS)
    for name in known if runtime == "auto" else (runtime,):
        if name not in known or not installed(name):
            if runtime != "auto":
                raise RuntimeUnavailableError(f"runtime must be one that is installed, but got {runtime}")
            continue
        for vectors in golden.networks.values():
            model = next(m for m in bundle.manifest.models if m.file == vectors.file)
            if model.format not in entry_of(name).formats:
                continue
            if bundle.select(entry_of(name).formats, vectors.size, model.precision) != model:
                continue
            with contextlib.suppress(*([] if runtime != "auto" else [RuntimeUnavailableError])):
                reports.append(_compare(bundle, name, model, golden.picture, vectors, tolerance))
    if not reports:
        raise BundleError(f"bundle must have golden vectors for a runtime that is installed, but got {bundle.path}")
    return reports


def _compare(
    bundle: Bundle, name: str, model: ModelSpec, picture: NDArray[np.uint8], vectors: Vectors, tolerance: float | None
) -> Report:
    allowed = TOLERANCES.get(model.precision, TOLERANCES["int8"]) if tolerance is None else tolerance
    made = preprocess(picture, model, vectors.size)
    differences = [_difference("input", made, vectors.input, model.input.scale)]
    _, opened = choose_and_open(bundle, name, vectors.size, model.precision, threads=1, exact=False)
    try:
        got = opened.run(vectors.input)
        for spec, array in zip(model.outputs, got, strict=True):
            differences.append(_difference(spec.name, array, vectors.outputs[spec.name], spec.scale))
        version = opened.version
    finally:
        opened.close()
    beyond = [d for d, limit in zip(differences, [0.0, *[allowed] * len(got)], strict=True) if not d.largest <= limit]
    return Report(
        runtime=f"{name} {version}",
        file=model.file,
        exact=not any(d.differing for d in differences),
        largest=max(d.largest for d in differences[1:]),
        allowed=allowed,
        difference=beyond[0] if beyond else None,
    )


def _difference(name: str, got: NDArray[Any], wanted: NDArray[Any], scale: float) -> Difference:
    off = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    off[np.isnan(off)] = np.inf
    integers = wanted.dtype != np.float32
    largest = float(off.max(initial=0))
    return Difference(
        tensor=name,
        largest=largest * scale if integers else largest,
        steps=int(largest) if integers else None,
        differing=int(np.count_nonzero(off)),
        values=off.size,
    )


def _describe(
    model: ModelSpec,
    size: tuple[int, int],
    image: NDArray[Any],
    found: tuple[list[NDArray[Any]], str],
    files: dict[str, bytes],
) -> dict[str, Any]:
    """The index's entry of a network, whose tensors go into `files`."""
    outputs, by = found
    stem = f"golden-{model.file}"
    names = [f"{stem}-{spec.role or f'stride{spec.stride}'}.bin" for spec in model.outputs]
    files[f"{stem}-input.bin"] = image.tobytes()
    files |= {name: array.tobytes() for name, array in zip(names, outputs, strict=True)}
    return {
        "sha256": model.sha256,
        "size": list(size),
        "by": by,
        "input": _entry(f"{stem}-input.bin", files[f"{stem}-input.bin"]),
        "outputs": [_entry(name, files[name]) for name in names],
    }


def _by_litert(
    bundle: Bundle, model: ModelSpec, size: tuple[int, int], image: NDArray[Any]
) -> tuple[list[NDArray[Any]], str]:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise RuntimeUnavailableError(
            "ai-edge-litert must be installed to make golden vectors of TFLite networks, but is not "
            "(pip install ai-edge-litert)"
        ) from error
    interpreter = Interpreter(
        model_content=bundle.read(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    indices = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    outputs = [interpreter.get_tensor(indices[spec.name]) for spec in model.outputs]
    return outputs, f"LiteRT {importlib.metadata.version('ai-edge-litert')}, reference kernels"


def _by_runtime(
    bundle: Bundle, model: ModelSpec, size: tuple[int, int], image: NDArray[Any]
) -> tuple[list[NDArray[Any]], str]:
    name = next(name for name, entry in RUNTIMES.items() if model.format in entry.formats)
    _, opened = choose_and_open(bundle, name, size, model.precision, threads=1, exact=True)
    try:
        return [array.copy() for array in opened.run(image)], f"{name} {opened.version}, exact"
    finally:
        opened.close()


_REFERENCES: Final = {"tflite": _by_litert, "onnx": _by_runtime, "ncnn": _by_runtime}


def _entry(name: str, data: bytes) -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest()}


def _tensor(path: Path, entry: Mapping[str, Any], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.frombuffer(_verified(path, entry), dtype).reshape(shape)


def _verified(path: Path, entry: Mapping[str, Any]) -> bytes:
    name, wanted = str(entry["file"]), entry["sha256"]
    data = _read(path, name)
    digest = hashlib.sha256(data).hexdigest()
    if digest != wanted:
        raise BundleCorruptError(f"sha256 of {name} in {path} must be {wanted}, but got {digest}")
    return data


def _picture(data: bytes) -> NDArray[np.uint8]:
    header = re.match(rb"P6 (\d{1,5}) (\d{1,5}) 255\n", data)
    if header is None:
        raise BundleCorruptError("golden picture must be a PPM file of 8 bits, but got something else")
    return np.frombuffer(data[header.end() :], np.uint8).reshape(int(header[2]), int(header[1]), 3)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        index = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleCorruptError(f"{_INDEX} must be JSON, but got {error}") from None
    if not isinstance(index, dict) or index.get("schema") != _SCHEMA:
        raise BundleError(f"{_INDEX} must be of schema {_SCHEMA}, but got another: update edgeface")
    return index


def _read(path: Path, name: str) -> bytes:
    """A file of a bundle that the manifest does not name."""
    missing = BundleError(
        f"bundle must carry golden vectors, but got {path} without {name} (`edgeface verify --write`)"
    )
    if path.is_dir():
        inside = path / Path(name).name
        if not inside.is_file():
            raise missing
        return inside.read_bytes()[: _MAX_BYTES + 1]
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                raise missing
            info = archive.getinfo(name)
            if info.file_size > _MAX_BYTES:
                raise BundleError(f"{name} in {path} must be at most {_MAX_BYTES} bytes long, but got {info.file_size}")
            return archive.read(info)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError) as error:
        raise BundleCorruptError(f"bundle must be an intact zip, but got {path}: {error}") from error


def _write(source: Path, target: Path, files: Mapping[str, bytes]) -> None:
    """The zip with other golden files; the same contents give the same bytes."""
    if source.is_dir():
        raise BundleError(f"bundle must be a zip to write golden vectors into it, but got the folder {source}")
    part = target.with_name(f"{target.name}.part")
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
            kept = {i.filename: old.read(i) for i in old.infolist() if not i.filename.startswith(("golden-", _INDEX))}
            for name, data in {**kept, **files}.items():
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                new.writestr(info, data)
        part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise BundleError(f"bundle must be written where files can be, but got {target}: {error.strerror}") from error
