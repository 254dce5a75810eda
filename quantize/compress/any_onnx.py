"""Verb ``compress-onnx``: any float ONNX network with one image input becomes int8 (QDQ, weights per channel).

A report says what eight bits do to each layer, and accuracy control holds a metric of the user's own.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, version_converter
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.qdq_loss_debug import compute_weight_error, create_weight_matching
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.progress import track

from quantize.compress.control import BudgetError, control
from quantize.run import console

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators whose weights become int8."""
OPSET = 13
"""The first with a scale for each channel."""
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
REPORT_PHOTOS = 8

Metric = Callable[[Path], float]
"""Of a network file; larger is better."""


@dataclass(frozen=True)
class ImageInput:
    """The one input of a network, and how a photo becomes it: (pixel − mean) / std in RGB, or BGR."""

    name: str
    layout: str
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool

    def tensor(self, path: Path) -> NDArray[np.float32] | None:
        """(1, 3, h, w) or (1, h, w, 3) of a photo that is letterboxed with black, None for an unreadable one."""
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            return None
        width, height = self.size
        scale = min(width / image.shape[1], height / image.shape[0])
        fitted = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA)
        pixels = canvas if self.bgr else canvas[:, :, ::-1]
        x = (pixels.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(x[None] if self.layout == "NHWC" else x.transpose(2, 0, 1)[None])


def compress_onnx(
    network: Path,
    photos: Path,
    out: Path,
    *,
    metric: str | None = None,
    count: int = 96,
    most_loss: float = 0.01,
    most_float_layers: int = 8,
    size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] = (0, 0, 0),
    std: tuple[float, float, float] = (255, 255, 255),
    bgr: bool = False,
) -> dict[str, Any]:
    """Quantises a network after its training.

    Args:
        network: float32 ONNX file with one input (1, 3, h, w) or (1, h, w, 3).
        photos: folder of calibration photos, such as those of the training; subfolders count too.
        out: receives ``int8.onnx``, ``layers.json``, ``layers.md`` and ``control.json``.
        metric: ``module:callable``, called with the path of a network file; a larger result is better. The module
            may lie in the working folder. Without one nothing goes back to float.
        count: of photos at most, spread evenly.
        most_loss: what int8 may lose of the metric.
        most_float_layers: layers that may stay in float.
        size: (width, height) where the network leaves it open.
        mean, std, bgr: the input is (pixel − mean) / std, of RGB unless ``bgr``.

    Returns:
        ``network``, ``photos``, ``layers``, ``output_db`` (signal to noise at the outputs), ``float_layers``, ``bytes``
        of both files, and ``metric`` of both where there is one.

    Raises:
        ValueError: network, photos, size or metric cannot be used; says why.
        BudgetError: the metric still loses more than ``most_loss``.
    """
    asked = metric_of(metric) if metric is not None else None
    image = image_input(network, size, mean, std, bgr)
    tensors = _tensors(image, photos, count)
    out.mkdir(parents=True, exist_ok=True)
    int8 = out / "int8.onnx"
    with tempfile.TemporaryDirectory() as name:
        job = _Job(_prepared(network, Path(name)), image, tensors, Path(name) / "ranges.json")
        reference = asked(network) if asked is not None else 0.0
        rows: list[dict[str, Any]] = []

        def worst_first() -> list[str]:
            rows.extend(job.report(int8))
            return [row["layer"] for row in rows]

        kept, tries = control(
            lambda kept: job.quantize(int8, exclude=kept),
            lambda: {} if asked is None else {"metric": reference - asked(int8)},
            lambda loss: [
                f"{key} must lose at most {most_loss:g}, but got {lost:.4g}"
                for key, lost in loss.items()
                if not lost <= most_loss
            ],
            worst_first,
            most_float_layers,
        )
        rows = rows or job.report(int8)
        output_db = job.output_db(int8)
    _write(out, rows, tries, kept)
    if tries[-1]["broken"]:
        raise BudgetError(
            f"int8 broke its budget ({'; '.join(tries[-1]['broken'])}) with {len(kept)} layers in float: "
            f"see {out / 'layers.md'}, raise --most-float-layers or --most-loss, or tune the network"
        )
    result: dict[str, Any] = {
        "network": str(int8),
        "photos": len(tensors),
        "layers": len(rows),
        "output_db": output_db,
        "float_layers": kept,
        "bytes": [network.stat().st_size, int8.stat().st_size],
    }
    if asked is not None:
        result["metric"] = {"float": reference, "int8": reference - tries[-1]["loss"]["metric"]}
    return result


