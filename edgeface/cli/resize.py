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
        list[str], typer.Option("--size", metavar="WxH", help="Input size, multiples of 32; again for more of them.")
    ],
    out: Annotated[Path, typer.Option(metavar="NAME.efm", help="The new bundle, with the old one's networks too.")],
) -> None:
    """Make LiteRT networks for other input sizes, such as 320x192 for a wide camera.

    Weights stay as they are; figures of the model card are those of the sizes that were measured. ONNX Runtime takes
    any size in steps of 16 as it is.
    """
    from edgeface.bundle import Bundle
    from edgeface.engine import parse_size
    from edgeface.resizing import resize_bundle

    typer.echo(resize_bundle(Bundle.find(model), [parse_size(text) for text in size], out))
