"""``edgeface doctor``: what is wrong with this machine, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from edgeface.cli._console import wide_console

app = typer.Typer()

_MARKS = {
    "ok": "[green]ok[/green]",
    "unknown": "[dim]?[/dim]",
    "warning": "[yellow]warn[/yellow]",
    "error": "[red]ERROR[/red]",
}


@app.command()
def doctor(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE...]", help="Compiled bundles to check against the drivers of this machine."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as a JSON list.")] = False,
) -> None:
    """Find problems with this machine: board, clocks, temperature, power, instruction set, packages, memory, engine.

    The exit status is 1 if something does not work, and 0 if there are only warnings.
    """
    from rich.table import Table
    from rich.text import Text

    from edgeface.bundle import Bundle
    from edgeface.profiling.compiled import examine_bundle
    from edgeface.profiling.doctor import examine, patient

    findings = examine(patient())
    for bundle in bundles or ():
        findings += examine_bundle(Bundle.find(bundle))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        table = Table(show_header=False)
        for finding in findings:
            text = Text(finding.message)
            if finding.remedy:
                text.append(f"\n→ {finding.remedy}", style="cyan")
            table.add_row(Text.from_markup(_MARKS[finding.level]), finding.check, text)
        wide_console(120).print(table)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
