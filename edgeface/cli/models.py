"""``edgeface models``: what came with the package, or what is in a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def models(
    bundles: Annotated[
        list[Path] | None, typer.Argument(metavar="[BUNDLE...]", help="Bundles to show instead.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the complete manifests as a JSON list.")] = False,
) -> None:
    """List the bundled models (networks, sizes, licence) and check every hash."""
    from rich.table import Table

    from edgeface.bundle import Bundle, bundled_models
    from edgeface.cli._console import wide_console

    opened = [Bundle.open(path) for path in (bundles if bundles else bundled_models().values())]
    if as_json:
        typer.echo(json.dumps([bundle.manifest.to_dict() for bundle in opened], indent=2))
        return
    table = Table()
    for name in ("model", "version", "network", "precision", "size", "kB", "sha256", "licence"):
        table.add_column(name, justify="right" if name == "kB" else "left", overflow="fold")
    for bundle in opened:
        manifest = bundle.manifest
        for i, model in enumerate(manifest.models):
            size = "{}x{}".format(*model.size) if model.size else f"any x{model.size_multiple}"
            first = (manifest.name, manifest.version) if i == 0 else ("", "")
            kilobytes = f"{(len(bundle.read(model)) + len(bundle.read_weights(model) or b'')) / 1000:.0f}"
            table.add_row(*first, model.file, model.precision, size, kilobytes, model.sha256[:12], manifest.licence)
    wide_console().print(table)
