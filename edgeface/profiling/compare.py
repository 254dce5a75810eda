"""Two or more reports side by side, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median
from typing import Any, Final

from edgeface.errors import InvalidInputError, must_be
from edgeface.profiling.measure import TOTAL
from edgeface.profiling.statistics import Ratio, compare_runs

__all__ = ["Column", "Group", "Row", "columns_of", "compare_groups", "groups_of"]

# Shorter stages (grab from memory) are the clock's tick, 52 ns on many boards, and the cost of asking it.
_SHORTEST_MS: Final = 0.001


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
        typical: milliseconds, a column each: geometric mean of the runs' medians, so that the ratios are those of what
            is shown; None where a column has no such stage.
        ratios: a further column each; None where one of the two has no such stage.
    """

    stage: str
    typical: tuple[float | None, ...]
    ratios: tuple[Ratio | None, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that are compared with each other; `key` is the configuration that they share, or "" for a lone group."""

    key: str
    columns: tuple[Column, ...]


def groups_of(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Group]:
    """What is compared with what: each configuration of the first report with the same one of the others.

    One report's configurations are compared with its first one, and so are reports of one configuration each.

    Args:
        reports: name of each file, and the report.

    Raises:
        InvalidInputError: several reports of several configurations, none of which is in the first one and another.
    """
    if len(reports) == 1 or all(len(report["subjects"]) == 1 for _, report in reports):
        return [Group("", tuple(columns_of(reports)))]
    first, *others = [_titled(reports, i) for i in range(len(reports))]
    groups = [
        Group(key, (column, *(other[key] for other in others if key in other)))
        for key, column in first.items()
        if any(key in other for other in others)
    ]
    if not groups:
        keys = " and ".join(", ".join(report) for report in (first, *others))
        raise must_be("reports", "of configurations that the first one and another share", keys)
    return groups


def _titled(reports: Sequence[tuple[str, Mapping[str, Any]]], index: int) -> dict[str, Column]:
    """The columns of one report by configuration; reports of the same label are told apart by their numbers."""
    titles = [report["label"] or name for name, report in reports]
    title = titles[index]
    title += f" ({titles[: index + 1].count(title)})" if titles.count(title) > 1 else ""
    return {entry["key"]: Column(title, entry) for entry in reports[index][1]["subjects"]}


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


def compare_groups(
    groups: Sequence[Group], *, allow_different: bool = False, confidence: float = 0.95, seed: int = 0
) -> list[list[Row]]:
    """Compare every further column of a group with its first one, stage by stage.

    The confidence holds for all groups together: each of the m comparisons is made at 1 − (1 − confidence) / m
    (Bonferroni), so that chance differences are all named none, 19 times out of 20.

    Args:
        groups: each of at least two columns.
        allow_different: compare although the networks or their input sizes are not the same.
        confidence: of all groups together.
        seed: of the bootstrap.

    Returns:
        The rows of each group, the stage "total" last.

    Raises:
        InvalidInputError: fewer than two columns, or different networks or sizes without `allow_different`.
    """
    for group in groups:
        if len(group.columns) < 2:
            raise must_be("reports", "at least two subjects to compare", len(group.columns))
        if not allow_different:
            _check_same(group.columns)
    pairs = sum(len(list(_common(group.columns, stage))) for group in groups for stage in _stages(group.columns))
    each = 1 - (1 - confidence) / max(pairs, 1)
    return [_rows(group.columns, each, seed) for group in groups]


def _stages(columns: Sequence[Column]) -> list[str]:
    """Those of any column in order, the whole frame last."""
    return [*dict.fromkeys(s for column in columns for s in column.entry["summary"] if s != TOTAL), TOTAL]


def _rows(columns: Sequence[Column], each: float, seed: int) -> list[Row]:
    first = columns[0].entry
    rows = []
    for stage in _stages(columns):
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
        return float(entry["summary"][stage]["median_ms"])
    return geometric_mean(median(run) for run in _runs(entry, stage))


def _common(columns: Sequence[Column], stage: str) -> Iterator[int]:
    """Indices of the further columns that have a stage that is long enough, if the first one has it too."""
    if _long_enough(columns[0].entry, stage):
        yield from (i for i, column in enumerate(columns[1:]) if _long_enough(column.entry, stage))


def _long_enough(entry: Mapping[str, Any], stage: str) -> bool:
    return stage in entry["summary"] and all(_measurable(run) for run in _runs(entry, stage))


def _measurable(run: Sequence[float]) -> bool:
    return len(run) > 0 and sorted(run)[(len(run) - 1) // 2] >= _SHORTEST_MS


def _runs(entry: Mapping[str, Any], stage: str) -> list[list[float]]:
    return [run["stages_ms"].get(stage, []) for run in entry["runs"]]


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
