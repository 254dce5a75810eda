"""``edgeface bench``: latency by stage of one or many configurations, measured against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli import _complete
from edgeface.cli._console import wide_console

app = typer.Typer()

Source = Annotated[
    str | None,
    typer.Option(
        metavar="IN",
        help="Picture, folder, video or camera. Default: noise without faces.",
    ),
]

Points = Annotated[
    bool,
    typer.Option(
        "--points", help="Measure the second network on the four largest faces too. Needs --source with faces."
    ),
]
PointsModel = Annotated[str, typer.Option(metavar="M", help="Bundle for --points.", autocompletion=_complete.models)]


@app.command()
def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Bundled model or bundle; repeat to compare.", autocompletion=_complete.models),
    ] = None,
    size: Annotated[list[str] | None, typer.Option(metavar="WxH", help="Input size; repeat to compare.")] = None,
    runtime: Annotated[
        list[str] | None, typer.Option(help="Runtime; repeat to compare.", autocompletion=_complete.runtimes)
    ] = None,
    precision: Annotated[list[str] | None, typer.Option(help="int8 or float32; repeat to compare.")] = None,
    threads: Annotated[str, typer.Option(help="Threads to try: 2, 1,2,4 or 1-4.")] = "1",
    track: Annotated[bool, typer.Option("--track", help="Track faces too.")] = False,
    points: Points = False,
    points_model: PointsModel = "edgeface-points",
    source: Source = None,
    duration: Annotated[float, typer.Option(help="Seconds to measure each configuration.")] = 10.0,
    runs: Annotated[int, typer.Option(help="Interleaved slices per configuration.")] = 10,
    warmup: Annotated[int, typer.Option(help="Warm-up frames per slice, not measured.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed for the order of the slices.")] = 0,
    label: Annotated[str, typer.Option(help="Name of this measurement in reports.")] = "",
    out: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Write a report (.json or .html); may be repeated.")
    ] = None,
) -> None:
    """Measure latency by stage: grab, preprocess, infer, decode, track, points.

    Repeated options are combined: --precision int8 --precision float32 --threads 1-4 makes eight configurations. They
    are measured in interleaved slices in random order, so that heat and load affect all of them equally.
    """
    from edgeface.images import find_images
    from edgeface.profiling.report import check_reports, write_report
    from edgeface.profiling.session import bench as measure_all
    from edgeface.profiling.subjects import Config, combinations, frame_feed, parse_threads

    check_reports(out or [], [*find_images([] if source is None else [source]), *(model or [])])
    feed, frames = frame_feed(source)
    configs = [
        config
        for name in model or ["edgeface-s"]
        for config in combinations(
            Config(name, track=track, points=points_model if points else None),
            sizes=size or [None],
            runtimes=runtime or ["auto"],
            precisions=precision or [None],
            threads=parse_threads(threads),
        )
    ]
    with progress_bar("bench") as show:
        report = measure_all(
            configs,
            feed,
            frames,
            duration_s=duration,
            runs=runs,
            warmup=warmup,
            seed=seed,
            label=label,
            progress=show,
        )
    print_report(report)
    for path in out or []:
        write_report(report, path)


def _per_face(subject: Mapping[str, Any]) -> float:
    """Milliseconds of the stage points for one face: means over all frames, where faces come and go."""
    times = [ms for run in subject["runs"] for ms in run["stages_ms"].get("points", [])]
    return float(sum(times) / max(len(times), 1) / subject["described_per_frame"])


class progress_bar:  # noqa: N801 - used like a function
    """A bar on stderr where that is a terminal; called with what is measured and the fraction done."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(title, total=1.0)

    def __enter__(self) -> progress_bar:
        self._bar.start()
        return self

    def __call__(self, key: str, fraction: float) -> None:
        from rich.markup import escape

        self._bar.update(self._task, completed=fraction, description=escape(key or "done"))

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def print_report(report: Mapping[str, Any]) -> None:
    """The figures as a table on stdout; warnings, and what was skipped, on stderr."""
    from rich.table import Table
    from rich.text import Text

    from edgeface.profiling.times import milliseconds

    console = wide_console(160)
    shown = {"median": "median", "mad": "MAD", "mode": "mode", "p90": "P90", "p95": "P95", "p99": "P99"}
    shown |= {"p999": "P99.9", "max": "max"}
    if console.width < 120:
        shown = {key: shown[key] for key in ("median", "p95", "p99", "max")}
    for subject in report["subjects"]:
        console.print(Text(subject["key"], "table.title"), soft_wrap=True)
        table = Table()
        table.add_column("stage")
        for head in (*shown.values(), "n"):
            table.add_column(head if head == "n" else f"{head} ms", justify="right")
        for stage, s in subject["summary"].items():
            table.add_row(stage, *(milliseconds(s[f"{key}_ms"]) for key in shown), str(s["n"]))
        console.print(table)
    for subject in report["subjects"]:
        first = sorted(subject["first_ms"]["total"])
        energy = subject["joules_per_frame"]
        text = (
            f"{subject['key']}: {subject['frames_per_second']:.1f} frames/s, "
            f"first frame {milliseconds(first[len(first) // 2])} ms, {subject['faces_per_frame']:.1f} faces a frame"
        )
        if subject.get("described_per_frame"):  # reports of before have no such key
            text += f", points {milliseconds(_per_face(subject))} ms a described face"
        typer.echo(text + ("" if energy is None else f", {energy * 1000:.2f} mJ a frame"))
    typer.echo(f"Frames: {report['settings']['frames']}.")
    for item in report["skipped"]:
        typer.echo(f"skipped: {item['reason']}", err=True)
    for item in report["missing"]:
        typer.echo(f"not measured: {item['sensor']} ({item['reason']})", err=True)
    for warning in report["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
