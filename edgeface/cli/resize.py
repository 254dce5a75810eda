"""``edgeface resize``: LiteRT networks of other input sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import _complete

app = typer.Typer()


@app.command()
def resize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name or path of a bundle.", autocompletion=_complete.models)
    ],
    size: Annotated[
        list[str], typer.Option("--size", metavar="WxH", help="Input size, multiples of 32; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(metavar="NAME.efm", help="Output bundle; it also keeps the old networks.")],
) -> None:
    """Make LiteRT networks for other input sizes, such as 320x192 for a wide camera.

    The weights do not change. The figures of the model card apply to the measured sizes only. ncnn and onnxruntime do
    not need this command: their networks take any multiple of 16.
    """
    from edgeface.bundle import Bundle
    from edgeface.engine import parse_size
    from edgeface.resizing import resize_bundle

    typer.echo(resize_bundle(Bundle.find(model), [parse_size(text) for text in size], out))