def metric_of(text: str) -> Metric:
    """The callable that ``module:callable`` names. Raises ValueError where there is none.

    Examples:
        >>> metric_of("os.path:getsize")(Path("pyproject.toml")) > 0
        True
    """
    module, colon, name = text.partition(":")
    if not colon or not name:
        raise ValueError(f"metric must be MODULE:CALLABLE, but got {text!r}")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"metric must name a module that Python finds, but got {text!r}: {error}") from None
    finally:
        sys.path.remove(here)
    if not callable(found):
        raise ValueError(f"metric must name a callable, but {module} has no such {name}")
    metric: Metric = found
    return metric


def image_input(
    network: Path,
    size: tuple[int, int] | None = None,
    mean: tuple[float, float, float] = (0, 0, 0),
    std: tuple[float, float, float] = (255, 255, 255),
    bgr: bool = False,
) -> ImageInput:
    """The input of a network file. Raises ValueError where it is not one image of float32, or of no known size."""
    if not network.is_file():
        raise ValueError(f"network must be an ONNX file, but got {network}")
    try:
        graph = onnx.load(network, load_external_data=False).graph
    except Exception as error:  # of protobuf, which says only that it cannot parse
        raise ValueError(f"network must be an ONNX file, but got {network}: {type(error).__name__}") from None
    constants = {i.name for i in graph.initializer}
    inputs = [i for i in graph.input if i.name not in constants]
    types = [i.type.tensor_type for i in inputs]
    if len(inputs) != 1 or types[0].elem_type != TensorProto.FLOAT or len(types[0].shape.dim) != 4:
        said = ", ".join(f"{i.name} with {len(t.shape.dim)} dimensions" for i, t in zip(inputs, types, strict=True))
        raise ValueError(f"network must have one float32 input of four dimensions, but got {said or 'none'}")
    dims = [d.dim_value for d in types[0].shape.dim]
    if dims[1] == 3 or (dims[3] != 3 and not dims[1]):
        layout, height, width = "NCHW", dims[2], dims[3]
    elif dims[3] == 3:
        layout, height, width = "NHWC", dims[1], dims[2]
    else:
        raise ValueError(f"the input must have three channels, but got {dims}")
    if size is None and not (width and height):
        raise ValueError(f"the input leaves its size open, {dims}: say --size WxH")
    if size is not None and any(fixed and fixed != wanted for fixed, wanted in ((width, size[0]), (height, size[1]))):
        raise ValueError(f"--size must be that of the network, {width}x{height}, but got {size[0]}x{size[1]}")
    return ImageInput(inputs[0].name, layout, size or (width, height), mean, std, bgr)


def _tensors(image: ImageInput, photos: Path, count: int) -> list[NDArray[np.float32]]:
    paths = sorted(p for p in photos.rglob("*") if p.suffix.lower() in PHOTOS)
    chosen = [paths[i * len(paths) // min(count, len(paths))] for i in range(min(count, len(paths)))]
    read = [image.tensor(p) for p in track(chosen, "read photos", console=console)]
    tensors = [x for x in read if x is not None]
    if len(tensors) < len(read):
        console.print(f"  {len(read) - len(tensors)} photos could not be read", highlight=False)
    if not tensors:
        raise ValueError(f"--photos must be a folder with readable photos ({', '.join(PHOTOS)}), but got {photos}")
    return tensors


def _prepared(network: Path, folder: Path) -> Path:
    """The network as quantisation wants it: constants folded, shapes known, opset 13 or later."""
    model = onnx.load(network)
    if next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), OPSET) < OPSET:
        model = version_converter.convert_version(model, OPSET)
    for i, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    named, prepared = folder / "named.onnx", folder / "prepared.onnx"
    onnx.save(model, named)
    quant_pre_process(str(named), str(prepared), skip_symbolic_shape=True)
    return prepared


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, tensors: Sequence[NDArray[np.float32]]) -> None:
        self.name, self.left = name, iter(track(tensors, "calibrate", console=console))

    def get_next(self) -> dict[str, Any] | None:
        tensor = next(self.left, None)
        return None if tensor is None else {self.name: tensor}


