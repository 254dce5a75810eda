"""Step ``package`` of edgeface-points: the bundle with its metrics and lineage, and its model card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from edgeface.bundle import Bundle, write_bundle
from edgeface.manifest import Manifest
from quantize.label.teachers import MESH
from quantize.package.bundle import measured_bundle
from quantize.package.lineage import lineage_of
from quantize.package.rendering import render
from quantize.points.config import PointsRecipe, recipe_of
from quantize.points.evaluate import DETECTOR_SIZE
from quantize.points.export import make_manifest
from quantize.points.tables import short_table, tables_by_set
from quantize.run import Run, perform

CARD = Path(__file__).with_name("points-card.md.j2")
QUANTISATION = "static, after training"


def package(run: Run) -> dict[str, Any]:
    """Writes ``NAME.efm`` and ``model-card-NAME.md``.

    Returns:
        ``bundle`` and ``card``, their paths, and ``bytes`` of the bundle.

    Raises:
        StepError: an earlier step is missing, or the networks were exported anew after step ``evaluate``.
    """
    inputs = [measured_bundle(run), run.need("evaluate", "table.json"), run.need("compress", "weights.pt")]
    return perform(run, "package", _package, inputs, ["package", "data", "label", "model", "train"])


def _package(run: Run, folder: Path) -> dict[str, Any]:
    recipe = recipe_of(run)
    name = recipe.name
    state = torch.load(run.need("compress", "weights.pt"), map_location="cpu", weights_only=True)
    results = json.loads(run.need("evaluate", "table.json").read_text())
    lineage = lineage_of(run, state["source"])
    if lineage["teachers"]:
        lineage["teachers"].append(asdict(MESH))
    draft = Bundle.open(run.need("export", f"{name}.efm"))
    manifest = make_manifest(
        name,
        recipe.package.version,
        list(draft.manifest.models),
        recipe.package.licence,
        training=_training(recipe, state) | {"quantisation": QUANTISATION},
        calibration={"faces": state["faces"], "of": "training faces", "float_layers": state["keep_float"]},
        metrics={"results": results},
        lineage=lineage,
    )
    path, card = folder / f"{name}.efm", folder / f"model-card-{name}.md"
    write_bundle(path, manifest, draft.files())
    Bundle.open(path)
    size = path.stat().st_size
    parameters = sum(v.numel() for v in state["weights"].values())
    found_by = f"{recipe.evaluate.detector} at {'x'.join(map(str, DETECTOR_SIZE))}"
    card.write_text(card_of(manifest, size, found_by, parameters))
    return {"bundle": str(path), "bytes": size, "card": str(card)}


def card_of(manifest: Manifest, size: int, detector: str, parameters: int) -> str:
    """The card as Markdown.

    Args:
        manifest: of the packaged bundle.
        size: bytes of its file.
        detector: what found the faces, and at which input.
        parameters: of the network.
    """
    results = manifest.metrics["results"]
    return render(
        CARD,
        m=manifest,
        size=size,
        detector=detector,
        parameters=parameters,
        short=short_table(results),
        tables=tables_by_set(results),
        sets=manifest.lineage["data"],
        teachers=manifest.lineage["teachers"],
    )


def _training(recipe: PointsRecipe, state: dict[str, Any]) -> dict[str, Any]:
    """How the weights came to be, for manifest and card."""
    if state["source"]["foreign"]:
        return {"weights": f"{state['source']['name']}, not trained in this run"}
    return {
        "architecture": recipe.model.architecture,
        "seed": recipe.seed,
        "phases": f"{recipe.train.views:,} views at 112 px",
    }
