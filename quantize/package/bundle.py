"""The bundle that ships: the networks of a draft with all that is known of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle import Bundle
from edgeface.bundle import write_bundle as write
from quantize.models.bundles import make_manifest
from quantize.run import Run, StepError


def measured_bundle(run: Run) -> Path:
    """The bundle of step ``export``, if it is the one that step ``evaluate`` measured.

    Raises:
        StepError: it is not, or one of both steps is missing.
    """
    bundle = run.need("export", f"{run.recipe.name}.efm")
    evaluated = json.loads(run.need("evaluate", "done.json").read_text())["result"]  # a broken budget leaves none
    if evaluated["sha256"] != hashlib.sha256(bundle.read_bytes()).hexdigest():
        raise StepError(f"evaluate must have measured {bundle}, but measured another one: run step `evaluate` again")
    return bundle


def complete(
    draft: Path,
    path: Path,
    *,
    version: str,
    licence: str,
    min_score: float,
    nms_iou: float,
    results: Sequence[dict[str, Any]],
    **described: dict[str, Any],
) -> Bundle:
    """Writes ``path`` and reads it back.

    Args:
        draft: what step ``export`` wrote.
        path: the bundle, ``NAME.efm``.
        version, licence: as they are to stand in the manifest.
        min_score, nms_iou: the defaults of whoever runs it.
        results: of step ``evaluate``; those of this draft's networks are kept.
        described: ``training``, ``calibration``, ``lineage`` and ``quality`` of the manifest.
    """
    bundle = Bundle.open(draft)
    m = bundle.manifest
    manifest = make_manifest(
        m.name,
        version,
        m.models,
        {s: np.array(v, np.float32) for s, v in m.decode.channel_scale.items()},
        m.sizes,
        min_score=min_score,
        nms_iou=nms_iou,
        licence=licence,
        metrics={"results": [r for r in results if r["model"].startswith(f"{m.name} ")]},
        **described,
    )
    write(path, manifest, bundle.files())
    return Bundle.open(path)
