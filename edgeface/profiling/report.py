"""Reports: from measurements to a document of ``report.schema.json``, and back from a file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edgeface._compat import UTC
from edgeface.boards import Host, recognise
from edgeface.boards.schemas import check
from edgeface.errors import must_be
from edgeface.files import write_whole
from edgeface.profiling.layers import Layer
from edgeface.profiling.measure import TOTAL, Run
from edgeface.profiling.schema1 import OLD_SCHEMA_PATH, from_schema_1
from edgeface.profiling.sensors import Missing, Monitor
from edgeface.profiling.statistics import summarise
from edgeface.profiling.subjects import Config, EngineSubject
from edgeface.reading import check_output, read_bounded

__all__ = ["SCHEMA", "SCHEMA_PATH", "build_report", "check_reports", "read_report", "subject_entry", "write_report"]

SCHEMA: Final = 2
MAX_BYTES: Final = 256 << 20  # ten minutes at 100 frames a second are 20 MB
SCHEMA_PATH: Final = Path(__file__).with_name("report.schema.json")
#: Order in which stages are shown; others come after them.
STAGES: Final = ("grab", "preprocess", "infer", "decode", "track", "points", TOTAL)

_PACKAGES = ("edgeface", "numpy", "ncnn", "onnxruntime", "ai-edge-litert", "tflite-runtime", "opencv-python-headless")


def describe_host(host: Host) -> dict[str, Any]:
    """Where the measurement was made."""
    from edgeface import _core

    here = recognise(host)
    return {
        "board": None if here is None else here.board.name,
        "model": host.model,
        "machine": platform.machine(),
        "clusters": host.clusters(),
        "governors": {policy.name: policy.governor for policy in host.policies()},
        "os": host.operating_system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(),
        "isa": str(_core.isa()),
        "cpus_allowed": sorted(os.sched_getaffinity(0)),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def subject_entry(
    subject: EngineSubject,
    runs: Sequence[Run],
    layers: Sequence[Layer] = (),
    layers_missing: str | None = "not asked for",
) -> dict[str, Any]:
    """The entry of one subject: its runs, and the summary over all of them."""
    stages = _ordered(runs[0].stages)
    frames = sum(run.frames for run in runs)
    energies = [run.joules for run in runs]
    known = [energy for energy in energies if energy is not None]
    return {
        "key": subject.key,
        "info": {**subject.info, "size": list(subject.info["size"])},
        "cpus": None if subject.config.cpus is None else list(subject.config.cpus),
        "track": subject.config.track,
        "faces_per_frame": subject.faces / max(subject.frames, 1),
        "described_per_frame": subject.described / max(subject.frames, 1),
        "frames_per_second": frames * 1e9 / sum(run.elapsed_ns for run in runs),
        "joules_per_frame": sum(known) / frames if len(known) == len(energies) else None,
        "open_ms": [_ms(run.open_ns) for run in runs],
        "first_ms": {stage: [_ms(run.first.get(stage, 0)) for run in runs] for stage in _ordered(runs[0].first)},
        "summary": {
            stage: _with_unit(summarise([ns / 1e6 for run in runs for ns in run.stages.get(stage, ())]))
            for stage in stages
        },
        "runs": [
            {
                "number": run.number,
                "started_s": round(run.started_ns / 1e9, 3),
                "elapsed_s": round(run.elapsed_ns / 1e9, 6),
                "joules": run.joules,
                "stages_ms": {stage: [_ms(ns) for ns in run.stages.get(stage, ())] for stage in stages},
            }
            for run in runs
        ],
        "layers": [
            {"name": layer.name, "operator": layer.operator, "time_ms": round(layer.microseconds / 1000, 4)}
            for layer in layers
        ],
        "layers_missing": None if layers else layers_missing,
    }


def build_report(
    kind: str,
    *,
    host: Host,
    label: str,
    settings: Mapping[str, Any],
    subjects: Iterable[Mapping[str, Any]],
    skipped: Iterable[tuple[Config, str]] = (),
    monitor: Monitor | None = None,
    missing: Iterable[Missing] = (),
    warnings: Iterable[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """The whole document, checked against its schema."""
    import edgeface

    channels = [] if monitor is None else monitor.channels
    parts = {
        "schema": SCHEMA,
        "kind": kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sdk": edgeface.__version__,
        "label": label,
        "host": describe_host(host),
        "settings": dict(settings),
        "subjects": [dict(subject) for subject in subjects],
        "skipped": [
            {"config": {name: getattr(config, name) for name in config.__slots__}, "reason": reason}
            for config, reason in skipped
        ],
        "timeline": {
            "seconds": [] if monitor is None else [round(second, 3) for second in monitor.seconds],
            "channels": [
                {"name": c.name, "unit": c.unit, "values": [None if v is None else round(v, 3) for v in c.values]}
                for c in channels
            ],
        },
        "missing": [{"sensor": item.sensor, "reason": item.reason} for item in missing],
        "warnings": list(warnings),
        **more,
    }
    document: dict[str, Any] = json.loads(json.dumps(parts))  # tuples become lists, as they will in the file
    check(document, SCHEMA_PATH, "report")
    return document


def check_reports(paths: Iterable[Path], inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse before minutes of measuring what could not be written after them.

    Args:
        paths: of the reports to write.
        inputs: files that are read, which must not be replaced.

    Raises:
        InvalidInputError: one of the inputs, a folder, or in a folder that takes no files.
    """
    inputs = list(inputs)
    for path in paths:
        check_output("--out", path, inputs)
        # of os.path and not of Path, which raises where a folder above must not be entered
        there = os.path.exists(path)  # noqa: PTH110
        fits = not os.path.isdir(path) if there else os.path.isdir(path.parent)  # noqa: PTH112
        if not fits or not os.access(path if there else path.parent, os.W_OK):
            raise must_be("--out", "a file that can be written", path)


def write_report(document: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON, or as one HTML file if the name ends in .html.

    Raises:
        InvalidInputError: the file cannot be written.
    """
    if path.suffix.lower() in (".html", ".htm"):
        from edgeface.profiling.html import render_report

        text = render_report(document)
    else:
        text = json.dumps(document, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise must_be("report", "a file that can be written", f"{path}: {error.strerror}") from None


def read_report(path: Path) -> dict[str, Any]:
    """Read and check a report; one of schema 1 comes back as one of schema 2.

    Raises:
        InvalidInputError: not there, not JSON, of a newer schema, or not a report.
    """
    try:
        document = json.loads(read_bounded(path, MAX_BYTES))
        json.dumps(document, ensure_ascii=False).encode()  # halves of characters can be read, but not written
    except OSError as error:
        raise must_be("report", "a file that can be read", f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise must_be("report", "JSON", f"{path}: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("schema"), int) and document["schema"] > SCHEMA:
        raise must_be(f"schema of {path}", f"at most {SCHEMA}", f"{document['schema']}: update edgeface")
    if isinstance(document, dict) and document.get("schema") == 1:
        check(document, OLD_SCHEMA_PATH, str(path))
        document = from_schema_1(document)
    check(document, SCHEMA_PATH, str(path))
    result: dict[str, Any] = document
    return result


def _ordered(stages: Iterable[str]) -> list[str]:
    names = list(stages)
    return [s for s in STAGES if s in names and s != TOTAL] + [s for s in names if s not in STAGES] + [TOTAL]


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 4)


def _with_unit(summary_ms: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    return {
        "n" if name == "n" else f"{name}_ms": round(value, 5) if isinstance(value, float) else value
        for name, value in summary_ms.items()
    }
