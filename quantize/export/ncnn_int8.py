"""int8 for ncnn, from an int8 network in QDQ form: the same rounded weights, and ranges from the same calibration.

ncnn rounds activations symmetrically, to −127…127, so that what comes out of a ReLU has seven bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quantize.export import ncnn_files
from quantize.export.ncnn import ConversionError, NcnnFiles, convert, convert_student
from quantize.export.ncnn_files import INT8, REQUANTISED, Layer
from quantize.export.qdq_layers import QuantisedConv, dequantised

#: Winograd's integer form multiplies results by 24² before it divides again, in 32 bits.
_WINOGRAD_GAIN = 24 * 24


def convert_int8(qdq: Path, out: Path, size: tuple[int, int] | None = None) -> NcnnFiles:
    """Convert an int8 network.

    Args:
        qdq: what `quantize.compress.qdq.quantize_onnx` wrote.
        out: path of the result without its suffixes.
        size: (width, height) of a network for one size; None for a student, which takes any.

    Returns:
        ``OUT.param`` and ``OUT.bin``. The input is float: real values, as for the float network.

    Raises:
        ConversionError: pnnx is missing or failed, or the result is not the network that was given.
    """
    real, convs = dequantised(onnx.load(qdq))
    layers = _float_layers(real, size)
    quantised = _quantise(layers, convs)
    if quantised != len(convs):
        raise ConversionError(f"{len(convs)} convolutions must be found in what pnnx wrote, but got {quantised}")
    return _write(layers, out)


def convert_roughly(onnx_file: Path, size: tuple[int, int], out: Path) -> NcnnFiles:
    """int8 of a float network with ranges of −1…1 everywhere: costs what int8 costs, and finds nothing.

    Args, Returns, Raises:
        As `convert_int8`.
    """
    layers = _float_layers(onnx.load(onnx_file), size)
    for layer in layers:
        if layer.weights is not None:
            rows = layer.weights.reshape(layer.number(ncnn_files.OUTPUTS), -1)
            scale = 127 / np.abs(rows).max(1).clip(min=1e-9)
            layer.weights = np.rint(rows * scale[:, None]).astype(np.int8).ravel()
            _in_int8(layer, scale.astype(np.float32), 1.0)
    return _write(layers, out)


def _float_layers(network: Any, size: tuple[int, int] | None) -> list[Layer]:
    """Of a student for any size, or of any network for one."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "real.onnx", Path(folder) / "real"
        onnx.save(network, source)
        made = convert_student(source, out, half=False) if size is None else convert(source, size, out, half=False)
        layers = ncnn_files.read(made.param.read_text())
        ncnn_files.read_weights(layers, made.bin.read_bytes())
        return layers


def _write(layers: Sequence[Layer], out: Path) -> NcnnFiles:
    _hand_on(layers)
    files = NcnnFiles(out.with_name(f"{out.name}.param"), out.with_name(f"{out.name}.bin"))
    param, weights = ncnn_files.write(layers)
    files.param.write_text(param)
    files.bin.write_bytes(weights)
    return files


def _in_int8(layer: Layer, weight_scales: NDArray[np.float32], reach: float) -> None:
    layer.scales = [weight_scales, np.array([127 / reach], np.float32)]
    layer.keys[INT8] = "1" if layer.kind == "ConvolutionDepthWise" else "2"


def _quantise(layers: Sequence[Layer], convs: Sequence[QuantisedConv]) -> int:
    """Put the integers where their real values are; how many layers that were."""
    by_weights = {conv.real.tobytes(): conv for conv in convs}
    done = 0
    for layer in layers:
        conv = None if layer.weights is None else by_weights.get(layer.weights.tobytes())
        if conv is None:
            continue
        layer.weights = conv.weights.ravel()
        _in_int8(layer, np.asarray(1 / conv.weight_scales, np.float32), max(-conv.lowest, conv.highest))
        if _may_overflow(conv):
            layer.keys[ncnn_files.FEATURES] = str(ncnn_files.NO_WINOGRAD)
        done += 1
    return done


def _may_overflow(conv: QuantisedConv) -> bool:
    """Whether some picture could take an output of Winograd's integer form beyond 32 bits."""
    flat = conv.weights.reshape(len(conv.weights), -1).astype(np.int64)
    up, down = flat.clip(min=0).sum(1), (-flat).clip(min=0).sum(1)
    worst = np.maximum(up, down) if conv.lowest == 0 else up + down
    return bool((127 * worst * _WINOGRAD_GAIN >= 2**31).any())


def _hand_on(layers: Sequence[Layer]) -> None:
    """Let a convolution write int8 where nothing but int8 convolutions reads it."""
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        for blob in layer.bottoms:
            readers.setdefault(blob, []).append(layer)

    def final(blob: str) -> list[Layer]:
        found = []
        for layer in readers.get(blob, []):
            found += [reader for top in layer.tops for reader in final(top)] if layer.kind == "Split" else [layer]
        return found

    for layer in layers:
        after = final(layer.tops[0]) if layer.number(INT8) else []
        if after and all(reader.number(INT8) for reader in after):
            (scale,) = {float(reader.scales[1][0]) for reader in after}
            layer.scales.append(np.array([scale], np.float32))
            layer.keys[INT8] = str(layer.number(INT8) + REQUANTISED)
