"""``edgeface camera``: faces of a live source, as lines, JSON lines, in a browser, and as best shots."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface._compat import StrEnum
from edgeface.errors import ImageError, must_be

if TYPE_CHECKING:
    from edgeface.streaming import Stream, StreamResult
    from edgeface.tracking import Tracker

app = typer.Typer()


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
    source: Annotated[
        str,
        typer.Option(help="Camera number, path, address, GStreamer pipeline, file or folder; - is stdin."),
    ] = "0",
    output_format: Annotated[Format, typer.Option("--format", help="How to print each frame.")] = Format.LINE,
    model: Annotated[str, typer.Option(help="Bundled model, or path of a bundle.")] = "edgeface-s",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size of the network.")] = None,
    min_score: Annotated[float | None, typer.Option(metavar="S", help="Leave out faces below this score.")] = None,
    runtime: Annotated[str, typer.Option(help="auto, ncnn, litert, onnxruntime or tflite.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads that compute one inference.")] = 1,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Stable ids and smoothing.")] = True,
    every: Annotated[int, typer.Option(metavar="N", help="Detect in every Nth frame, follow in between.")] = 1,
    between: Annotated[Between, typer.Option(help="How to follow in between.")] = Between.MOTION,
    gate: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Judge faces: enrol, verify, attention or default.")
    ] = None,
    rotation: Annotated[int, typer.Option(help="Degrees clockwise that make the picture upright.")] = 0,
    roi: Annotated[str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Look only there.")] = None,
    camera_size: Annotated[str | None, typer.Option(metavar="WxH", help="To ask a camera for; of raw frames.")] = None,
    fps: Annotated[float | None, typer.Option(help="To ask a camera for; of raw frames.")] = None,
    pixel_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="yuyv, nv12, mjpg … of a camera; color of raw frames.")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show it in a browser, on the loopback interface.")] = False,
    host: Annotated[str, typer.Option(help="Interface of --serve; any but 127.0.0.1 is open to all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of --serve; 0 for any.")] = 8080,
    best_shots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the best aligned crop of everybody who leaves.")
    ] = None,
    frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many.")] = None,
) -> None:
    """Find and follow faces in a camera's newest frame. Ctrl-C ends it.

    The source may disappear and come back. With --format jsonl one JSON object a frame goes to stdout. With --serve
    open the address it prints (from elsewhere: ssh -L 8080:localhost:8080 BOARD).
    """
    from edgeface.engine import FaceEngine, parse_size
    from edgeface.gate import QualityGate
    from edgeface.tracking import Tracker

    judge = None if gate is None else (QualityGate() if gate == "default" else QualityGate.preset(gate))
    tracker: Tracker | bool = Tracker(detect_every=every, between=between.value) if track else False
    if every != 1 and not track:
        raise must_be("--every", "used with --track", every)
    options = _source_options(source, None if camera_size is None else parse_size(camera_size), fps, pixel_format)
    region = None if roi is None else _region(roi)
    with ExitStack() as stack:
        engine = stack.enter_context(
            FaceEngine(model, runtime=runtime, size=size, min_score=min_score, threads=threads)
        )
        stream = engine.stream(source, tracker=tracker, rotation=rotation or None, roi=region, **options)
        view = None
        if serve:
            from edgeface.web import LiveView

            view = stack.enter_context(LiveView(host, port, status=lambda: asdict(stream.stats)))
            typer.echo(f"live view: {view.url}", err=True)
        writer = None if best_shots is None else _BestShots(best_shots)
        stack.enter_context(stream)
        with suppress(KeyboardInterrupt):  # what follows the loop still has to be done
            for number, result in enumerate(stream, start=1):
                reports = None if judge is None else judge.check(result.faces, result.frame)
                if output_format is not Format.NONE:
                    _SHOW[output_format](result, reports)
                if view is not None:
                    extra = {"stream": _numbers(stream, result)}
                    view.show(result.frame, result.faces, reports=reports, extra=extra)
                if writer is not None and stream.tracker is not None:
                    writer.save(stream.tracker)
                if number == frames:
                    break
        if writer is not None and stream.tracker is not None:
            stream.tracker.reset()  # those who are still there
            writer.save(stream.tracker)
        typer.echo(_summary(stream), err=True)


def _source_options(
    source: str, size: tuple[int, int] | None, fps: float | None, pixel_format: str | None
) -> dict[str, Any]:
    """The options that this kind of source has, of those that were given."""
    is_camera = source.isdecimal() or source.startswith("/dev/video")
    names = {"size": size, "fps": fps, ("pixel_format" if is_camera else "color"): pixel_format}
    return {name: value for name, value in names.items() if value is not None}


def _region(text: str) -> tuple[int, int, int, int]:
    try:
        x1, y1, x2, y2 = (int(part) for part in text.split(","))
    except ValueError:
        raise must_be("--roi", "four whole numbers such as 100,50,600,400", repr(text)) from None
    return x1, y1, x2, y2


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
    typer.echo(f"{head}: {'; '.join(parts) or 'no face'}")


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


def _summary(stream: Stream) -> str:
    stats = stream.stats
    trouble = f"; last trouble: {stats.last_error}" if stats.last_error else ""
    return (
        f"{stats.results} results of {stats.frames} frames, {stats.dropped} dropped, {stats.damaged} damaged, "
        f"{stats.reconnects} reconnects{trouble}"
    )


class _BestShots:
    """Writes the best shots of tracks that have ended."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(
                f"--best-shots must be a folder that can be made, but got {folder}: {error.strerror}"
            ) from None
        self._folder = folder
        self._run = time.strftime("%Y%m%d-%H%M%S")  # ids begin at 1 in every run

    def save(self, tracker: Tracker) -> None:
        from edgeface.images import write_image

        for track in tracker.take_ended():
            shot = track.best_shot
            if shot is not None and shot.aligned is not None:
                write_image(self._folder / f"{self._run}-{track.track_id}-q{shot.face.quality:.2f}.png", shot.aligned)
