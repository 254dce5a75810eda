"""Converts a folded student to full-int8 TFLite. Runs in an environment of its own (litert-torch), as a script:

    python -m quantize.export.tflite_convert JOB.json

The job: {"checkpoint": folded checkpoint, "covered": share of the photos, "outputs": {"320x240": {"images": calibration
.npy of each kind of photo, "file": result}}, ...}.
Prints one JSON object: per size the input and outputs of the network with their scales and zero points.
`quantize.export.tflite` writes the job and reads the answer.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import torch

from quantize.compress.ranges import beside, cover, widest
from quantize.models import STRIDES, load_student

Images = np.ndarray[Any, Any]


def convert(checkpoint: Path, kinds: Sequence[Images], covered: float, path: Path) -> dict[str, Any]:
    """One int8 network for the size of the calibration images, (n, h, w, 3) uint8 of each kind."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator, quantizer, recipe

    _, height, width, _ = kinds[0].shape
    model = load_student(checkpoint)
    example = torch.zeros(1, 3, height, width)
    last = litert_torch.to_channel_last_io(model, args=[0], outputs=list(range(len(STRIDES)))).eval()
    with tempfile.TemporaryDirectory() as folder:
        float_path = str(Path(folder) / "float.tflite")
        litert_torch.convert(last, (example.permute(0, 2, 3, 1).contiguous(),)).export(float_path)
        signature, io = next(iter(Interpreter(float_path).get_signature_list().items()))
        quantise = quantizer.Quantizer(float_path, recipe.static_wi8_ai8())
        calibrated = []
        for images in kinds:
            real = (images.astype(np.float32) - 128) / 128
            # the quantizer's own calibrate averages the photos' ranges, which clips whatever is rarer than a typical
            # photo: large faces lost .7 degrees of pose
            watcher = calibrator.Calibrator(float_path, num_threads=1, qsv_update_func=beside)
            watcher.calibrate({signature: [{io["inputs"][0]: x[None]} for x in real]}, quantise._recipe_manager)
            calibrated.append(cover(watcher.get_model_qsvs(), covered))
        ranges = widest(calibrated)
        _fix_ranges(ranges, float_path)
        result = quantise.quantize(ranges)
        result.export_model(str(path), overwrite=True)
    return describe(path)


def _fix_ranges(ranges: dict[str, Any], float_path: str) -> None:
    """The input is p − 128 at scale 1/128, and what matters of every output lies in −1…1 (folded channel scales)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(float_path)
    for detail in interpreter.get_input_details():
        _set(ranges[detail["name"]], -1.0, 127 / 128)
    for detail in interpreter.get_output_details():
        _set(ranges[detail["name"]], -1.0, 127 / 128)


def _set(entry: dict[str, Any], low: float, high: float) -> None:
    for key, value in (("min", low), ("max", high)):
        entry[key] = np.full_like(np.asarray(entry[key], np.float32), value)


def describe(path: Path) -> dict[str, Any]:
    """Names, shapes, scales and zero points of a network's input and outputs, the outputs by rising stride."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))

    def plain(detail: dict[str, Any]) -> dict[str, Any]:
        scale, zero = detail["quantization"]
        return {
            "name": detail["name"],
            "shape": [int(n) for n in detail["shape"]],
            "dtype": np.dtype(detail["dtype"]).name,
            "scale": float(scale),
            "zero_point": int(zero),
        }

    (image,) = map(plain, interpreter.get_input_details())
    outputs = sorted(map(plain, interpreter.get_output_details()), key=lambda o: -o["shape"][1] * o["shape"][2])
    return {"input": image, "outputs": outputs}


def main(job_path: str) -> None:
    """Reads the job, converts, prints what came of it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    job = json.loads(Path(job_path).read_text())
    done = {}
    for size, part in job["outputs"].items():
        kinds = [np.load(file) for file in part["images"]]
        done[size] = convert(Path(job["checkpoint"]), kinds, job["covered"], Path(part["file"]))
    Path(job["answer"]).write_text(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1])
