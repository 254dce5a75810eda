"""Reports and comparisons as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from edgeface.profiling.measure import TOTAL
from edgeface.profiling.svg import Series, bars, lines
from edgeface.profiling.times import milliseconds

if TYPE_CHECKING:
    from edgeface.profiling.compare import Column, Group, Row

__all__ = ["render_compare", "render_report"]

_MOST_POINTS = 1500  # of a plot: more only make the file large
_MOST_LAYERS = 25
#: Percent. Two processes that do the same differ by one or two: where their memory lies is chance too.
MATTERS = 3.0


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of a table's cell, and how it is shown: "", "text", "group", "slower", "faster" or "same"."""

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Heads, and rows of cells; a row of one cell goes across the whole table."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(slots=True)
class Section:
    """A heading with what comes below it. `plot` is ready-made SVG; everything else is escaped by the template."""

    title: str
    text: str = ""
    table: Table | None = None
    plot: str = field(default="")


def render_report(report: Mapping[str, Any]) -> str:
    """The page of one `report.schema.json` document."""
    host = report["host"]
    where = host["board"] or host["model"] or host["machine"]
    settings = report["settings"]
    subjects = report["subjects"]
    sections = [_latency_section(subjects), _throughput_section(subjects)]
    sections += [_over_time(subjects), _distribution(subjects)]
    sections += _timeline_sections(report["timeline"])
    if report.get("affinity"):
        sections.append(_affinity_section(report["affinity"]))
    sections += [_layer_section(subject) for subject in subjects if subject["layers"]]
    if report.get("memory"):
        rows = [
            [Cell(name.removesuffix("_bytes")), Cell(_megabytes(value))] for name, value in report["memory"].items()
        ]
        sections.append(Section("Memory of the process", table=Table(["", "resident MB"], rows)))
    sections.append(_machine_section(report))
    return _page(
        f"edgeface {report['kind']}: {report['label'] or where}",
        f"{where}, {host['os']}, {report['created']}; {settings['frames']}; {settings['duration_s']:g} s each in "
        f"{settings['runs']} interleaved runs",
        report["warnings"],
        sections,
        report["created"],
    )


def render_compare(
    groups: Sequence[Group], rows: Sequence[Sequence[Row]], created: str, confidence: float = 0.95
) -> str:
    """The page of a comparison: `rows` of each group; *confidence* is that of all rows together."""
    sections = []
    for group, its_rows in zip(groups, rows, strict=True):
        sections.append(Section(group.key or "Stages", table=_compare_table(group.columns, its_rows)))
        sections.append(_distribution([_renamed(column) for column in group.columns]))
    sections[0].text = (
        "Geometric mean of the runs' medians; ratio to the first row of a stage, with its interval from a bootstrap "
        f"over runs. The intervals' confidence is {confidence:.4g} for the whole page."
    )
    columns = dict.fromkeys(c.title for group in groups for c in group.columns)
    infos = [
        [Cell(group.key or c.title, "text"), *[Cell(_fact(c.entry["info"].get(k)), "text") for k in _INFO]]
        for group in groups
        for c in (group.columns if not group.key else group.columns[:1])
    ]
    sections.append(Section("What was compared", table=Table(["", *(key.replace("_", " ") for key in _INFO)], infos)))
    first, *others = columns
    return _page("edgeface compare", f"{', '.join(others)} against {first}", [], sections, created)


def _compare_table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """A row a column of the comparison, so that six of them fit on a screen."""
    cells = []
    for row in rows:
        for i, (column, typical) in enumerate(zip(columns, row.typical, strict=True)):
            ratio = row.ratios[i - 1] if i else None
            line = [Cell(row.stage if i == 0 else ""), Cell(column.title, "text"), Cell(milliseconds(typical))]
            if ratio is not None:
                line += [Cell(f"{ratio.ratio:.3f}"), Cell(interval(ratio) or "–"), Cell(*verdict(ratio))]
            else:
                line += [Cell(""), Cell(""), Cell(unjudged(row, i), "same")]
            cells.append(line)
    return Table(["stage", "report", "ms", "ratio", "interval", "verdict"], cells)


