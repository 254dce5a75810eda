"""Step ``evaluate`` of edgeface-points: int8, float32 and the peers on the dev split and on the held-out sets."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.compress.control import BudgetError
from quantize.data.detections import Found
from quantize.data.photos import every_nth
from quantize.data.readers import read_set
from quantize.data.sample import Sample, read_samples
from quantize.points.collect import Measured, Peer, collect
from quantize.points.config import PointsRecipe, recipe_of
from quantize.points.curves import draw_ced
from quantize.points.figures import Figures, figures_of, peer_figures
from quantize.points.mean_face import VERTICES
from quantize.points.networks import Predictor, of_ncnn, of_onnx
from quantize.points.tables import markdown
from quantize.run import Run, perform

SETS = ("afw", "aflw2000", "mask_web")
"""Held-out sets that have points or masks."""
PEERS = {"mesh": "MediaPipe mesh", "tddfa": "3DDFA", "peppa": "Peppa"}
DETECTOR_SIZE = (480, 480)
LEAST_FACES = 100
"""Faces from which a budget is judged."""


def evaluate(run: Run) -> dict[str, Any]:
    """Measures the draft bundle: on the dev split always, on ``evaluate.sets`` where there are such.

    Returns:
        ``table``, its path, and the ``sha256`` of the bundle that was measured.

    Raises:
        StepError: an earlier step is missing.
        BudgetError: int8 loses more than ``compress.budget.nme`` on a set of 100 faces or more.
    """
    inputs = [run.need("export", f"{run.recipe.name}.efm"), run.need("label", "dev.jsonl")]
    return perform(run, "evaluate", _evaluate, inputs, ["evaluate"])


def _evaluate(run: Run, folder: Path) -> dict[str, Any]:
    recipe = recipe_of(run)
    networks = _networks(run, recipe)
    sha256 = hashlib.sha256(run.need("export", f"{recipe.name}.efm").read_bytes()).hexdigest()
    detect, peers = detector_of(recipe.evaluate.detector), _peers(recipe)
    results = _begun(folder, sha256)
    opened = recipe.evaluate.sets is not None and recipe.evaluate.sets.is_dir()
    try:
        for name, samples in _sets(run, recipe):
            if name in results:  # before an interruption
                continue
            faces = collect(samples, detect, peers, boxes=name in ("dev", "afw"))
            results[name], curves = _of_set(faces, networks)
            if curves:
                draw_ced(curves, folder / f"ced-{name}.png", f"68 points, {name}")
            (folder / "table.json").write_text(json.dumps(results, indent=1))
            (folder / "table.md").write_text(markdown(results))
    finally:
        if opened and recipe.evaluate.ledger is not None:
            record(recipe.evaluate.ledger, recipe.name, sha256, results)
    if broken := over_budget(results, recipe.compress.budget.nme):
        raise BudgetError(f"int8 broke its budget: {'; '.join(broken)}")
    return {"table": str(folder / "table.md"), "sha256": sha256}


def _begun(folder: Path, sha256: str) -> dict[str, dict[str, Figures]]:
    """What an interrupted evaluation of the same bundle has measured already, a set each."""
    table, measured = folder / "table.json", folder / "measured.json"
    done: dict[str, dict[str, Figures]] = {}
    if table.is_file() and measured.is_file() and json.loads(measured.read_text())["sha256"] == sha256:
        done = json.loads(table.read_text())
    else:
        table.unlink(missing_ok=True)
    measured.write_text(json.dumps({"sha256": sha256}))
    return done


def _of_set(
    faces: list[Measured], networks: dict[str, Predictor]
) -> tuple[dict[str, Figures], dict[str, NDArray[np.float64]]]:
    """Figures by network, the peers among them, and the errors of found faces for the curves."""
    figures: dict[str, Figures] = {}
    curves: dict[str, NDArray[np.float64]] = {}
    for name, predict in networks.items():
        figures[name], errors = figures_of(faces, predict, full="int8" in name and "onnx" in name)
        if "found" in errors:
            curves[name] = errors["found"]
    peers = peer_figures(faces)
    return figures | {"peers": peers} if peers else figures, curves


def _networks(run: Run, recipe: PointsRecipe) -> dict[str, Predictor]:
    folder, name = run.path("export"), recipe.name
    networks = {
        "onnx int8": of_onnx(folder / f"{name}-int8.onnx"),
        "onnx float32": of_onnx(folder / f"{name}-float32.onnx"),
    }
    if "ncnn" in recipe.evaluate.runtimes:
        networks["ncnn int8"] = of_ncnn(folder / f"{name}-int8.param", folder / f"{name}-int8.bin", int8=True)
        networks["ncnn float32"] = of_ncnn(folder / f"{name}-float32.param", folder / f"{name}-float32.bin")
    return networks


def detector_of(bundle: str) -> Callable[[NDArray[np.uint8]], Found]:
    """Photos, BGR, to finds of the first network, given by name or path."""
    from edgeface import FaceEngine

    engine = FaceEngine(bundle, runtime="onnxruntime", size=DETECTOR_SIZE, min_score=0.3, warmup=False)
    return lambda image: Found.of(engine.detect(image, "bgr"))


def _peers(recipe: PointsRecipe) -> dict[str, Peer]:
    folder = recipe.evaluate.teachers
    if folder is None:
        return {}
    return {PEERS[name]: _peer(name, folder) for name in recipe.evaluate.peers}


def _peer(name: str, folder: Path) -> Peer:
    if name == "mesh":
        from quantize.label.mesh import FaceMesh

        mesh = FaceMesh(folder)
        return lambda image, box, five: mesh(image, box, five[:2])[list(VERTICES), :2]
    if name == "tddfa":
        from quantize.label.tddfa import Tddfa

        tddfa = Tddfa(folder)
        return lambda image, box, five: tddfa(image, box[None])[0][0]
    from quantize.label.peppa import Peppa

    peppa = Peppa(folder)
    return lambda image, box, five: peppa(image, box)


def _sets(run: Run, recipe: PointsRecipe) -> Iterator[tuple[str, list[Sample]]]:
    kinds = ("points68", "label")
    everything = read_samples(run.need("label", "dev.jsonl"))
    dev = [s for s in everything if any(f.extra.get(kind) for f in s.faces for kind in kinds)]
    if dev:
        yield "dev", dev
    for name in SETS:
        path = recipe.evaluate.sets / name if recipe.evaluate.sets else None
        if path is not None and path.is_dir():
            samples = read_set("jsonl", path, name)[0]
            yield name, every_nth(samples, recipe.evaluate.photos) if recipe.evaluate.photos else samples


def over_budget(results: dict[str, dict[str, Figures]], most: float) -> list[str]:
    """A sentence for each set and crop on which the int8 network errs too much more than its float network."""
    broken = []
    for name, by_network in results.items():
        for int8, figures in by_network.items():
            full = by_network.get(int8.replace("int8", "float32"))
            if full is None or "int8" not in int8:
                continue
            for trial in ("true", "found"):
                a, b = figures.get(trial, {}), full.get(trial, {})
                if not a.get("nme_eyes") or not b.get("nme_eyes") or b["faces"] < LEAST_FACES:
                    continue
                loss = a["nme_eyes"] / b["nme_eyes"] - 1
                if loss > most:
                    broken.append(f"{int8} on {name}, {trial} crops, must lose at most {most:g}, but got {loss:.4f}")
    return broken


def record(ledger: Path, recipe: str, sha256: str, results: dict[str, dict[str, Figures]]) -> None:
    """Appends a line of the held-out sets' main figures, as `quantize.evaluate.ledger` does for the detectors."""
    figures = {
        f"{network}, {name}, {trial} crops": {
            k: by[trial][k] for k in ("nme_eyes", "nme_box", "missed") if k in by[trial]
        }
        for name, networks in results.items()
        if name != "dev"
        for network, by in networks.items()
        for trial in ("true", "found")
        if "int8" in network and trial in by
    }
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a") as f:
        f.write(json.dumps({"date": date, "recipe": recipe, "sha256": sha256, "figures": figures}) + "\n")
