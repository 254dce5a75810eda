"""Step ``train``: from packed photos to the network of the moving average."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from quantize.config import PhaseOptions, PretrainOptions, Recipe, SearchOptions, TrainOptions, flat
from quantize.data.sample import Sample, read_samples
from quantize.files import replacing
from quantize.label.entropy import dropped_before, has_entropies
from quantize.models import Network
from quantize.run import Run, StepError, bar, content, perform
from quantize.train.curves import draw_log
from quantize.train.dev import measure
from quantize.train.loop import Trainer

DEV_PHOTOS = 60
"""Of each kind, for the curves; `python -m quantize dev` takes all of them."""
FREE = ("train.threads", "train.loader_workers", "train.checkpoint_minutes")
"""What may change while a run is interrupted: none of it changes the network."""


def train(run: Run) -> dict[str, Any]:
    """Trains the student; an interrupted run goes on. Under ``torchrun`` on several processes or devices.

    Raises:
        StepError: no photo has a face, so that there would be nothing to learn; or the run was begun by another recipe.
    """
    tables = ["data", "label", "model", "search", "pretrain", "train"]
    return perform(run, "train", _train, [run.need("label", "pack/samples.jsonl")], tables)


def _train(run: Run, folder: Path) -> dict[str, Any]:
    samples = read_samples(run.need("label", "pack/samples.jsonl"))
    if not any(not f.ignore for s in samples for f in s.faces):
        raise StepError("train needs photos with faces, but none of the labelled photos has one: see step `label`")
    dev = read_samples(run.need("label", "dev.jsonl"))
    uses = {s.name: s.use for s in run.recipe.data.sets}
    trainer = prepared(run, folder, samples)

    def validate(model: Network) -> dict[str, float]:
        return measure(model, dev, uses, DEV_PHOTOS)

    first = trainer.rank == 0
    try:
        with bar("train", lambda: trainer.seen, trainer.total) if first else contextlib.nullcontext():
            trainer.train(validate)
    finally:
        if first and (folder / "log.jsonl").is_file():
            draw_log(folder / "log.jsonl", folder)
        if dist.is_initialized():
            dist.destroy_process_group()
    return {"checkpoint": str(folder / "ema.pt"), "views": trainer.seen}


def prepared(run: Run, folder: Path, samples: Sequence[Sample]) -> Trainer:
    """The training of a run, at its beginning or where it stopped; ``samples`` are those of the packed photos.

    Raises:
        StepError: what stands in ``folder`` was begun by another recipe or on other photos.
    """
    _begin(run, folder, fingerprint(run, samples))
    init = None
    if run.recipe.search.views:
        init = run.need("search", "pruned.pt")
    if run.recipe.pretrain.views:
        init = run.need("pretrain", "backbone.pt")
    return Trainer(run.recipe, run.path("label", "pack"), folder, run.device, init)


def _begin(run: Run, folder: Path, wanted: dict[str, Any]) -> None:
    """Makes sure that what is gone on with was begun by this recipe on these photos; ``--again`` puts it aside.

    Raises:
        StepError: it was not.
    """
    begun = folder / "begun.json"
    if (folder / "last.pt").is_file():
        if run.again and dist.is_torchelastic_launched():
            raise StepError(f"--again must be asked of one process, but torchrun started several: move {folder} away")
        if run.again:
            aside = next(p for n in range(1, 10_000) if not (p := folder / f"before-{n}").exists())
            aside.mkdir()
            for path in [p for p in folder.iterdir() if p.is_file() and p.name != "recipe.json"]:
                path.rename(aside / path.name)
        elif begun.is_file() and (other := differing(wanted, json.loads(begun.read_text()))):
            raise StepError(
                f"{folder} must have been begun by the same recipe, but {', '.join(other[:5])} changed: "
                "train elsewhere (--run FOLDER), or anew (--again; what is there is put aside)"
            )
    if os.environ.get("RANK", "0") == "0":
        with replacing(begun) as part:
            part.write_text(json.dumps(wanted, indent=1))


def fingerprint(run: Run, samples: Sequence[Sample]) -> dict[str, Any]:
    """All that the trained network depends on, as dotted keys; ``samples`` are those of the packed photos.

    Raises:
        StepError: an earlier version labelled the photos, with other doubtful rotations dropped than the recipe says.
    """
    quantile = _below_one(run.recipe.label.pose_quantile)
    photos: dict[str, Any] = {"photos": content(run.need("label", "pack/samples.jsonl"))}
    if has_entropies(samples):
        photos["label.pose_quantile"] = quantile
    elif dropped_before(samples) and (said := run.path("label", "recipe.json")).is_file():
        before = _below_one(json.loads(said.read_text())["label"]["pose_quantile"])
        if before != quantile:
            raise StepError(
                f"label.pose_quantile must be {before}, with which an earlier version labelled {run.path('label')}, "
                f"but got {quantile}: do step `label` again (the teachers' answers are cached)"
            )
    return _learned(run.recipe) | photos


def _below_one(quantile: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in sorted(quantile.items()) if v < 1}


def differing(wanted: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Keys of two fingerprints that differ. What one of them does not know yet has its default there."""
    default = _defaults()
    return sorted(
        k for k in wanted.keys() | before.keys() if wanted.get(k, default.get(k)) != before.get(k, default.get(k))
    )


def _defaults() -> dict[str, Any]:
    phase = PhaseOptions(views=1, size=[32], batch=[1])
    tables = {"search": SearchOptions(), "pretrain": PretrainOptions(), "train": TrainOptions(phases=[phase])}
    return flat({k: table.model_dump(mode="json") for k, table in tables.items()})


def _learned(recipe: Recipe) -> dict[str, Any]:
    """All that the trained network depends on besides the photos, as dotted keys."""
    said = recipe.model_dump(mode="json")
    values = flat({k: said[k] for k in ("seed", "model", "search", "pretrain", "train")})
    values |= {f"data.{k}": said["data"][k] for k in ("most_of_event", "events_together")}
    values["data.weights"] = {s["name"]: [s["weight"], s["use"]] for s in said["data"]["sets"]}
    return {k: v for k, v in values.items() if k not in FREE}
