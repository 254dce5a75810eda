"""Step ``quantize``: from a float checkpoint to weights and a plan that hold the budget in int8.

Post-training quantisation by ONNX Runtime, or quantisation-aware tuning by NNCF before it; then what int8 costs is measured on
training photos, layer by layer and in the detector's own figures. Accuracy control gives a layer back to float only while the
budget is broken, the worst layer first. A budget that stays broken fails the step.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeface.angles import rotation_to_angles
from quantize.bundles import make_manifest, onnx_spec, write_bundle
from quantize.calibration import Images, as_real
from quantize.data.sample import Sample
from quantize.detectors import DetectorSpec
from quantize.evaluate import every_nth, photos
from quantize.metrics import Found, average_precision, landmark_errors, pose_errors
from quantize.onnx_export import INPUT, OUTPUTS, quantize_onnx


class BudgetError(RuntimeError):
    """Int8 costs more than the config allows."""


@dataclass(frozen=True)
class Budget:
    """The most that int8 may lose against its own float network. Infinite where the config says nothing."""

    ap: float = math.inf
    """AP over faces of at least 16 pixels, absolute."""
    degrees: float = math.inf
    """Pose MAE."""
    nme: float = math.inf
    """5-point error over box size, relative."""

    def broken(self, loss: dict[str, float]) -> list[str]:
        """A sentence for each figure that is over."""
        return [
            f"{key} must lose at most {limit:g}, but got {loss[key]:.4g}"
            for key, limit in vars(self).items()
            if loss.get(key, 0.0) > limit
        ]


def control_samples(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Training photos to measure int8 against float on: fully boxed ones, and ones with points and a rotation.

    A teacher's rotation serves as the label: the difference between float and int8 is what is asked for, not the error.
    """
    boxed = [s for s in samples if s.complete and any(f.extra.get("box_from", "label") == "label" and not f.ignore for f in s.faces)]
    faces = [s for s in samples if any(f.points is not None and f.rotation is not None and not f.ignore for f in s.faces)]
    chosen = []
    for s in [*every_nth(boxed, count), *every_nth(faces, count)]:
        s = copy.deepcopy(s)
        for f in s.faces:
            if f.rotation is not None and f.points is not None and "pose_300wlp" not in f.extra:
                angles = rotation_to_angles(f.rotation)
                f.extra["pose_300wlp"] = dict(zip(("yaw", "pitch", "roll"), map(float, angles), strict=True))
        chosen.append(s)
    return list({s.path: s for s in chosen}.values())


def figures(path: Path, precision: str, scales: dict[int, NDArray[np.float32]], samples: Sequence[Sample], side: int = 320) -> dict[str, float]:
    """AP ≥16 px, pose MAE and 5-point error over box size of one ONNX file, through the shipped path."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "candidate.efm"
        manifest = make_manifest("candidate", "0", [onnx_spec(path, precision)], scales, [(side, side)])
        write_bundle(bundle, manifest, path.parent)
        detector = DetectorSpec(str(bundle), (side, side), precision=precision).open()
        found: dict[str, Found] = {s.path.stem: detector.detect(image) for s, image in photos(samples)}
    ap, _ = average_precision(samples, found, 16)
    pose, points = pose_errors(samples, found), landmark_errors(samples, found)
    values = {"ap": ap, "degrees": pose.get("pose_mae"), "nme": points.get("nme5_box")}
    return {k: float("nan") if v is None else float(v) for k, v in values.items()}


def loss_of(quantised: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    """What int8 loses: AP absolute, degrees absolute, NME relative. Figures that cannot be had are left out."""
    loss = {
        "ap": reference["ap"] - quantised["ap"],
        "degrees": quantised["degrees"] - reference["degrees"],
        "nme": quantised["nme"] / reference["nme"] - 1,
    }
    return {k: v for k, v in loss.items() if math.isfinite(v)}


def layer_report(float_path: Path, int8_path: Path, images: Images) -> list[dict[str, Any]]:
    """For each convolution, the signal-to-noise ratio in dB of its weights and of its results in the int8 network against
    float, worst first. The latter holds the errors of all layers before it."""
    weights = _weight_errors(float_path, int8_path)
    names = [n.output[0] for n in onnx.load(float_path).graph.node if n.op_type == "Conv"]
    reference = _intermediate(float_path, names, [as_real(i[None]) for i in images])
    inputs = [np.ascontiguousarray(i.transpose(2, 0, 1)[None]) for i in images]
    quantised = _intermediate(int8_path, names, inputs)
    rows = []
    for name, value in reference.items():
        if name not in quantised:
            continue
        # in the int8 network the ReLU after a convolution is part of its range
        noise = signal = 0.0
        for a, b in zip(value, quantised[name], strict=True):
            relu = b.min() >= 0 > a.min()
            a = np.maximum(a, 0) if relu else a
            signal += float(np.square(a, dtype=np.float64).sum())
            noise += float(np.square(a.astype(np.float64) - b).sum())
        node = name.removesuffix("_output_0").removesuffix("/Conv").strip("/") or name
        rows.append({"layer": node, "output": name, "result_db": _db(signal, noise), "weight_db": weights.get(name)})
    return sorted(rows, key=lambda r: r["result_db"])


def _db(signal: float, noise: float) -> float:
    return round(10 * math.log10(max(signal, 1e-30) / max(noise, 1e-30)), 2)


def _weight_errors(float_path: Path, int8_path: Path) -> dict[str, float]:
    """dB of each convolution's weights, by the name of its result."""
    float_graph, graph = onnx.load(float_path).graph, onnx.load(int8_path).graph
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in float_graph.initializer}
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    errors = {}
    real = {n.output[0]: tensors[n.input[1]] for n in float_graph.node if n.op_type == "Conv" and n.input[1] in tensors}
    by_name = {n.name: n.output[0] for n in float_graph.node}
    dequantised = {n.output[0]: n for n in graph.node if n.op_type == "DequantizeLinear"}
    for n in graph.node:
        if n.op_type != "Conv" or n.input[1] not in dequantised or by_name.get(n.name) not in real:
            continue
        d = dequantised[n.input[1]]
        q, scale = stored[d.input[0]].astype(np.float64), np.atleast_1d(stored[d.input[1]]).astype(np.float64)
        zero = np.atleast_1d(stored[d.input[2]]).astype(np.float64) if len(d.input) > 2 else np.zeros(1)
        w = real[by_name[n.name]].astype(np.float64)
        back = (q - zero.reshape(-1, 1, 1, 1)) * scale.reshape(-1, 1, 1, 1)
        errors[by_name[n.name]] = _db(float((w**2).sum()), float(((w - back) ** 2).sum()))
    return errors


