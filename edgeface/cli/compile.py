"""``edgeface compile``: a bundle for an NPU or a microcontroller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import _complete

app = typer.Typer()


@app.command(name="compile")
def compile_(
    model: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Bundled name or path of a bundle.", autocompletion=_complete.models)
    ] = "",
    target: Annotated[str, typer.Option(metavar="NAME", help="Processor; --list prints the names.")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="NAME.efm", help="Output bundle. Default: BUNDLE-TARGET.efm.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Input size. Default: that of the bundle.")] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Calibration photos for rv1106, where the toolkit quantises the float network."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Print the targets and their tools.")] = False,
) -> None:
    """Compile a bundle's network for one processor, and print the compiler's report as JSON.

    The new bundle holds the compiled network, the tool's version and golden vectors. For tflm the command also writes a
    C array.
    """
    from edgeface.bundle import Bundle
    from edgeface.compiling import TARGETS, compile_bundle
    from edgeface.engine import parse_size
    from edgeface.errors import must_be

    if listed:
        for one in TARGETS.values():
            typer.echo(f"{one.name}\t{one.tool}\t{one.processor}")
        return
    if not model or not target:
        raise typer.BadParameter("give a BUNDLE and --target NAME, or --list")
    pictures: list[Path] = []
    if photos is not None:
        pictures = sorted(path for path in photos.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if not pictures:
            raise must_be("--photos", "a folder of JPEG or PNG files", photos)
    wanted = None if size is None else parse_size(size)
    compiled = compile_bundle(Bundle.find(model), target, out, size=wanted, photos=pictures)
    for path in (compiled.path, *compiled.sources):
        typer.echo(f"written: {path}", err=True)
    typer.echo(json.dumps(compiled.report, indent=2))
