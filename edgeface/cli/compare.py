"""``edgeface compare``: reports of bench or profile side by side, with what is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli._console import milliseconds, wide_console

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
    # a row a report, not a column: that fits into 80 columns, however many reports there are
    table = Table()
    for name in ("stage", "report", "ms", "ratio (interval)", "verdict"):
        table.add_column(name, justify="right" if name == "ms" else "left", overflow="fold")
    for row in rows:
        for i, (column, typical) in enumerate(zip(columns, row.typical, strict=True)):
            cells = [row.stage if i == 0 else "", column.title, milliseconds(typical), "", ""]
            ratio = row.ratios[i - 1] if i else None
            if ratio is not None:
                interval = "" if ratio.low is None else f" ({ratio.low:.3f}–{ratio.high:.3f})"
                cells[3:] = [f"{ratio.ratio:.3f}{interval}", verdict(ratio)[0]]
            elif i and typical is not None and row.typical[0] is not None:
                cells[4] = "too short to judge"
            table.add_row(*[Text(cell) for cell in cells], end_section=i == len(columns) - 1)
    wide_console(100).print(table)
    typer.echo(
        "ms: geometric mean of the runs' medians. Ratios to the first report, intervals of confidence "
        f"{confidence:.4g} for the whole table."
    )
    if out is not None:
        page = render_compare(columns, rows, datetime.now(UTC).isoformat(timespec="seconds"), confidence)
        try:
            write_whole(out, page)
        except OSError as error:
            raise must_be("--out", "a file that can be written", f"{out}: {error.strerror}") from None
