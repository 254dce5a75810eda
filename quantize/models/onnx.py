"""The float ONNX file of a student, and the names and numbers that every exported network of ours shares."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper

from quantize.models.checkpoints import Network
from quantize.models.student import STRIDES

INPUT = "image"
OUTPUTS = tuple(f"p{s}" for s in STRIDES)
OPSET = 17
#: A pixel p is the real number (p − 128) / 128 (docs/bundle.md).
INPUT_SCALE, INPUT_ZERO = 1 / 128, 128


def export_float(model: Network, path: Path) -> None:
    """Writes the folded network (see `quantize.models.fuse`): (1, 3, H, W) float32 real values to three outputs, H and
    W any multiples of 16.
    """
    axes = {INPUT: {2: "height", 3: "width"}}
    for name, stride in zip(OUTPUTS, STRIDES, strict=True):
        axes[name] = {2: f"height/{stride}", 3: f"width/{stride}"}
    with warnings.catch_warnings():
        # the exporter that NNCF's graphs need is the old one, which says so; and opsets after 17 gain nothing here
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, 64, 96),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
        )
    network = onnx.load(path)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(tidy(network), path)


def tidy(network: Any) -> Any:
    """Drops the exporter's own notes and unused initialisers, in place: the same weights give the same bytes."""
    used = {name for node in network.graph.node for name in node.input}
    kept = [i for i in network.graph.initializer if i.name in used]
    del network.graph.initializer[:]
    network.graph.initializer.extend(kept)
    del network.graph.value_info[:]
    for node in network.graph.node:
        node.doc_string = ""
    network.doc_string = ""
    del network.metadata_props[:]
    network.producer_name, network.producer_version = "edgeface", ""
    if not network.opset_import:
        network.opset_import.append(helper.make_opsetid("", OPSET))
    return network


def convolutions(path: Path) -> list[str]:
    """Names of the convolution nodes, in graph order."""
    return [n.name for n in onnx.load(path).graph.node if n.op_type == "Conv"]
