"""``edgeface camera``: faces of a live source, as lines, JSON lines, in a browser, and as best shots."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeface._compat import StrEnum
from edgeface.cli._best_shots import BestShots
from edgeface.cli._region import parse_region
from edgeface.cli._stopping import Stopping
from edgeface.errors import must_be

if TYPE_CHECKING:
    from edgeface.gate import QualityGate
    from edgeface.streaming import Stream, StreamResult
    from edgeface.web import LiveView

from edgeface.cli import _complete

__all__ = ["app", "results", "show"]

app = typer.Typer()

# How long to wait for a frame before looking whether to stop.
_TICK_S: Final = 0.2


class Format(StrEnum):
    """How results are printed."""

    LINE = "line"
    JSONL = "jsonl"
    NONE = "none"


class Between(StrEnum):
    """What moves the faces on between two detections."""

    MOTION = "motion"
    FLOW = "flow"


@app.command()
def camera(
    given: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Camera number, device, address, GStreamer pipeline, video file or folder; - is stdin.",
            show_default="0",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Same as SOURCE.", show_default=False)] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How to print each frame.")] = Format.LINE,
    model: Annotated[
        str, typer.Option(help="Bundled model, or path of a bundle.", autocompletion=_complete.models)
    ] = "edgeface-s",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size of the network.")] = None,
    min_score: Annotated[float | None, typer.Option(metavar="S", help="Score threshold.")] = None,
    runtime: Annotated[
        str, typer.Option(help="auto, ncnn, litert, onnxruntime, tflite or rknn.", autocompletion=_complete.runtimes)
    ] = "auto",
    threads: Annotated[int, typer.Option(help="Threads per inference.")] = 1,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Stable ids and smoothing.")] = True,
    every: Annotated[int, typer.Option(metavar="N", help="Detect in every Nth frame, track in between.")] = 1,
    between: Annotated[Between, typer.Option(help="How to track between detections.")] = Between.MOTION,
    gate: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Quality gate preset: enrol, verify, attention or default.",
            autocompletion=_complete.presets,
        ),
    ] = None,
    rotation: Annotated[
        int, typer.Option(help="Clockwise rotation that makes the picture upright: 0, 90, 180, 270.")
    ] = 0,
    roi: Annotated[str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Detect only in this region.")] = None,
    camera_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Resolution to request from a camera, or size of raw frames.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate to request from a camera, or of raw frames.")] = None,
    pixel_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Format to request from a camera, or of raw frames: yuyv, nv12, mjpg …"),
    ] = None,
    strides: Annotated[
        str | None, typer.Option(metavar="N[,N,N]", help="Row strides of raw frames in bytes, one per plane.")
    ] = None,
    offsets: Annotated[
        str | None, typer.Option(metavar="N[,N,N]", help="Byte offset of each plane of raw frames.")
    ] = None,
    matrix: Annotated[str | None, typer.Option(help="Colour matrix of YUV frames: bt601 or bt709.")] = None,
    range_: Annotated[str | None, typer.Option("--range", help="Range of YUV frames: limited or full.")] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play a file at its own speed and drop late frames.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Restart at the end of a file.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve a live view for browsers.")] = False,
    host: Annotated[
        str, typer.Option(help="Interface of --serve; others than 127.0.0.1 are open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of --serve; 0 selects a free one.")] = 8080,
    best_shots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the best aligned crop of each track that ends.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--points", help="Also 68 landmarks, eyes, mouth and occlusion of the four largest faces.")
    ] = False,
    points_model: Annotated[
        str, typer.Option(metavar="M", help="Bundle for --points.", autocompletion=_complete.models)
    ] = "edgeface-points",
    frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after N results.")] = None,
) -> None:
    """Detect and track faces in the newest frame of a camera, or in a recording. Stop with Ctrl-C or SIGTERM.

    Lost cameras are reopened. --format jsonl writes one JSON object per frame to stdout. With --serve, open the printed
    address (from another computer: ssh -L 8080:localhost:8080 BOARD). To watch a file: FILE --serve --realtime --loop.
    """
    from edgeface.engine import FaceEngine, parse_size
    from edgeface.gate import QualityGate
    from edgeface.tracking import Tracker

    if given is not None and source is not None:
        raise must_be("source", "given once", f"SOURCE {given} and --source {source}")
    chosen = next(text for text in (given, source, "0") if text is not None)
    if frames is not None and frames < 1:
        raise must_be("--frames", "at least 1", frames)
    judge = None if gate is None else (QualityGate() if gate == "default" else QualityGate.preset(gate))
    tracker: Tracker | bool = Tracker(detect_every=every, between=between.value) if track else False
    if not track and (every != 1 or best_shots is not None):
        raise must_be("--every" if every != 1 else "--best-shots", "used with --track", "--no-track")
    options = _source_options(
        chosen,
        {
            "--camera-size": None if camera_size is None else parse_size(camera_size),
            "--fps": fps,
            "--pixel-format": pixel_format,
            "--strides": None if strides is None else _numbers_of("--strides", strides),
            "--offsets": None if offsets is None else _numbers_of("--offsets", offsets),
            "--matrix": matrix,
            "--range": range_,
            "--realtime": realtime or None,
            "--loop": loop or None,
        },
    )
    region = None if roi is None else parse_region(roi)
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        engine = stack.enter_context(
            FaceEngine(
                model,
                runtime=runtime,
                size=size,
                min_score=min_score,
                threads=threads,
                points=points_model if points else None,
            )
        )
        stream = engine.stream(chosen, tracker=tracker, rotation=rotation or None, roi=region, **options)
        view = None
        if serve:
            from edgeface.web import LiveView

            view = stack.enter_context(LiveView(host, port, status=lambda: asdict(stream.stats)))
            typer.echo(f"live view: {view.url}", err=True)
        shots = None if best_shots is None else BestShots(best_shots)
        stack.enter_context(stream)
        try:
            with suppress(KeyboardInterrupt):  # what follows the loop still has to be done
                for number, result in enumerate(results(stream, stopping), start=1):
                    show(result, stream, judge, output_format, view)
                    if shots is not None and stream.tracker is not None:
                        shots.save(stream.tracker)
                    if number == frames:
                        break
        finally:  # after a full disk or a camera that is lost for good too
            stopping.heeded()
            with suppress(OSError):  # a terminal that has gone
                typer.echo(_summary(stream, told=str(sys.exc_info()[1])), err=True)
            if shots is not None and stream.tracker is not None:
                shots.finish(stream.tracker)


#: The source's name of an option of the command.
_OPTIONS: Final = {
    "--camera-size": "size",
    "--fps": "fps",
    "--pixel-format": "color",
    "--strides": "strides",
    "--offsets": "offsets",
    "--matrix": "matrix",
    "--range": "range",
    "--realtime": "realtime",
    "--loop": "loop",
}


def _source_options(source: str, given: dict[str, Any]) -> dict[str, Any]:
    """The source's options of those that were given, or an error in the words of the command."""
    from edgeface.sources.choose import INSTEAD, Kind, kind_of
    from edgeface.sources.redaction import hide_secrets

    given = {flag: value for flag, value in given.items() if value is not None}
    kind = kind_of(source, bare={"--camera-size", "--pixel-format"} <= set(given))
    names = _OPTIONS | ({"--pixel-format": "pixel_format"} if kind is Kind.CAMERA else {})
    for flag in given:
        if names[flag] not in kind.options():
            raise must_be(
                flag, f"left out with {kind.value.title} ({INSTEAD[names[flag]]})", f"{flag} for {hide_secrets(source)}"
            )
    if kind is Kind.IMAGES and "--loop" not in given and Path(source).is_file():
        raise must_be("SOURCE", "a camera, a video or a folder (edgeface detect reads one picture)", source)
    return {names[flag]: value for flag, value in given.items()}


