"""``edgeface profile``: one configuration for long, with temperatures, clocks, memory, layers and CPU affinity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import _complete
from edgeface.cli.bench import Points, PointsModel, Source

app = typer.Typer()


@app.command()
def profile(
    model: Annotated[
        str, typer.Option(help="Bundled model or bundle.", autocompletion=_complete.models)
    ] = "edgeface-s",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size.")] = None,
    runtime: Annotated[
        str, typer.Option(help="auto, ncnn, litert, onnxruntime, tflite or rknn.", autocompletion=_complete.runtimes)
    ] = "auto",
    precision: Annotated[str | None, typer.Option(help="int8 or float32.")] = None,
    threads: Annotated[int, typer.Option(help="Threads per inference.")] = 1,
    cpus: Annotated[str | None, typer.Option(metavar="LIST", help="CPUs to run on, such as 4-7.")] = None,
    track: Annotated[bool, typer.Option("--track", help="Track faces too.")] = False,
    points: Points = False,
    points_model: PointsModel = "edgeface-points",
    source: Source = None,
    duration: Annotated[float, typer.Option(help="Seconds; boards need about ten minutes to warm up.")] = 600.0,
    matrix: Annotated[bool, typer.Option(help="Also measure other CPU sets and thread counts.")] = True,
    label: Annotated[str, typer.Option(help="Name of this measurement in reports.")] = "",
    out: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Write a report (.json or .html); may be repeated.")
    ] = None,
) -> None:
    """Run one configuration for ten minutes and monitor the board, to see whether it keeps its speed when warm.

    The report lists missing sensors. Without --out the reports go to edgeface-profile.json and edgeface-profile.html.
    """
    from edgeface.boards.host import parse_cpu_list
    from edgeface.cli.bench import print_report, progress_bar
    from edgeface.errors import must_be
    from edgeface.images import find_images
    from edgeface.profiling.report import check_reports, write_report
    from edgeface.profiling.session import profile as run_profile
    from edgeface.profiling.subjects import Config, frame_feed

    numbers = None if cpus is None else parse_cpu_list(cpus)
    if numbers == ():
        raise must_be("--cpus", "numbers such as 4-7 or 0,2", repr(cpus))
    places = out or [Path("edgeface-profile.json"), Path("edgeface-profile.html")]
    check_reports(places, [*find_images([] if source is None else [source]), model])
    feed, frames = frame_feed(source)
    config = Config(model, size, runtime, precision, threads, numbers, track, points_model if points else None)
    with progress_bar("profile") as show:
        report = run_profile(config, feed, frames, duration_s=duration, label=label, progress=show, matrix=matrix)
    print_report(report)
    for path in places:
        write_report(report, path)
        typer.echo(f"written: {path}", err=True)
