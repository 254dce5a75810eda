"""``edgeface compare``: reports of bench or profile side by side, with what is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli._console import wide_console

app = typer.Typer()


@app.command()
def compare(
    reports: Annotated[list[Path], typer.Argument(metavar="A.json B.json...", help="The first is the yardstick.")],
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Compare different networks or input sizes too.")
    ] = False,
    confidence: Annotated[float, typer.Option(help="Family-wise confidence level for the verdicts.")] = 0.95,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison as one HTML file.")] = None,
) -> None:
    """Compare measurements stage by stage and say which differences are significant.

    The unit is the run (a bootstrap over runs): frames of one run depend on each other.
    """
    from datetime import datetime

    from rich.table import Table
    from rich.text import Text

    from edgeface._compat import UTC
    from edgeface.errors import must_be
    from edgeface.files import write_whole
    from edgeface.profiling.compare import columns_of, compare_columns
    from edgeface.profiling.html import render_compare, verdict
    from edgeface.profiling.report import read_report
    from edgeface.reading import check_output

    if out is not None:
        check_output("--out", out, reports)
    columns = columns_of([(path.stem, read_report(path)) for path in reports])
    rows = compare_columns(columns, allow_different=allow_different, confidence=confidence)
    table = Table()
    table.add_column("stage")
    table.add_column(columns[0].title, justify="right")
    for column in columns[1:]:
        table.add_column(column.title, justify="right")
        table.add_column("ratio", justify="right")
        table.add_column("verdict")
    for row in rows:
        cells = [row.stage, _milliseconds(row.typical[0])]
        for typical, ratio in zip(row.typical[1:], row.ratios, strict=True):
            cells.append(_milliseconds(typical))
            if ratio is None:
                cells += ["–", "–"]
                continue
            interval = "" if ratio.low is None else f" ({ratio.low:.3f}–{ratio.high:.3f})"
            cells += [f"{ratio.ratio:.3f}{interval}", verdict(ratio)[0]]
        table.add_row(*[Text(cell) for cell in cells])
    wide_console(180).print(table)
    typer.echo(
        "Milliseconds, the geometric mean of the runs' medians; ratios to the first column, intervals of confidence "
        f"{confidence:.4g} for the whole table."
    )
    if out is not None:
        page = render_compare(columns, rows, datetime.now(UTC).isoformat(timespec="seconds"), confidence)
        try:
            write_whole(out, page)
        except OSError as error:
            raise must_be("--out", "a file that can be written", f"{out}: {error.strerror}") from None


def _milliseconds(microseconds: float | None) -> str:
    return "–" if microseconds is None else f"{microseconds / 1000:.3f}"