def interval(ratio: Any) -> str:
    """The interval of a `Ratio`; "" where there is none. An end above 100 says only that hardly anything is known."""
    if ratio.low is None:
        return ""
    return "–".join(f"{end:.3f}" if end <= 100 else ">100" for end in (ratio.low, ratio.high))


def unjudged(row: Row, column: int) -> str:
    """Why a column of a row has no ratio: "" for the first one, and where a side has no such stage."""
    both = column > 0 and row.typical[column] is not None and row.typical[0] is not None
    return "too short to judge" if both else ""


_INFO = ("model", "sha256", "precision", "size", "runtime", "runtime_version", "threads")


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    return str(value)[:16] if isinstance(value, str) and len(value) == 64 else str(value)


def verdict(ratio: Any) -> tuple[str, str]:
    """Words and style for one `Ratio`."""
    if ratio.significant is None:
        return "too few runs", "same"
    percent = abs(ratio.ratio - 1) * 100
    if not ratio.significant:
        return "no difference seen", "same"
    if percent < MATTERS:
        return f"differs by less than {MATTERS:g} %", "same"
    return (f"slower by {percent:.1f} %", "slower") if ratio.ratio > 1 else (f"faster by {percent:.1f} %", "faster")


def _page(title: str, subtitle: str, warnings: Sequence[str], sections: Sequence[Section], created: str) -> str:
    import jinja2
    from markupsafe import Markup

    import edgeface

    for section in sections:
        section.plot = Markup(section.plot)  # made by svg.py, which escapes every name
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        title=title, subtitle=subtitle, warnings=warnings, sections=sections, sdk=edgeface.__version__, created=created
    )


def _latency_section(subjects: Sequence[Mapping[str, Any]]) -> Section:
    head = ["stage", "median", "MAD", "mode", "P90", "P95", "P99", "P99.9", "max", "n"]
    rows: list[list[Cell]] = []
    for subject in subjects:
        rows.append([Cell(subject["key"], "group")])
        for stage, s in subject["summary"].items():
            values = [s[f"{name}_ms"] for name in ("median", "mad", "mode", "p90", "p95", "p99", "p999", "max")]
            rows.append([Cell(stage), *[Cell(milliseconds(v)) for v in values], Cell(str(s["n"]))])
    return Section("Latency by stage, milliseconds", table=Table(head, rows))


def _throughput_section(subjects: Sequence[Mapping[str, Any]]) -> Section:
    head = ["", "frames/s", "opening ms", "first frame ms", "faces a frame", "mJ a frame"]
    rows = []
    for subject in subjects:
        energy = subject["joules_per_frame"]
        cells = [
            subject["key"],
            f"{subject['frames_per_second']:.1f}",
            milliseconds(median(subject["open_ms"])),
            milliseconds(median(subject["first_ms"][TOTAL])),
            f"{subject['faces_per_frame']:.1f}",
            "–" if energy is None else f"{energy * 1000:.2f}",
        ]
        rows.append([Cell(text) for text in cells])
    return Section("Throughput and start-up", "Medians of the runs.", Table(head, rows))


def _totals(subject: Mapping[str, Any]) -> list[float]:
    return [value for run in subject["runs"] for value in run["stages_ms"][TOTAL]]