def _intermediate(path: Path, names: Sequence[str], inputs: Sequence[NDArray[Any]]) -> dict[str, list[NDArray[Any]]]:
    """Values of tensors inside a network; those of a QDQ network are what its DequantizeLinear gives."""
    network = onnx.load(path)
    graph = network.graph
    made = {o for n in graph.node for o in n.output}
    dequantised = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    rounded = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    relu = {n.input[0]: n.output[0] for n in graph.node if n.op_type == "Relu"}
    wanted = {}
    for name in names:
        tensor = name
        if name not in rounded and relu.get(name) in rounded:
            tensor = relu[name]
        tensor = dequantised.get(rounded.get(tensor, ""), tensor)
        if tensor in made:
            wanted[name] = tensor
    present = {o.name for o in graph.output}
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(t) for t in dict.fromkeys(wanted.values()) if t not in present)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = ort.InferenceSession(network.SerializeToString(), options, providers=["CPUExecutionProvider"])
    runs = [session.run(list(wanted.values()), {INPUT: x}) for x in inputs]
    return {name: [np.asarray(r[i]) for r in runs] for i, name in enumerate(wanted)}


def control(
    float_path: Path, int8_path: Path, images: Sequence[Images], budget: Budget, measure: Callable[[Path], dict[str, float]],
    reference: dict[str, float], most: int = 8,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Quantises, and gives layers back to float, the noisiest first, while the budget is broken and at most ``most`` times.

    Returns:
        Names of the nodes that stay in float, and a record of each try. The last try's network is ``int8_path``.
    """
    kept: list[str] = []
    tries: list[dict[str, Any]] = []
    by_output = {n.output[0]: n.name for n in onnx.load(float_path).graph.node}
    while True:
        quantize_onnx(float_path, int8_path, images, keep_float=kept)
        loss = loss_of(measure(int8_path), reference)
        broken = budget.broken(loss)
        tries.append({"float_layers": list(kept), "loss": {k: round(v, 5) for k, v in loss.items()}, "broken": broken})
        if not broken or len(kept) >= most:
            return kept, tries
        report = layer_report(float_path, int8_path, images[0][:4])
        # a layer's own share shows in its weights; those of equal weights go by their results
        candidates = [r for r in report if by_output[r["output"]] not in kept and r["output"] not in OUTPUTS]
        worst = min(candidates, key=lambda r: (r["weight_db"] if r["weight_db"] is not None else 99.0) + r["result_db"])
        kept.append(by_output[worst["output"]])


def write_report(folder: Path, rows: Sequence[dict[str, Any]], tries: Sequence[dict[str, Any]]) -> None:
    """``layers.json``, ``layers.png`` and ``control.json``."""
    from quantize.curves import bars

    (folder / "layers.json").write_text(json.dumps(rows, indent=1))
    (folder / "control.json").write_text(json.dumps(tries, indent=1))
    shown = [r for r in rows if r["weight_db"] is not None]
    bars(
        folder / "layers.png", [r["layer"] for r in shown],
        {"weights": [r["weight_db"] for r in shown], "results": [r["result_db"] for r in shown]},
        "int8 against float, each convolution", "signal to noise, dB",
    )
