"""Step ``package``: the bundle with its metrics and lineage, and the model card."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from edgeface.bundle import Bundle
from quantize.bundles import make_manifest, write_bundle
from quantize.tables import FIGURES

CARD = Path(__file__).parent / "model-card.md.j2"


class LineageError(ValueError):
    """The lineage is incomplete, or names a teacher whose licence forbids what the bundle's allows."""


def read_lineage(path: Path) -> dict[str, Any]:
    """Data and teachers from a TOML file.

    Raises:
        LineageError: an entry lacks its terms or licence, or a teacher may not be used commercially.
    """
    lineage = tomllib.loads(path.read_text())
    for key, needed in (("data", ("name", "use", "terms")), ("teachers", ("name", "use", "licence", "commercial"))):
        for entry in lineage.get(key, []):
            missing = [k for k in needed if k not in entry]
            if missing:
                raise LineageError(
                    f"{key} of {path} must say {', '.join(needed)}, but got {entry.get('name', '?')} without {missing}"
                )
    forbidden = [t["name"] for t in lineage.get("teachers", []) if not t["commercial"]]
    if forbidden:
        raise LineageError(f"teachers must allow commercial use, but got {', '.join(forbidden)}")
    return {key: lineage.get(key, []) for key in ("data", "teachers")}


def package(
    draft: Path,
    out: Path,
    *,
    version: str,
    licence: str,
    lineage: dict[str, Any],
    metrics: Sequence[dict[str, Any]],
    training: dict[str, Any],
    calibration: dict[str, Any],
    min_score: float,
    nms_iou: float,
) -> Path:
    """Writes ``out/NAME.efm``: the networks of the draft bundle with all that is known of them.

    Args:
        draft: what ``export`` wrote.
        out: folder.
        metrics: results of `quantize.evaluate.evaluate` for these very networks.
        training, calibration: free text and numbers for the manifest.

    Returns:
        Path of the bundle, which the SDK has read back.
    """
    bundle = Bundle.open(draft)
    m = bundle.manifest
    manifest = make_manifest(
        m.name,
        version,
        m.models,
        {s: _array(v) for s, v in m.decode.channel_scale.items()},
        m.sizes,
        min_score=min_score,
        nms_iou=nms_iou,
        licence=licence,
        metrics={"results": list(metrics)},
        training=training,
        calibration=calibration,
        lineage=lineage,
        quality={
            "target": "similarity of face-recognition embeddings to clean photos of the same person, 0 to 1",
            "thresholds": {},
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{m.name}.efm"
    folder = draft.parent
    for file, data in bundle.files().items():
        (folder / file).write_bytes(data)
    write_bundle(path, manifest, folder)
    Bundle.open(path)
    return path


def _array(values: Sequence[float]) -> Any:
    import numpy as np

    return np.array(values, np.float32)


def write_card(bundle: Path, path: Path, parameters: int) -> None:
    """The model card of a packaged bundle."""
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    results = manifest.metrics.get("results", [])
    networks = list(dict.fromkeys(r["model"] for r in results))
    by_yaw = [
        (r["set"], r["rule"], r["model"], span, v) for r in results for span, v in r.get("pose_by_yaw", {}).items()
    ]
    by_tone = [
        (r["set"], r["rule"], r["model"], group, v) for r in results for group, v in r.get("by_tone", {}).items()
    ]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    template = environment.from_string(CARD.read_text())
    files = [(m.file, len(opened.read(m)), m.precision, m.size) for m in manifest.models]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        template.render(
            m=manifest,
            networks=networks,
            rows=_rows(results, networks),
            drawn=any("between" in r for r in results),
            by_yaw=by_yaw,
            by_tone=by_tone,
            files=files,
            parameters=parameters,
            size=bundle.stat().st_size,
        )
    )


def _rows(results: Sequence[dict[str, Any]], networks: Sequence[str]) -> list[tuple[str, str, str, list[str]]]:
    """(set, input rule, figure, what each network has of it), in the order in which they were measured."""
    measured = {(r["set"], r["rule"], r["model"]): r for r in results}
    rows = []
    for name, rule in dict.fromkeys((r["set"], r["rule"]) for r in results):
        beside = [measured.get((name, rule, network), {}) for network in networks]
        rows += [
            (name, rule, heading, [_cell(result, key) for result in beside])
            for key, heading in FIGURES.items()
            if any(result.get(key) is not None for result in beside)
        ]
    return rows


def _cell(result: dict[str, Any], key: str) -> str:
    if result.get(key) is None:
        return "–"
    if key not in result.get("between", {}):
        return f"{result[key]:.4g}"
    low, high = result["between"][key]
    return f"{result[key]:.4g} ({low:.3g} to {high:.3g})"
