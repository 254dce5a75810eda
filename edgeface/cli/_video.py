"""The videos among the inputs of ``edgeface detect``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgeface.cli._console import printable, wide_console
from edgeface.cli._progress import FrameProgress, results_on_terminal
from edgeface.cli._stopping import Stopping
from edgeface.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeface.engine import FaceEngine
    from edgeface.faces import Faces
    from edgeface.video import FaceCover, VideoResult

__all__ = ["VideoOptions", "detect_in_video", "find_inputs", "is_video"]


@dataclass(frozen=True)
class VideoOptions:
    """How videos are worked on; see the options of the command."""

    jsonl: bool
    every: int
    blur: str | None
    rotation: int | None
    roi: tuple[int, int, int, int] | None


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name."""
    from edgeface.video.reading import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(places: Iterable[Path]) -> list[Path]:
    """Files as they are named, folders as the pictures and videos in them and below, sorted by name."""
    from edgeface.images import find_images

    found: list[Path] = []
    for place in places:
        files = list(find_images([place]))
        if os.path.isdir(place):  # noqa: PTH112 - Path.is_dir raises where a folder above must not be entered
            files += [
                Path(folder, name) for folder, _, names in os.walk(place) for name in names if is_video(Path(name))
            ]
            files.sort()
        found += files
    return found


def detect_in_video(engine: FaceEngine, path: Path, options: VideoOptions, save: Path | None) -> None:
    """Print the faces of a video, and write it with the faces marked or covered.

    Args:
        engine: that detects.
        path: of the video.
        options: see there.
        save: file to write; None for none.

    Raises:
        ImageError: no frame can be read, or the copy cannot be written.
        InvalidInputError: a region outside the frames.
        SourceError: the file cannot be opened.
        Exit: with status 130, after SIGINT or SIGTERM; what was written so far can be played.
    """
    from edgeface.sources.video import VideoSource
    from edgeface.tracking import Tracker
    from edgeface.video import FaceCover, VideoWriter, detect_video

    cover = None if options.blur is None else FaceCover(options.blur, detect_every=options.every)
    tracker = Tracker(detect_every=options.every, best_shots=False) if cover is None else cover.tracker
    tracks, errors = _Tracks(), 0
    with ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        source = stack.enter_context(VideoSource(path))
        total = source.frame_count
        bar = not (options.jsonl and results_on_terminal())
        progress = stack.enter_context(FrameProgress(path.name, total, bar=bar))
        writer = None if save is None else stack.enter_context(VideoWriter(save, source.fps))
        for result in detect_video(engine, source, tracker=tracker, rotation=options.rotation, roi=options.roi):
            if result.error is not None:
                errors += 1
                if errors == 1:
                    typer.echo(f"error: {printable(result.error)}", err=True)
            if options.jsonl:
                typer.echo(json.dumps(_record(engine, path, tracks.frames, result)))
            tracks.add(result)
            if writer is not None and result.frame is not None:
                _write(writer, result, cover)
            progress.advance()
            if stopping.asked:
                break
        stopping.heeded()
        if writer is not None and cover is not None:
            for picture in cover.finish():
                writer.write(_turned(picture, tracks.rotation))
    if tracks.size is None and not stopping.asked:
        raise ImageError(f"video must have frames that can be decoded, but got none in {path}")
    if not options.jsonl:
        tracks.show(path)
    if errors > 1:
        typer.echo(f"error: {errors} frames of {printable(str(path))} are damaged", err=True)
    if stopping.asked:
        of = "" if total is None else f" of {total}"
        where = "" if save is None else f"; {printable(str(save))} has them"
        typer.echo(f"stopped after {tracks.frames}{of} frames{where}", err=True)
        raise typer.Exit(130)
    if errors:
        raise ImageError(f"frames must be decodable, but got {errors} damaged in {path}; the others are done")


def _write(writer: Any, result: VideoResult, cover: FaceCover | None) -> None:
    from edgeface.draw import draw_faces
    from edgeface.pixels import to_bgr

    assert result.frame is not None
    assert result.faces is not None
    picture = to_bgr(result.frame)
    if cover is None:
        upright = _turned(picture, result.frame.rotation)
        writer.write(draw_faces(upright, result.faces.upright(), inplace=True))
        return
    for covered in cover.add(picture):
        writer.write(_turned(covered, result.frame.rotation))


def _turned(picture: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    from edgeface.turns import turn_picture

    return turn_picture(picture, rotation)


def _record(engine: FaceEngine, path: Path, number: int, result: VideoResult) -> dict[str, Any]:
    record: dict[str, Any] = {"file": str(path), "sequence": number}
    if result.faces is None:
        return record | {"error": result.error}
    width, height = result.faces.size
    return record | {
        "timestamp_ns": result.faces.timestamp_ns,
        "width": width,
        "height": height,
        "model": engine.info.model,
        "sha256": engine.info.sha256,
        "faces": result.faces.to_dicts(),
    }


@dataclass
class _Tracks:
    """Everybody who was seen, for the table."""

    frames: int = 0
    size: tuple[int, int] | None = None
    rotation: int = 0
    rows: dict[int, list[float]] = field(default_factory=dict)  # first and last second, frames, height, quality

    def add(self, result: VideoResult) -> None:
        self.frames += 1
        if result.faces is None:
            return
        faces: Faces = result.faces
        self.size, self.rotation = faces.size, faces.rotation
        at = (faces.timestamp_ns or 0) / 1e9
        for face in faces:
            assert face.track_id is not None
            row = self.rows.setdefault(face.track_id, [at, at, 0, 0.0, 0.0])
            row[1], row[2] = at, row[2] + 1
            row[3], row[4] = max(row[3], face.height), max(row[4], face.quality)

    def show(self, path: Path) -> None:
        from rich.table import Table
        from rich.text import Text

        if self.size is None:
            return
        console = wide_console()
        count = len(self.rows)
        title = f"{printable(str(path))} ({'x'.join(map(str, self.size))}, {self.frames} frames): "
        console.print(Text(title + f"{count} track{'s' * (count != 1)}", "table.title"), soft_wrap=True)
        table = Table()
        for name in ("track", "from s", "to s", "frames", "largest height px", "best quality"):
            table.add_column(name, justify="right")
        for number, (first, last, frames, height, quality) in sorted(self.rows.items()):
            table.add_row(
                str(number), f"{first:.2f}", f"{last:.2f}", f"{frames:.0f}", f"{height:.0f}", f"{quality:.2f}"
            )
        console.print(table)
