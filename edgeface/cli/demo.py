"""``edgeface demo``: the live page at once, with the camera or without one."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeface.cli import _complete
from edgeface.cli._stopping import Stopping

if TYPE_CHECKING:
    from edgeface.sources import Source
    from edgeface.web import LiveView

app = typer.Typer()

_PORT: Final = 8080


@app.command()
def demo(
    given: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="Camera number, address or video file. Default: the first camera, or a moving collage.",
        ),
    ] = None,
    collage: Annotated[bool, typer.Option("--collage", help="Show the collage even if there is a camera.")] = False,
    gate: Annotated[
        str,
        typer.Option(
            metavar="PRESET", help="Quality gate preset: enrol, verify or attention.", autocompletion=_complete.presets
        ),
    ] = "verify",
    model: Annotated[
        str, typer.Option(help="Bundled model, or path of a bundle.", autocompletion=_complete.models)
    ] = "edgeface-s",
    runtime: Annotated[
        str, typer.Option(help="auto, ncnn, litert, onnxruntime, tflite or rknn.", autocompletion=_complete.runtimes)
    ] = "auto",
    rotation: Annotated[
        int, typer.Option(help="Clockwise rotation that makes the picture upright: 0, 90, 180, 270.")
    ] = 0,
    port: Annotated[int | None, typer.Option(help="Port of the page. Default: 8080, or a free one.")] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after N frames.")] = None,
) -> None:
    """Show detected faces in a browser: boxes, landmarks, pose axes, track ids, quality, and reasons for rejection.

    Pictures stay on this machine. Stop with Ctrl-C.
    """
    from edgeface.bundle import bundled_models
    from edgeface.cli.camera import Format, results, show
    from edgeface.describing import DEFAULT_POINTS
    from edgeface.engine import FaceEngine
    from edgeface.errors import must_be
    from edgeface.gate import QualityGate

    if given is not None and collage:
        raise must_be("SOURCE", "left out with --collage", given)
    if frames is not None and frames < 1:
        raise must_be("--frames", "at least 1", frames)
    judge = QualityGate() if gate == "default" else QualityGate.preset(gate)
    per_face = DEFAULT_POINTS if DEFAULT_POINTS in bundled_models() else None
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        engine = stack.enter_context(FaceEngine(model, runtime=runtime, points=per_face))
        source = _chosen(given, collage)
        stream = engine.stream(source, rotation=rotation or None)
        view = stack.enter_context(_page(port, lambda: asdict(stream.stats)))
        stack.enter_context(stream)
        typer.echo(f"showing {source.name} at {view.url} (Ctrl-C ends it)", err=True)
        if browser:
            _open(view.url)
        with suppress(KeyboardInterrupt):
            for number, result in enumerate(results(stream, stopping), start=1):
                show(result, stream, judge, Format.NONE, view)
                if number == frames:
                    break
        stopping.heeded()


def _chosen(given: str | None, collage: bool) -> Source:
    """What was asked for; else the first camera that gives a picture; else the collage."""
    from edgeface._opencv import silenced
    from edgeface.demo import CollageSource
    from edgeface.errors import EdgeFaceError
    from edgeface.sources import open_source
    from edgeface.sources.choose import kind_of

    if given is not None:
        if not kind_of(given, bare=False).recorded:
            return open_source(given)
        return open_source(given, realtime=True, loop=True)
    devices = [] if collage else sorted(Path("/dev").glob("video*"))
    for device in devices:
        camera = open_source(device)
        with suppress(EdgeFaceError), silenced():  # of devices that are no cameras OpenCV would tell at length
            try:
                camera.open()
                camera.read()
            finally:
                camera.close()
            return camera
    if not collage:
        typer.echo("no camera gives a picture (edgeface doctor says why): here is a moving collage", err=True)
    return CollageSource()


def _page(port: int | None, status: Callable[[], Mapping[str, Any]]) -> LiveView:
    from edgeface.errors import SourceError
    from edgeface.web import LiveView

    if port is None:
        with suppress(SourceError):
            return LiveView(port=_PORT, status=status)
    return LiveView(port=port or 0, status=status)


def _open(url: str) -> None:
    """In a browser with windows; one for terminals would take this one."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        port = url.rstrip("/").rsplit(":", 1)[1]
        typer.echo(f"no screen here: from your desk ssh -L {port}:localhost:{port} BOARD, then open {url}", err=True)
        return
    with suppress(webbrowser.Error):
        webbrowser.open(url)
