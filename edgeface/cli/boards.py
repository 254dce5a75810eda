"""``edgeface boards``: the boards that are known, one of them in full, offline install bundles for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgeface.boards import Board

from edgeface.cli import _complete
from edgeface.cli._console import printable, wide_console

app = typer.Typer()


@app.callback(invoke_without_command=True)
def boards(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts about all boards as JSON.")] = False,
) -> None:
    """List the supported boards and their recommended settings; this board comes first."""
    if context.invoked_subcommand is not None:
        return
    from rich.table import Table
    from rich.text import Text

    from edgeface.boards import load_boards, recognise

    known = load_boards()
    if as_json:
        typer.echo(json.dumps({name: board.facts for name, board in known.items()}, indent=2, ensure_ascii=False))
        return
    here = recognise()
    table = Table()
    for name in ("board", "title", "cores", "dotprod", "run", "threads", "on CPUs"):
        table.add_column(name, overflow="fold")
    order = sorted(known.values(), key=lambda board: (here is None or board.name != here.board.name, board.generic))
    for board in order:
        mine = here is not None and board.name == here.board.name
        wanted = board.recommended
        table.add_row(
            Text(f"{board.name} (this one)", "bold") if mine else board.name,
            board.title,
            _cores(board),
            "yes" if board.has("dotprod") else "no",
            f"{wanted.model} {wanted.precision} {wanted.size[0]}x{wanted.size[1]}, {wanted.runtime}",
            str(wanted.threads),
            ",".join(map(str, wanted.cpus)),
        )
    wide_console(180).print(table)
    if here is None:
        typer.echo("This machine is none of them.", err=True)


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="Board name. Default: this board.", autocompletion=_complete.boards)
    ] = None,
) -> None:
    """Show all facts about one board with their sources."""
    from rich.text import Text
    from rich.tree import Tree

    from edgeface.boards import load_boards, recognise
    from edgeface.errors import must_be

    known = load_boards()
    if name is None:
        here = recognise()
        if here is None:
            raise must_be("NAME", "given, for this machine is none of the known boards", "none")
        name = here.board.name
    if name not in known:
        raise must_be("NAME", f"one of {', '.join(known)}", name)
    tree = Tree(Text(name, "bold"))
    _grow(tree, known[name].facts)
    wide_console(160).print(tree)


def _cores(board: Board) -> str:
    return " + ".join(f"{len(c.cpus)}x {c.core.removeprefix('cortex-').upper()} {c.max_mhz}" for c in board.clusters)


def _grow(tree: Any, value: dict[str, Any]) -> None:
    from rich.text import Text

    for key, inner in value.items():
        rows = inner if isinstance(inner, list) and inner and isinstance(inner[0], dict) else [inner]
        for row in rows:
            if isinstance(row, dict):
                _grow(tree.add(Text(key)), row)
            else:
                text = ", ".join(map(str, row)) if isinstance(row, list) else str(row)
                tree.add(Text(f"{key}: {text or '-'}"))


@app.command()
def pack(
    board: Annotated[str, typer.Option(help="Board name, as listed by `edgeface boards`.")],
    python: Annotated[str, typer.Option(metavar="X.Y", help="Python version on the board.")] = "3.11",
    wheel: Annotated[
        Path | None,
        typer.Option(help="The aarch64 wheel of edgeface, built by cpp/cross/build_wheel.sh in a checkout. Required."),
    ] = None,
    glibc: Annotated[str, typer.Option(metavar="X.Y", help="glibc on the board (`ldd --version`).")] = "2.36",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Output file.")] = None,
) -> None:
    """Write one tar file that installs edgeface on a board without a network connection.

    It holds the wheels (edgeface, its runtime, NumPy, OpenCV …), install.sh, a systemd unit, and SHA256SUMS. On the
    board: tar xf FILE && ./edgeface-BOARD/install.sh.
    """
    from edgeface.boards.pack import pack_board

    written = pack_board(board, python=python, wheel=wheel, glibc=glibc, out=out)
    size = written.stat().st_size / 1e6
    typer.echo(f"{printable(str(written))} ({size:.0f} MB)", err=True)
    typer.echo(str(written))
