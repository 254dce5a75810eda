"""What eight bits do to each layer of a student, in dB of signal to noise."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import nn

from quantize.compress.calibration import Images, as_real
from quantize.compress.rounding import rounded_result
from quantize.models.layers import ConvBNReLU
from quantize.models.onnx import INPUT
from quantize.run import console

RELUS = ("Relu", "Clip")  # the latter is ReLU6


def layer_report(model: nn.Module, float_path: Path, int8_path: Path, images: Images) -> list[dict[str, Any]]:
    """What eight bits do to each convolution, in dB of signal to noise, worst first.

    ``alone_db``: at the network's outputs, with only this layer's weights and results quantised. ``weight_db``: of its
    weights in the int8 file; ``result_db``: of its results there, which holds the errors of all layers before it; both
    None where the file keeps it in float.

    Args:
        model: the folded float network behind ``float_path``.
        images: photos (n, h, w, 3) uint8.
    """
    alone = sensitivities(model, images)
    nodes = [n for n in onnx.load(float_path).graph.node if n.op_type == "Conv"]
    weights, results = _weight_errors(float_path, int8_path), _result_errors(float_path, int8_path, images)
    rows = [
        {
            "layer": layer,
            "node": n.name,
            "alone_db": db,
            "result_db": results.get(n.name),
            "weight_db": weights.get(n.name),
        }
        for (layer, db), n in zip(alone.items(), nodes, strict=True)
    ]
    return sorted(rows, key=lambda r: r["alone_db"])


@torch.no_grad()
def sensitivities(model: nn.Module, images: Images) -> dict[str, float]:
    """dB at the outputs with one layer at a time quantised: weights per channel, results (after ReLU) per tensor. Names
    of the convolutions in the order in which they run, which is the order of the ONNX graph.
    """
    x = torch.from_numpy(as_real(images))
    layers: dict[str, tuple[nn.Conv2d, nn.Module]] = {}
    names = {m: name for name, m in model.named_modules()}
    parents = {m[0]: m for m in model.modules() if isinstance(m, ConvBNReLU)}

    def seen(conv: Any, _: Any, __: Any) -> None:
        layers[names[conv]] = (conv, parents.get(conv, conv))

    hooks = [m.register_forward_hook(seen) for m in model.modules() if isinstance(m, nn.Conv2d)]
    reference = torch.cat([o.flatten() for o in model(x)])
    for h in hooks:
        h.remove()
    result = {}
    for name, (conv, block) in track(layers.items(), "report by layer", len(layers), console=console):
        kept = conv.weight.detach().clone()
        scale = kept.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
        conv.weight.copy_((kept / scale).round() * scale)
        hook = block.register_forward_hook(rounded_result) if block is not conv else None
        outputs = torch.cat([o.flatten() for o in model(x)])
        conv.weight.copy_(kept)
        if hook is not None:
            hook.remove()
        result[name] = _db(float(reference.square().sum()), float((reference - outputs).square().sum()))
    return result


def _db(signal: float, noise: float) -> float:
    return round(10 * math.log10(max(signal, 1e-30) / max(noise, 1e-30)), 2)


def _weight_errors(float_path: Path, int8_path: Path) -> dict[str, float]:
    """dB of each convolution's weights, by the name of its node."""
    float_graph, graph = onnx.load(float_path).graph, onnx.load(int8_path).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in float_graph.initializer}
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    real = {n.name: tensors[n.input[1]] for n in float_graph.node if n.op_type == "Conv" and n.input[1] in tensors}
    dequantised = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    errors = {}
    for n in graph.node:
        if n.op_type != "Conv" or n.input[1] not in dequantised or n.name not in real:
            continue
        d = dequantised[n.input[1]]
        q, scale = stored[d.input[0]].astype(np.float64), np.atleast_1d(stored[d.input[1]]).astype(np.float64)
        zero = np.atleast_1d(stored[d.input[2]]).astype(np.float64) if len(d.input) > 2 else np.zeros(1)
        w = real[n.name].astype(np.float64)
        back = (q - zero.reshape(-1, 1, 1, 1)) * scale.reshape(-1, 1, 1, 1)
        errors[n.name] = _db(float((w**2).sum()), float(((w - back) ** 2).sum()))
    return errors


def _result_errors(float_path: Path, int8_path: Path, images: Images) -> dict[str, float]:
    """dB of each convolution's results (after its ReLU, where it has one), by the name of its node."""
    float_graph, graph = onnx.load(float_path).graph, onnx.load(int8_path).graph
    relu = {n.input[0]: n.output[0] for n in float_graph.node if n.op_type in RELUS}
    real = {n.name: relu.get(n.output[0], n.output[0]) for n in float_graph.node if n.op_type == "Conv"}
    int8_relu = {n.input[0]: n.output[0] for n in graph.node if n.op_type in RELUS}
    rounded = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    dequantised = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    stored = {}
    for n in graph.node:
        if n.op_type == "Conv" and n.name in real:
            tensor = int8_relu.get(n.output[0], n.output[0])
            stored[n.name] = dequantised.get(rounded.get(tensor, ""), tensor)
    a = _values(float_path, [real[n] for n in stored], [as_real(i[None]) for i in images])
    b = _values(int8_path, list(stored.values()), [np.ascontiguousarray(i.transpose(2, 0, 1)[None]) for i in images])
    errors = {}
    for i, name in enumerate(stored):
        signal = sum(float(np.square(x[i], dtype=np.float64).sum()) for x in a)
        errors[name] = _db(
            signal, sum(float(np.square(x[i].astype(np.float64) - y[i]).sum()) for x, y in zip(a, b, strict=True))
        )
    return errors


def _values(path: Path, tensors: Sequence[str], inputs: Sequence[NDArray[Any]]) -> list[list[NDArray[Any]]]:
    """Tensors inside a network, for each input."""
    network = onnx.load(path)
    present = {o.name for o in network.graph.output}
    network.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(t) for t in dict.fromkeys(tensors) if t not in present
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # as on ARM: without VNNI, x86 adds pairs of products in 16 bits that saturate
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    session = ort.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [[np.asarray(v) for v in session.run(list(tensors), {INPUT: x})] for x in inputs]


def write_report(folder: Path, rows: Sequence[dict[str, Any]], tries: Sequence[dict[str, Any]]) -> None:
    """``layers.json``, ``layers.png`` and ``control.json``."""
    from quantize.train.curves import bars

    (folder / "layers.json").write_text(json.dumps(rows, indent=1))
    (folder / "control.json").write_text(json.dumps(tries, indent=1))
    columns = {"this layer alone, at the outputs": "alone_db", "its results": "result_db", "its weights": "weight_db"}
    values = {title: [r[key] if r[key] is not None else 0.0 for r in rows] for title, key in columns.items()}
    bars(
        folder / "layers.png",
        [r["layer"] for r in rows],
        values,
        "int8 against float, each convolution",
        "signal to noise, dB",
    )
