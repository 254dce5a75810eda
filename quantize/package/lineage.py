"""The lineage of a bundle: the data, teachers and checkpoints that its run used, as the recipe states them."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from quantize.config import TrainOptions
from quantize.data.sample import read_samples
from quantize.label.teachers import asked
from quantize.run import Run

CALIBRATION = "calibration of int8"


def lineage_of(run: Run, source: dict[str, Any]) -> dict[str, Any]:
    """What went into the weights.

    Args:
        run: whose recipe and data are described.
        source: of the checkpoint that step ``compress`` took: ``name``, ``sha256``, ``foreign``.

    Returns:
        ``data``: ``name``, ``photos``, ``use``, ``origin``, ``terms`` of each set that gave photos. ``teachers``:
        ``name``, ``use``, ``licence``, ``source``. ``checkpoints``: ``name``, ``sha256``, ``use``. Of weights that were
        not trained in this run the sets were used for calibration alone, and no teacher is theirs.
    """
    trained = not source["foreign"]
    data = _data(run, trained)
    teachers = asked(run.recipe.label) if trained else []
    return {"data": data, "teachers": teachers, "checkpoints": _checkpoints(run, source)}


def _data(run: Run, trained: bool) -> list[dict[str, Any]]:
    files = [run.need("data", "samples.jsonl"), *([run.need("data", "dev.jsonl")] if trained else [])]
    photos = Counter(s.source for file in files for s in read_samples(file))
    return [
        {
            "name": s.name,
            "photos": photos[s.name],
            "use": f"{s.use}, {CALIBRATION}" if trained else CALIBRATION,
            "origin": s.origin,
            "terms": s.terms,
        }
        for s in run.recipe.data.sets
        if photos[s.name]
    ]


def _checkpoints(run: Run, source: dict[str, Any]) -> list[dict[str, str]]:
    if source["foreign"]:
        used: list[tuple[Path | None, str]] = []
        first = [{"name": source["name"], "sha256": source["sha256"], "use": "the weights, trained elsewhere"}]
    else:
        methods = run.recipe.train.methods
        used = [
            (run.recipe.model.init, "training began with its weights"),
            (methods.tough_teacher, "teacher of landmarks (KD-Loss)"),
            (methods.tolerant_teacher, "teacher of landmarks (KD-Loss)"),
        ]
        if isinstance(run.recipe.train, TrainOptions):  # of detectors, not of points
            used.append((run.recipe.train.mimic.detector, "its features were mimicked in training"))
        first = []
    return first + [
        {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "use": use}
        for path, use in used
        if path is not None and path.is_file()
    ]
