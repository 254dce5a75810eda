"""Runs inside the emulated root, or anywhere: MODEL RUNTIME SIZE PICTURE [PRECISION]; a marker around every stage.

The picture is a .npy of uint8 (h, w, 3) BGR; it is given as such and, converted, as NV12. Prints the faces as JSON with
all digits, so that runs on other machines can be compared to the bit.

Markers of the third frame (two warm up): 10, 11 preprocess; 20, 21 infer; 30, 31 decode; 0, 1 all of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from run_network import mark  # type: ignore[import-not-found]

import edgeface.engine as engine_module
from edgeface import FaceEngine, _core


def marked(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function with a marker before and after it."""

    def call(*arguments: Any, **options: Any) -> Any:
        mark(number)
        result = function(*arguments, **options)
        mark(number + 1)
        return result

    return call


class Core:
    """The extension, its two functions marked."""

    isa = staticmethod(_core.isa)
    preprocess = staticmethod(marked(_core.preprocess, 10))
    decode = staticmethod(marked(_core.decode, 30))


def nv12(image: np.ndarray) -> np.ndarray:
    """(h * 3/2, w) from BGR, BT.601 limited range; only to have a plausible frame, the same on every machine."""
    b, g, r = (image[..., i].astype(np.int32) for i in range(3))
    y = (66 * r + 129 * g + 25 * b + 128 >> 8) + 16
    u = (-38 * r - 74 * g + 112 * b + 128 >> 8) + 128
    v = (112 * r - 94 * g - 18 * b + 128 >> 8) + 128
    chroma = np.stack([u[::2, ::2], v[::2, ::2]], axis=-1).reshape(image.shape[0] // 2, image.shape[1])
    return np.concatenate([y, chroma]).clip(0, 255).astype(np.uint8)


def main() -> None:
    model, runtime, size, picture = sys.argv[1:5]
    precision = sys.argv[5] if len(sys.argv) > 5 else None
    image = np.load(picture)
    image = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
    found = {}
    for color, frame in (("bgr", image), ("nv12", nv12(image))):
        with FaceEngine(model, runtime=runtime, size=size, precision=precision, exact=True, min_score=0.3) as engine:
            engine.detect(frame, color=color)
            engine.detect(frame, color=color)
            if color == "nv12":
                engine_module._core = Core  # type: ignore[assignment,attr-defined]
                engine._runtime.run = marked(engine._runtime.run, 20)  # type: ignore[union-attr,method-assign]
            mark(0)
            faces = engine.detect(frame, color=color)
            mark(1)
            found[color] = {
                name: getattr(faces, name).tolist() for name in ("boxes", "scores", "landmarks", "rotations", "quality")
            }
            info = engine.info.to_dict()
    print(json.dumps({"isa": info["isa"], "runtime": info["runtime"], "sha256": info["sha256"], "faces": found}))


if __name__ == "__main__":
    main()
