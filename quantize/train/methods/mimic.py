"""A student that mimics a small detector at every cell: FitNets (Romero et al. 2015, arXiv 1412.6550) and soft answers
(Hinton et al. 2015, arXiv 1503.02531).

Labels speak of some twenty cells of a view; a detector that looks at the same view speaks of all. YuNet's levels and
the student's cover the same cells, so a 1 × 1 convolution a level takes the student's features to YuNet's, where

    L = ‖adapted − YuNet's‖² / ‖YuNet's‖²,

a mean over the levels before the pyramid (``hints``) and behind it (``features``). The student's scores are compared
with YuNet's besides (``answers``), but not where people's labels say that there is no face, or leave it open: its
mistakes are not to be learned. The convolutions are there while a student trains and are no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quantize.config import MimicOptions
from quantize.label.session import open_session
from quantize.models import SCORE, STRIDES, Student
from quantize.train.assignment import Grid
from quantize.train.focal import quality_focal

if TYPE_CHECKING:
    from quantize.train.losses import Batch

HINTS, FEATURES = ("241", "250", "259"), ("283", "273", "263")
"""Tensors of yunet_n_dynamic.onnx: levels of strides 8, 16 and 32 before the pyramid and behind it."""
CHANNELS = 64
"""Of each of them."""
AROUND = 1.5
"""Strides around a labelled face in which the detector may speak of it: of a small one it does so at cells beside."""


@dataclass
class Look:
    """What the detector makes of n views: features of each level, (n, 64, h/s, w/s), and each cell's score (n, p)."""

    hints: list[Tensor]
    features: list[Tensor]
    score: Tensor


class Detector:
    """YuNet n, frozen; ``file``: yunet_n_dynamic.onnx. Raises ValueError for a network without YuNet's levels."""

    def __init__(self, file: Path) -> None:
        import onnx

        model = onnx.load(file)
        made = {name for node in model.graph.node for name in node.output}
        self.scores = [f"{kind}_{s}" for kind in ("cls", "obj") for s in STRIDES]
        if missing := {*HINTS, *FEATURES, *self.scores} - made:
            raise ValueError(f"{file} must be yunet_n_dynamic.onnx, but lacks {', '.join(sorted(missing))}")
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (*HINTS, *FEATURES))
        self.session = open_session(model.SerializeToString())
        self.input = self.session.get_inputs()[0].name

    def __call__(self, x: Tensor) -> Look:
        """``x``: (n, 3, h, w), RGB, (pixel − 128) / 128, sides multiples of 32."""
        blob = torch.empty_like(x, memory_format=torch.contiguous_format)
        for channel in range(3):  # one pass each: RGB to BGR, 0 to 255
            torch.add(x[:, 2 - channel] * 128, 128, out=blob[:, channel])
        told = self.session.run([*HINTS, *FEATURES, *self.scores], {self.input: blob.cpu().numpy()})
        of = [torch.from_numpy(np.asarray(a)).to(x.device) for a in told]
        cls, obj = (torch.cat(of[i : i + 3], 1).squeeze(-1).clamp(0, 1) for i in (6, 9))
        return Look(of[:3], of[3:6], (cls * obj).sqrt())


class Mimic(nn.Module):
    """The part of the loss that compares ``student`` with a detector; `watch` it first."""

    def __init__(self, student: Student, options: MimicOptions) -> None:
        super().__init__()
        self.weights = {"hints": options.hints, "features": options.features, "answers": options.answers}
        neck = student.architecture.neck
        wide = [stage_width(stage) for stage in stages(student)]
        self.adapters = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in [*wide, *[neck] * len(STRIDES)])
        self._seen: list[Tensor] = [torch.zeros(0)] * len(self.adapters)

    def watch(self, student: Student) -> None:
        """From now on remembers the features of ``student`` before its pyramid and behind it."""

        def keep_made(at: int) -> None:
            def keep(module: nn.Module, given: object, made: Tensor) -> None:
                self._seen[at] = made

            stages(student)[at].register_forward_hook(keep)

        def keep_read(at: int) -> None:
            def keep(module: nn.Module, given: tuple[Tensor]) -> None:
                self._seen[len(STRIDES) + at] = given[0]

            student.towers[at].register_forward_pre_hook(keep)

        for at in range(len(STRIDES)):
            keep_made(at)
            keep_read(at)

    def forward(self, look: Look, raw: Tensor, batch: Batch, grid: Grid) -> dict[str, Tensor]:
        """Terms of the loss for the views that the student has just seen; ``raw`` (n, p, 22): its outputs."""
        half = self._seen[0].dtype == torch.bfloat16
        with torch.autocast(raw.device.type, torch.bfloat16, enabled=half):
            made = [torch.relu(adapter(f)) for adapter, f in zip(self.adapters, self._seen, strict=True)]
        pairs = zip(made, [*look.hints, *look.features], strict=True)
        apart = torch.stack([F.mse_loss(f.float(), t) / t.pow(2).mean().clamp(min=1e-6) for f, t in pairs])
        return {
            "hints": apart[: len(STRIDES)].mean(),
            "features": apart[len(STRIDES) :].mean(),
            "answers": answers_apart(raw[..., SCORE], look.score, batch, grid),
        }


def stages(student: Student) -> tuple[nn.Module, nn.Module, nn.Module]:
    """What a student's levels of strides 8, 16 and 32 come from before the pyramid."""
    return student.stage8, student.stage16, student.stage32


def stage_width(stage: nn.Module) -> int:
    """Channels that a stage of a student ends with."""
    return [m for m in stage.modules() if isinstance(m, nn.Conv2d)][-1].out_channels


def answers_apart(logits: Tensor, score: Tensor, batch: Batch, grid: Grid) -> Tensor:
    """Quality focal loss of ``logits`` (n, p) towards the detector's ``score`` (n, p), over the sum of scores; towards
    0 where no labelled face is near, and nothing in ignore regions.
    """
    face, open_place = near(grid, batch.box, batch.real), near(grid, batch.box, batch.ignore)
    wanted = score * face
    loss = quality_focal(logits, wanted) * (face | ~open_place)
    return loss.sum() / wanted.sum().clamp(min=1)


def near(grid: Grid, boxes: Tensor, which: Tensor) -> Tensor:
    """Cells, (n, p) bool, within `AROUND` strides of those of ``boxes`` (n, m, 4) that ``which`` (n, m) names."""
    image, face = which.nonzero(as_tuple=True)
    x, y, pad = grid.centre[:, 0], grid.centre[:, 1], grid.stride * AROUND
    x1, y1, x2, y2 = boxes[image, face][..., None].unbind(1)
    inside = (x > x1 - pad) & (x < x2 + pad) & (y > y1 - pad) & (y < y2 + pad)
    return inside.new_zeros(len(boxes), len(x)).index_put((image,), inside, accumulate=True)