def results(stream: Stream, stopping: Stopping) -> Iterator[StreamResult]:
    """What comes until the stream ends or somebody wants to stop, which is noticed without a frame too."""
    while not stopping.asked:
        finished = stream.finished  # before the last frames are taken
        result = stream.read(timeout=0 if finished else _TICK_S)
        if result is not None:
            yield result
        elif finished:
            return


def show(
    result: StreamResult, stream: Stream, judge: QualityGate | None, output_format: Format, view: LiveView | None
) -> None:
    """Print a result, and show it in the live view if there is one."""
    reports = None if judge is None else judge.check(result.faces, result.frame)
    if output_format is not Format.NONE:
        _SHOW[output_format](result, reports)
    if view is not None:
        view.show(result.frame, result.faces, reports=reports, extra={"stream": _numbers(stream, result)})


def _numbers_of(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise must_be(flag, "whole numbers such as 640,320,320", repr(text)) from None


def _numbers(stream: Stream, result: StreamResult) -> dict[str, Any]:
    stats = stream.stats
    numbers: dict[str, Any] = {
        "camera_fps": stats.fps,
        "age_ms": result.age_s * 1e3,
        "dropped": stats.dropped,
        "reconnects": stats.reconnects,
        "damaged": stats.damaged,
    }
    return numbers | {f"{stage}_ms": seconds * 1e3 for stage, seconds in result.faces.timings.items()}


def _show_line(result: StreamResult, reports: list[Any] | None) -> None:
    parts = []
    for i, face in enumerate(result.faces):
        name = "" if face.track_id is None else f"#{face.track_id} "
        text = (
            f"{name}{face.score:.2f} {face.width:.0f}x{face.height:.0f} yaw{face.yaw:+.0f}° pitch{face.pitch:+.0f}° "
            f"roll{face.roll:+.0f}° q{face.quality:.2f}"
        )
        if reports is not None and not reports[i].passed:
            text += f" ({', '.join(reports[i].reasons)})"
        parts.append(text)
    head = f"{result.frame.sequence} age {result.age_s * 1e3:.0f} ms dropped {result.dropped}"
    # named, or click writes UTF-8 to terminals that cannot show it
    typer.echo(f"{head}: {'; '.join(parts) or 'no face'}", file=sys.stdout)


def _show_jsonl(result: StreamResult, reports: list[Any] | None) -> None:
    faces = result.faces.to_dicts()
    for face, report in zip(faces, reports or (), strict=False):
        face["reasons"] = list(report.reasons)
    record = {
        "sequence": result.frame.sequence,
        "timestamp_ns": result.frame.timestamp_ns,
        "width": result.frame.width,
        "height": result.frame.height,
        "age_s": round(result.age_s, 4),
        "dropped": result.dropped,
        "faces": faces,
    }
    typer.echo(json.dumps(record))


_SHOW = {Format.LINE: _show_line, Format.JSONL: _show_jsonl}


def _summary(stream: Stream, told: str) -> str:
    """What the stream did, and its last trouble unless it is the error `told` anyway."""
    stats = stream.stats
    trouble = f"; last trouble: {stats.last_error}" if stats.last_error not in (None, told) else ""
    return (
        f"{stats.results} results of {stats.frames} frames, {stats.dropped} dropped, {stats.damaged} damaged, "
        f"{stats.reconnects} reconnects{trouble}"
    )
