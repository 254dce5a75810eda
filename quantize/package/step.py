"""Step ``package``: the bundle with its metrics and lineage, and its model card, in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from edgeface.bundle import Bundle
from edgeface.golden import add_golden
from quantize.compress.step import METHODS
from quantize.package.bundle import complete, measured_bundle
from quantize.package.card import card_of
from quantize.package.lineage import lineage_of
from quantize.run import Run, perform

QUALITY = {"target": "similarity of face-recognition embeddings to clean photos of the same person, 0 to 1"}


def package(run: Run) -> dict[str, Any]:
    """Writes ``NAME.efm``, ``NAME-float32.efm`` where there is one, and ``model-card-NAME.md``.

    Returns:
        ``bundle`` and ``card``, their paths, and ``bytes`` of the bundle.

    Raises:
        StepError: an earlier step is missing, or the networks were exported anew after step ``evaluate``.
    """
    inputs = [measured_bundle(run), run.need("evaluate", "table.json"), run.need("compress", "weights.pt")]
    tables = ["package", "data", "label", "model", "pretrain", "train"]
    return perform(run, "package", _package, inputs, tables)


def _package(run: Run, folder: Path) -> dict[str, Any]:
    options, name = run.recipe.package, run.recipe.name
    state = torch.load(run.need("compress", "weights.pt"), map_location="cpu", weights_only=True)
    results = json.loads(run.need("evaluate", "table.json").read_text())
    training = _training(run, state["source"])
    lineage = lineage_of(run, state["source"])
    label = run.recipe.label
    measured = label.teachers is not None and label.quality_sets and not state["source"]["foreign"]
    described = {"lineage": lineage, "quality": QUALITY if measured else {}}
    for path in [*folder.glob("*.efm"), *folder.glob("model-card-*.md")]:
        path.unlink()  # of another name, or a float bundle that is no longer made
    complete(
        run.need("export", f"{name}.efm"),
        folder / f"{name}.efm",
        version=options.version,
        licence=options.licence,
        min_score=options.min_score,
        nms_iou=options.nms_iou,
        results=results,
        training=training | {"quantisation": METHODS[state["method"]]},
        calibration={"photos": len(state["photos"]), "of": "training photos", "float_layers": state["keep_float"]},
        **described,
    )
    int8 = Bundle.open(add_golden(folder / f"{name}.efm"))
    full = run.path("export", f"{name}-float32.efm")
    if full.is_file():
        complete(
            full,
            folder / full.name,
            version=options.version,
            licence=options.licence,
            min_score=options.min_score,
            nms_iou=options.nms_iou,
            results=results,
            training=training,
            calibration={},
            **described,
        )
    size = (folder / f"{name}.efm").stat().st_size
    card = folder / f"model-card-{name}.md"
    card.write_text(card_of(int8, size, sum(v.numel() for v in state["weights"].values())))
    return {"bundle": str(folder / f"{name}.efm"), "bytes": size, "card": str(card)}


def _training(run: Run, source: dict[str, Any]) -> dict[str, Any]:
    """How the weights came to be, for manifest and card."""
    if source["foreign"]:
        return {"weights": f"{source['name']}, not trained in this run"}
    recipe = run.recipe
    phases = [
        f"{phase.views:,} views at {' and '.join(str(side) for side in dict.fromkeys(phase.size))} px"
        for phase in recipe.train.phases
    ]
    if recipe.pretrain.views:
        phases.insert(0, f"{recipe.pretrain.views:,} views of masked pre-training at {recipe.pretrain.size} px")
    training: dict[str, Any] = {"architecture": recipe.model.architecture, "seed": recipe.seed}
    if recipe.model.init is not None:
        training["begun from"] = recipe.model.init.name
    return training | {"phases": "; ".join(phases)}