class _Job:
    """One network at work; its ranges are measured once."""

    def __init__(self, prepared: Path, image: ImageInput, tensors: Sequence[NDArray[np.float32]], ranges: Path) -> None:
        self.prepared, self.image, self.tensors, self.ranges = prepared, image, tensors, ranges
        self.few = tensors[:: max(1, len(tensors) // REPORT_PHOTOS)][:REPORT_PHOTOS]
        self.real = self._outputs(prepared)

    def quantize(self, path: Path, exclude: Sequence[str] = (), only: Sequence[str] = ()) -> None:
        """Writes the int8 network."""
        quantize_static(
            str(self.prepared),
            str(path),
            None if self.ranges.is_file() else _Reader(self.image.name, self.tensors),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=list(exclude),
            nodes_to_quantize=list(only),
            calibration_cache_path=self.ranges,
        )

    def report(self, int8: Path) -> list[dict[str, Any]]:
        """One row a layer, worst first: ``layer``, ``operator``, ``parameters``, ``alone_db`` (at the outputs, with
        this layer alone in int8) and ``weight_db`` (of its weights; None where they stay in float).
        """
        graph = onnx.load(self.prepared).graph
        weights = {i.name: math.prod(i.dims) for i in graph.initializer}
        pairs = create_weight_matching(str(self.prepared), str(int8))
        errors = compute_weight_error(pairs) if pairs else {}
        layers = [n for n in graph.node if n.op_type in LAYERS and n.input[1] in weights]
        rows = []
        for node in track(layers, "report by layer", console=console):
            single = self.prepared.with_name("single.onnx")
            self.quantize(single, only=[node.name])
            weight = errors.get(node.input[1])
            rows.append(
                {
                    "layer": node.name,
                    "operator": node.op_type,
                    "parameters": weights[node.input[1]],
                    "alone_db": self.output_db(single),
                    "weight_db": None if weight is None or not math.isfinite(weight) else round(float(weight), 2),
                }
            )
        return sorted(rows, key=lambda row: row["alone_db"])

    def output_db(self, path: Path) -> float:
        """Signal to noise of the float outputs, dB."""
        signal = noise = 0.0
        for real, other in zip(self.real, self._outputs(path), strict=True):
            for a, b in zip(real, other, strict=True):
                if a.dtype.kind == "f" and a.shape == b.shape:  # counts of boxes differ, classes have no distance
                    signal += float(np.square(a, dtype=np.float64).sum())
                    noise += float(np.square(a.astype(np.float64) - b).sum())
        if not signal:
            raise ValueError("network must have a float output that is not zero and of one shape, but has none")
        return round(10 * math.log10(signal / max(noise, 1e-12 * signal)), 2)

    def _outputs(self, path: Path) -> list[list[NDArray[Any]]]:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # as on ARM: without VNNI, x86 adds pairs of products in 16 bits that saturate
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return [[np.asarray(v) for v in session.run(None, {self.image.name: x})] for x in self.few]


def _write(out: Path, rows: Sequence[dict[str, Any]], tries: Sequence[dict[str, Any]], kept: Sequence[str]) -> None:
    (out / "layers.json").write_text(json.dumps(list(rows), indent=1))
    (out / "control.json").write_text(json.dumps(list(tries), indent=1))
    lines = ["| layer | operator | parameters | outputs with it alone in int8, dB | its weights, dB | kept in float |"]
    lines.append("|---" * 6 + "|")
    for row in rows:
        weight = "–" if row["weight_db"] is None else f"{row['weight_db']:.1f}"
        float_layer = "yes" if row["layer"] in kept else ""
        lines.append(
            f"| {row['layer']} | {row['operator']} | {row['parameters']:,} | {row['alone_db']:.1f} | {weight} "
            f"| {float_layer} |"
        )
    (out / "layers.md").write_text("\n".join(lines) + "\n")
