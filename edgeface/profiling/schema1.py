"""Reports of schema 1, whose times are microseconds, as documents of schema 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["OLD_SCHEMA_PATH", "from_schema_1"]

OLD_SCHEMA_PATH: Final = Path(__file__).with_name("report-1.schema.json")


def from_schema_1(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same measurements with today's keys.

    Args:
        document: fits ``report-1.schema.json``.

    Returns:
        A new document that fits ``report.schema.json``.
    """
    new = {**document, "schema": 2, "subjects": [_subject(entry) for entry in document["subjects"]]}
    if "memory" in document:
        new["memory"] = {f"{when}_bytes": value for when, value in document["memory"].items()}
    if "affinity" in document:
        new["affinity"] = [_renamed(cell, "median", "p95") for cell in document["affinity"]]
    return new


def _subject(entry: Mapping[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in entry.items() if key not in ("open_us", "first")}
    new["open_ms"] = _ms(entry["open_us"])
    new["first_ms"] = {stage: _ms(times) for stage, times in entry["first"].items()}
    new["summary"] = {
        stage: _renamed(summary, *(summary.keys() - {"n"})) for stage, summary in entry["summary"].items()
    }
    new["runs"] = [
        {**_without(run, "stages"), "stages_ms": {stage: _ms(times) for stage, times in run["stages"].items()}}
        for run in entry["runs"]
    ]
    new["layers"] = [
        {**_without(layer, "microseconds"), "time_ms": _ms(layer["microseconds"])} for layer in entry["layers"]
    ]
    return new


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _renamed(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A mapping whose keys' times are milliseconds, and say so."""
    return {f"{key}_ms" if key in keys else key: _ms(value) if key in keys else value for key, value in mapping.items()}


def _ms(microseconds: Any) -> Any:
    if isinstance(microseconds, list):
        return [_ms(value) for value in microseconds]
    return None if microseconds is None else round(microseconds / 1000, 6)
