"""Runs rknn-toolkit2 in its own environment, which has no edgeface: ``python rockchip_run.py JOB.json``.

The job says platform, network, size, level, where the compiled network goes, and an input for the simulator whose
outputs are written beside it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(path: str) -> None:
    """Compile, simulate, and write ``result.json`` beside the job."""
    from rknn.api import RKNN  # this module must not be called rknn: its folder is searched first

    job: dict[str, Any] = json.loads(Path(path).read_text())
    rknn = RKNN(verbose=False)

    def need(what: str, status: int) -> None:
        if status != 0:
            sys.exit(f"rknn-toolkit2 failed to {what} (status {status})")

    quantize = bool(job["photos"])
    settings = {"mean_values": [[128, 128, 128]], "std_values": [[128, 128, 128]]} if quantize else {}
    need("configure", rknn.config(target_platform=job["platform"], optimization_level=job["level"], **settings))
    width, height = job["size"]
    need("load", rknn.load_onnx(job["network"], inputs=[job["input"]], input_size_list=[[1, 3, height, width]]))
    if quantize:
        listed = Path(path).with_name("photos.txt")
        listed.write_text("".join(f"{photo}\n" for photo in job["photos"]))
        need("quantise", rknn.build(do_quantization=True, dataset=str(listed)))
    else:
        need("build", rknn.build(do_quantization=False))
    need("export", rknn.export_rknn(job["out"]))
    need("simulate", rknn.init_runtime())
    outputs = rknn.inference(inputs=[np.load(job["image"])], data_format=["nhwc"])
    np.savez(job["outputs"], *outputs)
    rknn.release()
    result = {"version": importlib.metadata.version("rknn-toolkit2")}
    Path(path).with_name("result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
