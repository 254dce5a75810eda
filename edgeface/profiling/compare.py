"""Two or more reports side by side, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Any, Final

from edgeface.errors import InvalidInputError, must_be
from edgeface.profiling.measure import TOTAL
from edgeface.profiling.statistics import Ratio, compare_runs

__all__ = ["Column", "Row", "columns_of", "compare_columns"]

# Shorter stages (grab from memory) are the clock's tick, 52 ns on many boards, and the cost of asking it.
_SHORTEST_US: Final = 1.0


@dataclass(frozen=True, slots=True)
class Column:
    """One subject of one report: what the table calls it, and its entry."""

    title: str
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One stage: what is typical of each column, and each further column's ratio to the first one.

    Attributes:
        stage: name.
        typical: microseconds, a column each: geometric mean of the runs' medians, so that the ratios are those of what
            is shown; None where a column has no such stage.
        ratios: a further column each; None where one of the two has no such stage.
    """

    stage: str
    typical: tuple[float | None, ...]
    ratios: tuple[Ratio | None, ...]


def columns_of(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Column]:
    """One column a subject, in order of the files.

    Args:
        reports: name of each file, and the report.
    """
    columns = []
    for name, report in reports:
        many = len(report["subjects"]) > 1
        for entry in report["subjects"]:
            title = report["label"] or name
            columns.append(Column(f"{title}: {entry['key']}" if many else title, entry))
    titles = [column.title for column in columns]
    return [
        Column(f"{column.title} ({i + 1})" if titles.count(column.title) > 1 else column.title, column.entry)
        for i, column in enumerate(columns)
    ]


def compare_columns(
    columns: Sequence[Column], *, allow_different: bool = False, confidence: float = 0.95, seed: int = 0
) -> list[Row]:
    """Compare every further column with the first one, stage by stage.

    The confidence holds for the whole table: each of its m comparisons is made at 1 − (1 − confidence) / m
    (Bonferroni), so that a table of chance differences names none of them significant, 19 times out of 20.

    Args:
        columns: at least two.
        allow_different: compare although the networks or their input sizes are not the same.
        confidence: of the whole table.
        seed: of the bootstrap.

    Raises:
        InvalidInputError: fewer than two columns, or different networks or sizes without `allow_different`.
    """
    if len(columns) < 2:
        raise must_be("reports", "at least two subjects to compare", len(columns))
    if not allow_different:
        _check_same(columns)
    stages = [s for s in columns[0].entry["summary"] if s != TOTAL]
    for column in columns[1:]:
        stages += [s for s in column.entry["summary"] if s not in stages and s != TOTAL]
    stages.append(TOTAL)
    pairs = sum(len(list(_common(columns, stage))) for stage in stages)
    each = 1 - (1 - confidence) / max(pairs, 1)
    first = columns[0].entry
    rows = []
    for stage in stages:
        comparable = set(_common(columns, stage))
        ratios = [
            compare_runs(_runs(first, stage), _runs(column.entry, stage), confidence=each, seed=seed)
            if i in comparable
            else None
            for i, column in enumerate(columns[1:])
        ]
        rows.append(Row(stage, tuple(_typical(column.entry, stage) for column in columns), tuple(ratios)))
    return rows


def _typical(entry: Mapping[str, Any], stage: str) -> float | None:
    if stage not in entry["summary"]:
        return None
    if not _long_enough(entry, stage):
        return float(entry["summary"][stage]["median"])
    return geometric_mean(median(run) for run in _runs(entry, stage))


def _common(columns: Sequence[Column], stage: str) -> Iterator[int]:
    """Indices of the further columns that have a stage that is long enough, if the first one has it too."""
    if _long_enough(columns[0].entry, stage):
        yield from (i for i, column in enumerate(columns[1:]) if _long_enough(column.entry, stage))


def _long_enough(entry: Mapping[str, Any], stage: str) -> bool:
    return stage in entry["summary"] and all(_measurable(run) for run in _runs(entry, stage))


def _measurable(run: Sequence[float]) -> bool:
    return len(run) > 0 and sorted(run)[(len(run) - 1) // 2] >= _SHORTEST_US


def _runs(entry: Mapping[str, Any], stage: str) -> list[list[float]]:
    return [run["stages"].get(stage, []) for run in entry["runs"]]


def _check_same(columns: Sequence[Column]) -> None:
    first = columns[0]
    for column in columns[1:]:
        for key, what in (("sha256", "networks"), ("size", "input sizes")):
            a, b = first.entry["info"][key], column.entry["info"][key]
            if a != b:
                shown = (a[:12], b[:12]) if key == "sha256" else (a, b)
                raise InvalidInputError(
                    f"{what} must be the same in {first.title} and {column.title}, but got {shown[0]} and {shown[1]} "
                    "(--allow-different compares them all the same)"
                )
