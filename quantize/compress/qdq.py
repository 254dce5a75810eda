"""Int8 ONNX files in QDQ form: per-channel weights, ranges of activations from calibration photos.

The networks of a student take the picture's own bytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantize.compress.calibration import Images, as_real
from quantize.models.onnx import INPUT, INPUT_SCALE, INPUT_ZERO, OUTPUTS, tidy
from quantize.run import bar

#: Of the values of an activation, what its range covers.
PERCENTILE = 99.9999
#: Of photos that go into histograms together every value of every activation is in memory: 12 MB a photo of 320x320.
MOST_PHOTOS = 48


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """One photo after the other, as ONNX Runtime's calibration wants them: ``stride`` of them at a time, which it needs
    to have one size.
    """

    def __init__(self, images: Sequence[Images]) -> None:
        self.photos = [photo for batch in images for photo in batch[:MOST_PHOTOS]]
        self.stride = math.gcd(*(len(batch[:MOST_PHOTOS]) for batch in images))
        self.done = 0
        self.set_range(0, len(self.photos))

    def __len__(self) -> int:
        return len(self.photos)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.iterator = iter(self.photos[start_index:end_index])

    def get_next(self) -> dict[str, Any] | None:
        photo = next(self.iterator, None)
        self.done += photo is not None
        return None if photo is None else {INPUT: as_real(photo[None])}


def quantize_onnx(
    float_path: Path,
    path: Path,
    images: Sequence[Images],
    *,
    keep_float: Sequence[str] = (),
    float_outputs: bool = True,
    percentile: float | None = PERCENTILE,
    cache: Path | None = None,
    outputs: Sequence[str] = OUTPUTS,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Post-training quantisation by ONNX Runtime: weights int8 per channel, activations uint8 per tensor, QDQ.

    Args:
        float_path: what `export_float` wrote.
        path: receives the int8 network; its input is uint8 pixels, its outputs float32.
        images: calibration photos, arrays (n, h, w, 3) of any sizes.
        keep_float: names of nodes that stay in float.
        float_outputs: the last convolutions' results are not rounded to eight bits (their weights and inputs are).
        percentile: of the values seen, that ranges cover; None for all of them. A few outliers cost every other value
            precision; but one in a hundred thousand is what says that a face fills the frame.
        cache: a file that keeps the ranges; a second call with other ``keep_float`` reads them there.
        outputs: names of the network's outputs, each made by a convolution.
        ranges: least and greatest value of activations by name, which then are not those of ``images``.
    """
    scale, zero = np.array(INPUT_SCALE, np.float32), np.array(INPUT_ZERO, np.uint8)
    overrides = {INPUT: [{"quant_type": QuantType.QUInt8, "scale": scale, "zero_point": zero}]}
    if not float_outputs:
        # folded channel scales bring what matters of every output into −1…1
        overrides |= {
            o: [{"quant_type": QuantType.QUInt8, "rmin": np.array(-1, np.float32), "rmax": np.array(1, np.float32)}]
            for o in outputs
        }
    overrides |= {
        name: [{"quant_type": QuantType.QUInt8, "rmin": np.float32(min(low, 0)), "rmax": np.float32(max(high, 0))}]
        for name, (low, high) in (ranges or {}).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        reader = _Reader(images)
        options: dict[str, Any] = {"TensorQuantOverrides": overrides, "CalibPercentile": percentile}
        options["CalibStridedMinMax"] = reader.stride  # of other ranges as well, in spite of its name
        known = cache is not None and cache.is_file()
        watched = contextlib.nullcontext() if known else bar("calibrate", lambda: reader.done, len(reader))
        with watched, contextlib.redirect_stdout(io.StringIO()):  # it reports on its histograms there
            quantize_static(
                str(prepared),
                str(path),
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax if percentile is None else CalibrationMethod.Percentile,
                nodes_to_exclude=list(keep_float),
                extra_options=options,
                calibration_cache_path=cache,
            )
    network = onnx.load(path)
    if float_outputs:
        _drop_output_rounding(network, outputs)
    _take_bytes(network)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(tidy(network), path)


def _take_bytes(network: Any) -> None:
    """Makes the quantised pixels themselves the input: the first QuantizeLinear goes. Where the first convolution stays
    in float there is none, and a DequantizeLinear comes before it instead.
    """
    graph = network.graph
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    first = next((n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == INPUT), None)
    replaced = INPUT if first is None else first.output[0]
    by = f"{INPUT}_dequantized" if first is None else INPUT
    for node in graph.node:
        node.input[:] = [by if name == replaced else name for name in node.input]
    if first is not None:
        graph.node.remove(first)
        return
    constants = [("scale", np.float32(INPUT_SCALE)), ("zero_point", np.uint8(INPUT_ZERO))]
    names = [f"{INPUT}_{name}" for name, _ in constants]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v), n) for n, (_, v) in zip(names, constants, strict=True)
    )
    graph.node.insert(0, helper.make_node("DequantizeLinear", [INPUT, *names], [by]))


def _drop_output_rounding(network: Any, outputs: Sequence[str]) -> None:
    """Lets the convolution before each output write it: the QuantizeLinear and DequantizeLinear between them go."""
    graph = network.graph
    maker = {o: n for n in graph.node for o in n.output}
    for output in outputs:
        dequantize = maker[output]
        if dequantize.op_type != "DequantizeLinear":
            continue
        quantize = maker[dequantize.input[0]]
        conv = maker[quantize.input[0]]
        conv.output[0] = output
        graph.node.remove(dequantize)
        graph.node.remove(quantize)
