"""The network files of a bundle: float32 ONNX, int8 ONNX of any input size, int8 TFLite of fixed ones."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeface.manifest import ModelSpec
from quantize.compress.calibration import Images
from quantize.compress.channel_scales import Scales
from quantize.export.ncnn import convert_student
from quantize.export.ncnn_int8 import convert_int8
from quantize.export.ncnn_spec import ncnn_spec
from quantize.export.tflite import export_tflite, interpreter, tflite_spec
from quantize.models import Network
from quantize.models.bundles import onnx_spec
from quantize.models.onnx import export_float

Size = tuple[int, int]


@dataclass
class Exported:
    """Files in one folder, with their manifest entries."""

    folder: Path
    channel_scale: Scales
    models: list[ModelSpec] = field(default_factory=list)
    float_models: list[ModelSpec] = field(default_factory=list)
    extra_models: list[ModelSpec] = field(default_factory=list)
    """TFLite files of sizes for evaluation only."""


def export_onnx(model: Network, int8: Path, scales: Scales, name: str, folder: Path) -> Exported:
    """The ONNX files.

    Args:
        model: the float network: folded, its heads scaled by ``scales``.
        int8: what step ``compress`` measured; it is copied, so that nothing else ships.
        scales: factor of each channel by stride.
        name: of the bundle; files are called after it.
        folder: receives the files.
    """
    result = Exported(folder, scales)
    float_path, int8_path = folder / f"{name}-float32.onnx", folder / f"{name}-int8.onnx"
    export_float(model, float_path)
    shutil.copyfile(int8, int8_path)
    result.float_models.append(onnx_spec(float_path, "float32"))
    result.models.append(onnx_spec(int8_path, "int8"))
    return result


def add_tflite(
    exported: Exported,
    rounded: Network,
    name: str,
    images: Mapping[Size, Sequence[Images]],
    extra: Sequence[Size],
    covered: float,
    python: Path | None,
) -> None:
    """Adds a TFLite file of each size of ``images``, those of ``extra`` as extra models.

    Args:
        exported: receives the entries; the files lie in its folder.
        rounded: the network with weights for int8 (`quantize.compress.rounding`).
        name: of the bundle.
        images: calibration photos of each size, (n, h, w, 3) uint8 of each kind.
        extra: sizes for evaluation only.
        covered: see `quantize.export.tflite.export_tflite`.
        python: see `quantize.export.tflite.interpreter`.
    """
    files = {size: exported.folder / f"{name}-int8-{size[0]}x{size[1]}.tflite" for size in images}
    described = export_tflite(copy.deepcopy(rounded), images, files, interpreter(python), covered)
    for size, path in files.items():
        models = exported.extra_models if size in extra else exported.models
        models.append(tflite_spec(path, described[size], size))


def add_ncnn(exported: Exported, name: str) -> None:
    """Adds ncnn's files in int8 and in float32, made from the ONNX files and checked against them.

    Raises:
        ConversionError: pnnx is missing or failed, or a result is not what it came from.
    """
    for precision, models, convert in (
        ("int8", exported.models, convert_int8),
        ("float32", exported.float_models, convert_student),
    ):
        source = exported.folder / next(m.file for m in models if m.format == "onnx")
        pair = convert(source, exported.folder / f"{name}-{precision}")
        exported.models.append(ncnn_spec(*pair, precision))
