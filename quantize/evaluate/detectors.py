"""What `quantize.evaluate.evaluation` measures: a bundle through edgeface, checkpoints on torch, or a peer. One description
names each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.data.detections import Found
from quantize.models import fuse, load_student
from quantize.models.detector import MAX_FACES, MIN_SCORE, FloatDetector
from quantize.evaluate.peers import Detector, open_peer
from quantize.evaluate.turned import TurnedDetector



@dataclass(frozen=True)
class DetectorSpec:
    """A detector and its input, as plain values: it can be sent to another process.

    Attributes:
        model: path of a bundle, name of a bundled one, a peer ``ADAPTER:FILE``, or ``float:FILE.pt``: a checkpoint on
            torch.
        size: (width, height) of the network's input.
        runtime: of a bundle, as `edgeface.FaceEngine` takes it.
        precision: of a bundle, int8 or float32; None for int8 where it has it.
        turn: degrees by which photos are turned before; see `quantize.evaluate.turned`.
    """

    model: str
    size: tuple[int, int]
    runtime: str = "onnxruntime"
    precision: str | None = None
    turn: int = 0

    def files(self) -> list[Path]:
        """Of a peer or of checkpoints; none of a bundle."""
        adapter, colon, rest = self.model.partition(":")
        if not colon or not adapter.isidentifier():
            return []
        return [Path(rest)]

    def open(self) -> Detector:
        """Loads the network. Raises ValueError where ``turn`` is none of `quantize.evaluate.turned.TURNS`."""
        upright = self._open_upright()
        return TurnedDetector(upright, self.turn) if self.turn else upright

    def _open_upright(self) -> Detector:
        files = self.files()
        if files and self.model.startswith("float:"):
            return FloatDetector(fuse(load_student(files[0])), self.size, name="float " + "/".join(files[0].parts[-2:]))
        if files:
            return open_peer(self.model, self.size, MIN_SCORE)
        return BundleDetector(self)


class BundleDetector:
    """The shipped path: bundle, runtime and C++ core behind `edgeface.FaceEngine`, int8 products as on ARM."""

    def __init__(self, spec: DetectorSpec) -> None:
        from edgeface import FaceEngine

        self.engine = FaceEngine(
            spec.model,
            runtime=spec.runtime,
            size=spec.size,
            precision=spec.precision,
            min_score=MIN_SCORE,
            max_faces=MAX_FACES,
            exact=True,
            warmup=False,
        )
        info = self.engine.info
        self.name = f"{info.model} {info.precision} {info.runtime}"
        self.rule = f"letterbox {spec.size[0]}x{spec.size[1]}"

    def detect(self, image: NDArray[np.uint8]) -> Found:
        """See `quantize.evaluate.peers.Detector`."""
        return Found.of(self.engine.detect(image, "bgr"))
