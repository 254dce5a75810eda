"""``edgeface detect``: faces of pictures and videos, as a table, JSON lines or annotated copies."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface._compat import StrEnum
from edgeface.cli._console import printable, wide_console
from edgeface.cli._region import parse_region
from edgeface.errors import EdgeFaceError, ImageError, InvalidInputError, SourceError, must_be

if TYPE_CHECKING:
    from edgeface.batch import FileResult
    from edgeface.cli._saving import SavePlaces
    from edgeface.engine import FaceEngine
    from edgeface.faces import Face

from edgeface.cli import _complete

app = typer.Typer()


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


class Blur(StrEnum):
    """How faces are covered."""

    PIXELATE = "pixelate"
    BLUR = "blur"


@app.command()
def detect(
    inputs: Annotated[
        # readable=False: what cannot be read is reported file by file, and the others are still done
        list[Path],
        typer.Argument(
            metavar="IN...", readable=False, help="Pictures, videos or folders; - reads a picture from stdin."
        ),
    ],
    output_format: Annotated[Format, typer.Option("--format", help="How to print the faces.")] = Format.TABLE,
    model: Annotated[
        str, typer.Option(help="Bundled model, or path of a bundle.", autocompletion=_complete.models)
    ] = "edgeface-s",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size of the network.")] = None,
    min_score: Annotated[float | None, typer.Option(metavar="S", help="Score threshold.")] = None,
    runtime: Annotated[
        str, typer.Option(help="auto, ncnn, litert, onnxruntime, tflite or rknn.", autocompletion=_complete.runtimes)
    ] = "auto",
    threads: Annotated[int, typer.Option(help="Threads per inference.")] = 1,
    rotation: Annotated[
        int | None,
        typer.Option(metavar="DEGREES", help="Clockwise rotation that makes the pictures upright: 90, 180, 270."),
    ] = None,
    roi: Annotated[str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Detect only in this region.")] = None,
    every: Annotated[
        int, typer.Option(metavar="N", help="Detect in every Nth frame of a video, track in between.")
    ] = 1,
    save: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Folder for annotated copies, or a file such as out.mp4 for one video."),
    ] = None,
    blur: Annotated[
        Blur | None, typer.Option(help="Make faces unrecognisable in the copies of --save instead of annotating them.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--points", help="Also 68 landmarks, eyes, mouth and occlusion of the largest faces.")
    ] = False,
    points_model: Annotated[
        str, typer.Option(metavar="M", help="Bundle for --points.", autocompletion=_complete.models)
    ] = "edgeface-points",
    points_top: Annotated[
        int, typer.Option(metavar="N", help="Maximum number of faces per picture for --points.")
    ] = 16,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="Reject pictures with more pixels. Default: 100 million.")
    ] = None,
) -> None:
    """Detect faces in pictures and videos: box, score, five landmarks, yaw, pitch, roll and quality.

    --format jsonl writes one JSON object per picture or frame to stdout, in input order. An unreadable file gives an
    object with "error", a line on stderr and exit status 1 at the end; the other files are still processed. --save
    never replaces an input file. Ctrl-C ends a video early and leaves a playable copy.

    --points runs a second network on the crop of each face. The copies show its landmarks, the table shows eyes, mouth
    and occlusion, and the JSON objects hold all of its results.

    --blur covers every face that is found, from a score of 0.3 on. It is no guarantee: look at the result before you
    publish it.
    """
    # a bad file gets one line from here; OpenCV and FFmpeg would add several of their own
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from edgeface.cli._saving import SavePlaces
    from edgeface.cli._video import VideoOptions, detect_in_video, find_inputs, is_video
    from edgeface.engine import FaceEngine
    from edgeface.images import SUFFIXES
    from edgeface.turns import checked_rotation
    from edgeface.video.cover import COVER_SCORE

    if blur is not None and save is None:
        raise must_be("--blur", "used with --save OUT, where the copies go", "no --save")
    if rotation is not None:
        checked_rotation(rotation, "--rotation")
    region = None if roi is None else parse_region(roi)
    places = [Path("/dev/stdin") if str(path) == "-" else path for path in inputs]
    files = find_inputs(places) or places  # detect_files says that there are none
    videos = [path for path in files if is_video(path)]
    to_file = save is not None and is_video(save) and not save.is_dir()
    if to_file and not (len(files) == len(videos) == 1):
        raise must_be("--save", "a folder for pictures or several inputs", save)
    if save is not None and save.suffix.lower() in SUFFIXES and not save.exists():
        raise must_be("--save", "a folder, in which copies of pictures get the pictures' names", save)
    if every != 1 and not videos:
        raise must_be("--every", "left out without a video", every)
    saving = None if save is None else SavePlaces(save, to_file, [*files, Path(model)])
    least = COVER_SCORE if blur is not None and min_score is None else min_score
    method = None if blur is None else blur.value
    failed = False
    per_face = points_model if points else None
    with FaceEngine(
        model,
        runtime=runtime,
        size=size,
        min_score=least,
        threads=threads,
        points=per_face,
        points_top=points_top,
    ) as engine:
        pictures = _Pictures(engine, output_format, saving, method, rotation or 0, region, max_pixels)
        options = VideoOptions(output_format is Format.JSONL, every, method, rotation, region)
        for video, group in groupby(files, is_video):
            if not video:
                failed |= pictures.detect(list(group))
                continue
            for path in group:
                try:
                    detect_in_video(engine, path, options, None if saving is None else saving.path_for(path, ".mp4"))
                except (ImageError, SourceError, InvalidInputError) as error:
                    failed = True
                    if options.jsonl:
                        typer.echo(json.dumps({"file": str(path), "error": str(error)}))
                    typer.echo(f"error: {printable(str(error))}", err=True)
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Pictures:
    """How pictures are worked on; see the options of the command."""

    engine: FaceEngine
    format: Format
    saving: SavePlaces | None
    blur: str | None
    rotation: int
    roi: tuple[int, int, int, int] | None
    max_pixels: int | None

    def detect(self, files: list[Path]) -> bool:
        """Print the faces of each, save copies; whether something failed."""
        from edgeface.batch import detect_files

        failed = False
        show = _show_jsonl if self.format is Format.JSONL else _show_table
        for result in detect_files(
            self.engine,
            files,
            images=self.saving is not None,
            max_pixels=self.max_pixels,
            rotation=self.rotation,
            roi=self.roi,
        ):
            show(self.engine, result)
            error = result.error
            if self.saving is not None and result.faces is not None:
                try:
                    self._save(self.saving, result)
                except EdgeFaceError as problem:
                    error = str(problem)
                except MemoryError:
                    error = f"image must fit into memory twice to be drawn on, but got {result.path}"
            if error is not None:
                failed = True
                typer.echo(f"error: {printable(error)}", err=True)
        return failed

    def _save(self, saving: SavePlaces, result: FileResult) -> None:
        from edgeface.draw import draw_faces
        from edgeface.images import write_image
        from edgeface.turns import turn_picture
        from edgeface.video.obscuring import obscure

        assert result.image is not None
        assert result.faces is not None
        path = saving.path_for(result.path, ".jpg")
        upright, faces = turn_picture(result.image, self.rotation), result.faces.upright()
        if self.blur is not None:
            write_image(path, obscure(upright, faces.boxes, method=self.blur))
        else:
            write_image(path, draw_faces(upright, faces))


def _show_jsonl(engine: FaceEngine, result: FileResult) -> None:
    record: dict[str, Any] = {"file": str(result.path)}
    if result.faces is None:
        record["error"] = result.error
    else:
        width, height = result.faces.size
        record |= {"width": width, "height": height, "model": engine.info.model, "sha256": engine.info.sha256}
        record["faces"] = result.faces.to_dicts()
    typer.echo(json.dumps(record))


def _show_table(engine: FaceEngine, result: FileResult) -> None:
    from rich.table import Table
    from rich.text import Text

    if result.faces is None:
        return  # the line on stderr says it
    width, height = result.faces.size
    count = len(result.faces)
    console = wide_console()
    title = f"{printable(str(result.path))} ({width}x{height}): {count} face{'s' * (count != 1)}"
    console.print(Text(title, "table.title"), soft_wrap=True)
    table = Table()
    described = engine.describes
    columns = ("box x1 y1 x2 y2", "score", "yaw", "pitch", "roll", "quality")
    for name in (*columns, *(("eyes", "mouth", "covered") if described else ()), "landmarks"):
        table.add_column(name, justify="left" if name == "landmarks" else "right", overflow="fold")
    for face in result.faces:
        yaw, pitch, roll = face.angles
        table.add_row(
            " ".join(f"{v:.0f}" for v in face.box),
            f"{face.score:.2f}",
            f"{yaw:+.0f}°",
            f"{pitch:+.0f}°",
            f"{roll:+.0f}°",
            f"{face.quality:.2f}",
            *(_state_cells(face) if described else ()),
            " ".join(f"{x:.0f},{y:.0f}" for x, y in face.landmarks),
        )
    console.print(table)


def _state_cells(face: Face) -> tuple[str, str, str]:
    """Openness of right and left eye and of the mouth, and what is probably covered."""
    from edgeface.faces import COVER_NAMES

    if face.eyes_open is None or face.cover is None:
        return "", "", ""
    covered = [name for name, p in zip(COVER_NAMES, face.cover, strict=True) if p >= 0.5]
    return " ".join(f"{v:.2f}" for v in face.eyes_open), f"{face.mouth_open:.2f}", ", ".join(covered)
