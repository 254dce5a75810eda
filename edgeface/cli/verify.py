"""``edgeface verify``: does this machine compute what the bundle's golden vectors say?"""

from __future__ import annotations

from typing import Annotated

import typer

from edgeface.cli import _complete

app = typer.Typer()


@app.command()
def verify(
    model: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Bundled name or path of a bundle.", autocompletion=_complete.models)
    ],
    runtime: Annotated[str, typer.Option(help="auto (all installed runtimes) or the name of one.")] = "auto",
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="Allowed difference of outputs; 0 requires identical bits.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="First compute golden vectors on this machine and add them to the bundle.")
    ] = False,
) -> None:
    """Compare this machine's kernels and runtimes with the golden vectors of a bundle.

    The input tensor must be bit-identical. Outputs may differ by rounding. If one differs by more, the command names
    the first such tensor and exits with status 1.
    """
    from pathlib import Path

    from edgeface.bundle import Bundle
    from edgeface.errors import must_be
    from edgeface.golden import add_golden
    from edgeface.golden import verify as compare

    if write:
        if not Path(model).is_file():
            raise must_be("BUNDLE", "the path of a bundle with --write", model)
        add_golden(model)
    failed = False
    for report in compare(Bundle.find(model), runtime, tolerance=tolerance):
        if report.difference is None:
            how = (
                "equal to the bit"
                if report.exact
                else f"outputs within {report.largest:.2g} ({report.allowed:g} allowed)"
            )
            typer.echo(f"ok\t{report.runtime}\t{report.file}\t{how}")
            continue
        failed = True
        off = report.difference
        steps = "" if off.steps is None else f" ({off.steps} steps)"
        allowed = "none allowed" if off.tensor == "input" else f"{report.allowed:g} allowed"
        typer.echo(
            f"DIFFERS\t{report.runtime}\t{report.file}\t{off.tensor}: {off.differing} of {off.values} values, "
            f"by up to {off.largest:.3g}{steps}, {allowed}"
        )
    if failed:
        raise typer.Exit(1)