def _over_time(subjects: Sequence[Mapping[str, Any]]) -> Section:
    series = []
    for subject in subjects:
        x: list[float] = []
        y: list[float | None] = []
        for run in subject["runs"]:
            clock = run["started_s"]
            step = max(1, len(_totals(subject)) // _MOST_POINTS)
            for i, value in enumerate(run["stages_ms"][TOTAL]):
                clock += value / 1000
                if i % step == 0:
                    x.append(clock)
                    y.append(value)
        series.append(Series(subject["key"], x, y, points=True))
    return Section("Every frame over time", plot=lines(series, "seconds", "ms a frame", log=True))


def _distribution(subjects: Sequence[Mapping[str, Any]]) -> Section:
    series = []
    for subject in subjects:
        values = sorted(_totals(subject))
        picks = sorted({round(i * (len(values) - 1) / 200) for i in range(201)})
        x = [i / max(len(values) - 1, 1) * 100 for i in picks]
        series.append(Series(subject["key"], x, [values[i] for i in picks]))
    return Section("Distribution", plot=lines(series, "percentile", "ms a frame", log=True))


def _timeline_sections(timeline: Mapping[str, Any]) -> list[Section]:
    units: dict[str, list[Any]] = {}
    for channel in timeline["channels"]:
        units.setdefault(channel["unit"], []).append(channel)
    sections = []
    seconds = timeline["seconds"]
    for unit, channels in units.items():
        step = max(1, len(seconds) // _MOST_POINTS)
        series = [Series(c["name"], seconds[::step], c["values"][::step]) for c in channels]
        names = ", ".join(dict.fromkeys(c["name"].split(" ")[0] for c in channels))
        sections.append(Section(f"{names} over time".capitalize(), plot=lines(series, "seconds", unit)))
    return sections


def _affinity_section(matrix: Sequence[Mapping[str, Any]]) -> Section:
    threads = sorted({item["threads"] for item in matrix})
    sets = list(dict.fromkeys(tuple(item["cpus"]) for item in matrix))
    found = {(tuple(item["cpus"]), item["threads"]): item for item in matrix}
    rows = []
    for cpus in sets:
        line = [Cell(",".join(map(str, cpus)))]
        for count in threads:
            item = found.get((cpus, count))
            line.append(Cell("" if item is None else milliseconds(item["median_ms"])))
        rows.append(line)
    head = ["on CPUs", *[f"{count} thread{'s' * (count > 1)}" for count in threads]]
    return Section("Median ms a frame by CPUs and threads", table=Table(head, rows))


def _layer_section(subject: Mapping[str, Any]) -> Section:
    layers = sorted(subject["layers"], key=lambda layer: -layer["time_ms"])
    total = milliseconds(sum(layer["time_ms"] for layer in layers))
    shown = [(f"{layer['name']} ({layer['operator']})", layer["time_ms"]) for layer in layers[:_MOST_LAYERS]]
    text = f"{len(layers)} layers, {total} ms in all under the runtime's profiler (which slows them), slowest first."
    return Section(f"Layers of {subject['key']}", text, plot=bars(shown, milliseconds, "ms"))


def _machine_section(report: Mapping[str, Any]) -> Section:
    host = report["host"]
    facts = {
        "board": host["board"] or "not recognised",
        "model": host["model"] or "–",
        "machine": host["machine"],
        "cores": "; ".join(f"{core}: {','.join(map(str, cpus))}" for core, cpus in host["clusters"].items()),
        "governors": "; ".join(f"{name}: {governor}" for name, governor in host["governors"].items()) or "–",
        "system": f"{host['os']}, Linux {host['kernel']}, Python {host['python']}",
        "kernels of the core": host["isa"],
        "packages": ", ".join(f"{name} {version}" for name, version in host["packages"].items()),
        "networks": "; ".join(f"{s['info']['model']} {s['info']['sha256'][:12]}" for s in report["subjects"]),
        "not measured": "; ".join(f"{m['sensor']} ({m['reason']})" for m in report["missing"]) or "–",
        "skipped": "; ".join(item["reason"] for item in report["skipped"]) or "–",
        "no layer times": _no_layers(report["subjects"]),
    }
    return Section("The machine", table=Table(["", ""], [[Cell(k), Cell(v, "text")] for k, v in facts.items()]))


def _no_layers(subjects: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{s['key']}: {s['layers_missing']}" for s in subjects if s["layers_missing"]) or "–"


def _renamed(column: Column) -> dict[str, Any]:
    return {**column.entry, "key": column.title}


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:.1f}"
