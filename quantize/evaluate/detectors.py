"""A detector by one description: a bundle through edgeface, a checkpoint on torch, or a peer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize.evaluate.peers import open_peer
from quantize.models import fuse, load_student
from quantize.models.bundle_detector import BundleDetector
from quantize.models.detector import MIN_SCORE, Detector, FloatDetector
from quantize.models.turned import TurnedDetector


@dataclass(frozen=True)
class DetectorSpec:
    """A detector and its input, as plain values: it can be sent to another process.

    Attributes:
        model: path of a bundle, name of a bundled one, a peer ``ADAPTER:FILE``, or ``float:FILE.pt``: a checkpoint on
            torch.
        size: (width, height) of the network's input.
        runtime: of a bundle, as `edgeface.FaceEngine` takes it.
        precision: of a bundle, int8 or float32; None for int8 where it has it.
        turn: degrees by which photos are turned before; see `quantize.models.turned`.
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
        """Loads the network. Raises ValueError where ``turn`` is none of `quantize.models.turned.TURNS`."""
        upright = self._open_upright()
        return TurnedDetector(upright, self.turn) if self.turn else upright

    def _open_upright(self) -> Detector:
        files = self.files()
        if files and self.model.startswith("float:"):
            name = "float " + "/".join(files[0].parts[-2:])
            return FloatDetector(fuse(load_student(files[0])), self.size, name=name)
        if files:
            return open_peer(self.model, self.size, MIN_SCORE)
        return BundleDetector(self.model, self.size, self.runtime, self.precision)
