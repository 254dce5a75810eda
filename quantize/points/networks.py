"""The networks that are measured: crops in, numbers by role out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.label.session import open_session
from quantize.points.model import OUTPUTS

Predictor = Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]
"""Crops (n, 112, 112, 3) RGB to outputs by name, (n, length); points (n, 68, 2) in crop sides."""


def stacked(rows: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[np.float32]]:
    """Outputs of single crops as arrays over crops."""
    out = {name: np.stack([np.ravel(r[name]) for r in rows]).astype(np.float32) for name in OUTPUTS}
    return out | {"points": out["points"].reshape(-1, 68, 2)}


def of_onnx(path: Path) -> Predictor:
    """The network of an ONNX file of ours, float32 or int8, run crop by crop as the device does."""
    session = open_session(path)
    image = session.get_inputs()[0]
    names = [o.name for o in session.get_outputs()]

    def predict(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        rows = []
        for crop in crops:
            x: NDArray[Any] = np.ascontiguousarray(crop.transpose(2, 0, 1)[None])
            if image.type != "tensor(uint8)":
                x = (x.astype(np.float32) - 128) / 128
            rows.append(dict(zip(names, session.run(None, {image.name: x}), strict=True)))
        return stacked(rows)

    return predict


def of_ncnn(param: Path, weights: Path, int8: bool = False) -> Predictor:
    """The network of ncnn's files, as the SDK opens them."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    if int8:
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise ValueError(f"ncnn must load {param}, but did not")

    def predict(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        rows = []
        for crop in crops:
            view = np.ascontiguousarray((crop.transpose(2, 0, 1).astype(np.float32) - 128) / 128)
            extractor = net.create_extractor()
            extractor.input("in0", ncnn.Mat(view))
            rows.append({name: np.array(extractor.extract(f"out{k}")[1]) for k, name in enumerate(OUTPUTS)})
        return stacked(rows)

    return predict
