"""``edgeface VERB``: collects the verbs, turns errors into exit statuses.

How to add a verb: put a module ``edgeface/cli/VERB.py`` beside this one that defines ``app = typer.Typer()`` with one
``@app.command()`` (or several, which become ``edgeface VERB SUBVERB``); its docstring is the help. Nothing is
registered elsewhere. Modules whose name begins with ``_`` are not verbs. A verb's module is imported only when it is
asked for (and all of them for ``edgeface --help``), so import engines, OpenCV and the like inside the command. Raise
errors of `edgeface.errors`: they are shown as one line, and the exit status is 1. Wrong usage is status 2; results go
to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

import edgeface
from edgeface import cli
from edgeface.cli._console import discard_output, tolerate_narrow_encodings
from edgeface.errors import EdgeFaceError
from edgeface.runtimes.probing import installed_version

__all__ = ["app", "main"]


def _verbs() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(cli.__path__))
    return sorted(name for name in names if not name.startswith("_") and name != "app")


class _Verbs(TyperGroup):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: Any) -> list[str]:
        return _verbs()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _verbs():
            return None
        verb: typer.Typer = importlib.import_module(f"edgeface.cli.{cmd_name}").app
        verb._add_completion = False  # the options for it belong to `edgeface` only
        verb.rich_markup_mode = "markdown"  # paragraphs are filled, as wide as the terminal is
        command = typer.main.get_command(verb)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from edgeface.runtimes import RUNTIMES, installed

        typer.echo(f"edgeface {edgeface.__version__}")
        for name, runtime in RUNTIMES.items():
            state = installed_version(runtime.package) if installed(name) else f"not installed ({runtime.install})"
            typer.echo(f"{name} {state}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the versions of edgeface and the runtimes.",
    ),
) -> None:
    """Face perception on ARM boards: boxes, landmarks, head pose and quality from one small network."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted."""
    tolerate_narrow_encodings()
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except EdgeFaceError as error:
        return _failed(str(error))
    except BrokenPipeError:  # the reader of stdout has gone (``… | head``)
        discard_output()
        return 1
    except OSError as error:
        if error.filename is not None:
            return _failed(str(error))
        discard_output()
        return _failed(f"standard output must take what is written, but got: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return status


def _run(arguments: Sequence[str] | None) -> int:
    try:
        app(args=None if arguments is None else list(arguments), prog_name="edgeface", standalone_mode=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def _failed(message: str) -> int:
    with contextlib.suppress(OSError):  # a terminal that has gone
        typer.echo(f"error: {message}", err=True)
    return 1
