"""Times of single layers, from runtimes that tell them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeface.bundle import Bundle, ModelSpec
from edgeface.profiling.layer import Layer
from edgeface.profiling.subjects import Config
from edgeface.runtimes import choose, tensor_shape
from edgeface.runtimes.cores import core_of
from edgeface.runtimes.telemetry import switch_off

__all__ = ["Layer", "layer_times", "onnx_layer_times"]

_WARMUP: Final = 3


def layer_times(config: Config, repeats: int = 30) -> tuple[list[Layer], str | None]:
    """Layers in order of execution, or none and the reason.

    The runtime's own profiler is used; it slows inference down, so that the layers add up to more than the stage
    "infer" of a measurement without it.
    """
    from edgeface.engine import parse_size

    bundle = Bundle.find(config.model)
    size = bundle.manifest.default_size if config.size is None else parse_size(config.size)
    choice = choose(bundle, config.runtime, size, config.precision, core=core_of())
    if choice.runtime == "onnxruntime":
        return onnx_layer_times(bundle.read(choice.model), choice.model, size, config.threads, repeats), None
    if choice.runtime == "litert":
        from edgeface.profiling.litert_layers import litert_layer_times

        return litert_layer_times(bundle.read(choice.model))
    return [], f"{choice.runtime} has no profiler that Python can reach"


def onnx_layer_times(
    network: bytes, model: ModelSpec, size: tuple[int, int], threads: int = 1, repeats: int = 30
) -> list[Layer]:
    """Per node medians from onnxruntime's profiler (``SessionOptions.enable_profiling``)."""
    switch_off()
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        image = np.zeros(tensor_shape(model.input.layout, 3, *size), model.input.dtype)
        for _ in range(repeats + _WARMUP):
            session.run(None, {model.input.name: image})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _medians(events)


def _medians(events: list[dict[str, Any]]) -> list[Layer]:
    times: dict[str, list[float]] = {}
    operators: dict[str, str] = {}
    for event in sorted(events, key=lambda event: float(event.get("ts", 0))):
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        name = name.removesuffix("_kernel_time")
        times.setdefault(name, []).append(float(event["dur"]))
        operators[name] = str(event.get("args", {}).get("op_name", "?"))
    return [
        Layer(name, operators[name], float(np.median(values[_WARMUP:] or values))) for name, values in times.items()
    ]
