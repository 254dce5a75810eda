"""How far the exported networks of one student lie apart: float32 ONNX, int8 ONNX, int8 TFLite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeface.manifest import ModelSpec
from quantize.compress.calibration import Images, as_real
from quantize.export.networks import Exported, Size
from quantize.models import OUTPUTS, STRIDES
from quantize.models.onnx import INPUT


def parity(exported: Exported, images: Mapping[Size, Images], photos: int = 8) -> list[dict[str, Any]]:
    """Mean absolute differences of the real outputs, by group of channels, over cells that score above .1 in float
    (score: over all cells): float32 ONNX against int8 ONNX, and int8 ONNX against int8 TFLite (where ai-edge-litert
    is installed).
    """
    rows = []
    networks = [*exported.models, *exported.float_models]
    full = next(m for m in networks if m.format == "onnx" and m.precision == "float32")
    int8 = next(m for m in networks if m.format == "onnx" and m.precision == "int8")
    for size, every in images.items():
        batch = every[:photos]
        reference = [run_onnx(exported, full, as_real(i[None])) for i in batch]
        quantised = [run_onnx(exported, int8, i.transpose(2, 0, 1)[None]) for i in batch]
        rows.append(
            {"size": list(size), "pair": "float32 ONNX, int8 ONNX", **_differences(reference, quantised, reference)}
        )
        tflite = [m for m in [*exported.models, *exported.extra_models] if m.format == "tflite" and m.size == size]
        if tflite:
            lite = [run_tflite(exported, tflite[0], i[None]) for i in batch]
            rows.append(
                {"size": list(size), "pair": "float32 ONNX, int8 TFLite", **_differences(reference, lite, reference)}
            )
            rows.append(
                {"size": list(size), "pair": "int8 ONNX, int8 TFLite", **_differences(quantised, lite, reference)}
            )
    return rows


def run_onnx(exported: Exported, spec: ModelSpec, tensor: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Real outputs (h, w, 22) a level, with int8 products as ARM has them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(str(exported.folder / spec.file), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {INPUT: np.ascontiguousarray(tensor)})
    return [
        np.asarray(o[0].transpose(1, 2, 0), np.float64) * exported.channel_scale[s]
        for o, s in zip(outputs, STRIDES, strict=True)
    ]


def run_tflite(exported: Exported, spec: ModelSpec, pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Real outputs (h, w, 22) a level; ``pixels`` (1, h, w, 3)."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(str(exported.folder / spec.file), num_threads=1)
    network.allocate_tensors()
    network.set_tensor(network.get_input_details()[0]["index"], (pixels.astype(np.int16) - 128).astype(np.int8))
    network.invoke()
    index = {d["name"]: d["index"] for d in network.get_output_details()}
    return [
        (network.get_tensor(index[o.name])[0].astype(np.float64) - o.zero_point)
        * o.scale
        * exported.channel_scale[o.stride]
        for o in spec.outputs
    ]


def _differences(
    a: Sequence[Sequence[NDArray[Any]]],
    b: Sequence[Sequence[NDArray[Any]]],
    reference: Sequence[Sequence[NDArray[Any]]],
) -> dict[str, float]:
    def flat(outputs: Sequence[Sequence[NDArray[Any]]]) -> NDArray[Any]:
        return np.concatenate([level.reshape(-1, level.shape[-1]) for photo in outputs for level in photo])

    x, y, r = flat(a), flat(b), flat(reference)
    relevant = r[:, 0] > np.log(0.1 / 0.9)
    difference = np.abs(x - y)
    return {
        group: round(float((difference[:, c] if group == "score" else difference[relevant][:, c]).mean()), 5)
        if group == "score" or relevant.any()
        else 0.0
        for group, c in OUTPUTS.items()
    } | {"cells": int(relevant.sum())}


def write_parity(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """``parity.json`` and ``parity.md``."""
    (folder / "parity.json").write_text(json.dumps(list(rows), indent=1))
    lines = [
        "| input | pair | score logit | quality logit | box, strides | landmarks, strides | rotation |",
        "|---" * 7 + "|",
    ]
    for r in rows:
        numbers = " | ".join(f"{r[g]:.4f}" for g in OUTPUTS)
        lines.append(f"| {r['size'][0]}x{r['size'][1]} | {r['pair']} | {numbers} |")
    (folder / "parity.md").write_text("\n".join(lines) + "\n")
