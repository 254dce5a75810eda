"""Step ``train``: from packed photos to the network of the moving average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantize.data.sample import read_samples
from quantize.models import Network
from quantize.run import Run, StepError, bar, perform
from quantize.train.curves import draw_log
from quantize.train.dev import measure
from quantize.train.loop import Trainer

DEV_PHOTOS = 150
"""Of each kind, for the curves; `python -m quantize dev` takes all of them."""


def train(run: Run) -> dict[str, Any]:
    """Trains the student; an interrupted run goes on. Under ``torchrun`` on several processes or devices.

    Raises:
        StepError: no photo has a face, so that there would be nothing to learn.
    """
    return perform(run, "train", _train, [run.need("label", "pack/samples.jsonl")], ["data", "model", "search", "pretrain", "train"])


def _train(run: Run, folder: Path) -> dict[str, Any]:
    samples = read_samples(run.need("label", "pack/samples.jsonl"))
    if not any(not f.ignore for s in samples for f in s.faces):
        raise StepError("train needs photos with faces, but none of the labelled photos has one: see step `label`")
    dev = read_samples(run.need("label", "dev.jsonl"))
    uses = {s.name: s.use for s in run.recipe.data.sets}

    def validate(model: Network) -> dict[str, float]:
        return measure(model, dev, uses, DEV_PHOTOS)

    init = None
    if run.recipe.search.views:
        init = run.need("search", "pruned.pt")
    if run.recipe.pretrain.views:
        init = run.need("pretrain", "backbone.pt")
    trainer = Trainer(run.recipe, run.path("label", "pack"), folder, run.device, init)
    try:
        with bar("train", lambda: trainer.seen, trainer.total):
            trainer.train(validate)
    finally:
        if trainer.rank == 0 and (folder / "log.jsonl").is_file():
            draw_log(folder / "log.jsonl", folder)
    return {"checkpoint": str(folder / "ema.pt"), "views": trainer.seen}
