"""``edgeface detect``: faces of picture files, as a table, JSON lines or annotated pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface._compat import StrEnum
from edgeface.cli._console import printable, wide_console
from edgeface.errors import EdgeFaceError, ImageError

if TYPE_CHECKING:
    from edgeface.batch import FileResult
    from edgeface.engine import FaceEngine

app = typer.Typer()


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSONL = "jsonl"


@app.command()
def detect(
    inputs: Annotated[
        # readable=False: what cannot be read is reported file by file, and the others are still done
        list[Path],
        typer.Argument(metavar="IN...", readable=False, help="Picture files, or folders of them; - is stdin."),
    ],
    output_format: Annotated[Format, typer.Option("--format", help="How to print the faces.")] = Format.TABLE,
    model: Annotated[str, typer.Option(help="Bundled model, or path of a bundle.")] = "edgeface-s",
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size of the network.")] = None,
    min_score: Annotated[float | None, typer.Option(metavar="S", help="Leave out faces below this score.")] = None,
    runtime: Annotated[str, typer.Option(help="auto, ncnn, litert, onnxruntime or tflite.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads that compute one inference.")] = 1,
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="Write annotated pictures there.")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse pictures of more pixels (100 million).")
    ] = None,
) -> None:
    """Find faces in pictures: box, score, five landmarks, yaw, pitch, roll and quality of each.

    With --format jsonl one JSON object a picture goes to stdout, in input order. A picture that cannot be read gives an
    object with "error", a line on stderr and exit status 1 at the end; the others are still done. --save never replaces
    a picture that is read.
    """
    # a bad picture gets one line from here; OpenCV would add several of its own
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    from edgeface.batch import detect_files
    from edgeface.engine import FaceEngine
    from edgeface.images import find_images

    places = [Path("/dev/stdin") if str(path) == "-" else path for path in inputs]
    files = list(find_images(places)) or places  # detect_files says that there are none
    writer = None if save is None else _Writer(save, [*files, Path(model)])
    failed = False
    with FaceEngine(model, runtime=runtime, size=size, min_score=min_score, threads=threads) as engine:
        show = _show_jsonl if output_format is Format.JSONL else _show_table
        for result in detect_files(engine, files, images=writer is not None, max_pixels=max_pixels):
            show(engine, result)
            error = result.error
            if writer is not None and result.faces is not None:
                try:
                    writer.save(result)
                except EdgeFaceError as problem:
                    error = str(problem)
                except MemoryError:
                    error = f"image must fit into memory twice to be drawn on, but got {result.path}"
            if error is not None:
                failed = True
                typer.echo(f"error: {printable(error)}", err=True)
    if failed:
        raise typer.Exit(1)


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
    for name in ("box x1 y1 x2 y2", "score", "yaw", "pitch", "roll", "quality", "landmarks"):
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
            " ".join(f"{x:.0f},{y:.0f}" for x, y in face.landmarks),
        )
    console.print(table)


class _Writer:
    """Writes annotated pictures into a folder, one name each, and never over one of the `inputs`."""

    def __init__(self, folder: Path, inputs: Sequence[Path]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImageError(f"--save must be a folder that can be made, but got {folder}: {error.strerror}") from None
        self._folder = folder
        self._taken: set[str] = set()
        self._inputs = {identity for path in inputs if (identity := _identity(path)) is not None}

    def save(self, result: FileResult) -> None:
        from edgeface.draw import draw_faces
        from edgeface.images import write_image

        assert result.image is not None
        assert result.faces is not None
        name, number = f"{result.path.stem}.jpg", 1
        while name in self._taken:  # a/x.jpg and b/x.jpg
            number += 1
            name = f"{result.path.stem}-{number}.jpg"
        self._taken.add(name)
        path = self._folder / name
        if _identity(path) in self._inputs:
            raise ImageError(
                f"--save must be a folder where no picture that is read would be replaced, but got {self._folder}, "
                f"where {name} is one of them: take another folder"
            )
        write_image(path, draw_faces(result.image, result.faces))


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for all names and links of a file; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
