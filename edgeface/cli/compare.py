"""``edgeface compare``: reports of bench or profile side by side, with what is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli._console import wide_console

app = typer.Typer()


@app.command()
def compare(
    reports: Annotated[
        list[Path], typer.Argument(metavar="A.json B.json...", help="Reports; the first is the baseline.")
    ],
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Allow different networks or input sizes.")
    ] = False,
    confidence: Annotated[float, typer.Option(help="Family-wise confidence level for the verdicts.")] = 0.95,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the comparison as one HTML file.")] = None,
) -> None:
    """Compare measurements stage by stage and say which differences are significant.

    Each configuration is compared with the same configuration of the other reports.
    The intervals are a bootstrap over runs, because the frames of one run are not independent.
    """
    from datetime import datetime

    from rich.table import Table
    from rich.text import Text

    from edgeface._compat import UTC
    from edgeface.errors import must_be
    from edgeface.files import write_whole
    from edgeface.profiling.compare import compare_groups, groups_of
    from edgeface.profiling.html import interval, render_compare, unjudged, verdict
    from edgeface.profiling.report import read_report
    from edgeface.profiling.times import milliseconds
    from edgeface.reading import check_output

    if out is not None:
        check_output("--out", out, reports)
    groups = groups_of([(path.stem, read_report(path)) for path in reports])
    rows = compare_groups(groups, allow_different=allow_different, confidence=confidence)
    console = wide_console(100)
    for group, its_rows in zip(groups, rows, strict=True):
        if group.key:
            console.print(Text(group.key, "table.title"), soft_wrap=True)
        # a row a report, not a column: that fits into 80 columns, however many reports there are
        table = Table()
        for name in ("stage", "report", "ms", "ratio (interval)", "verdict"):
            table.add_column(name, justify="right" if name == "ms" else "left", overflow="fold")
        for row in its_rows:
            for i, (column, typical) in enumerate(zip(group.columns, row.typical, strict=True)):
                cells = [row.stage if i == 0 else "", column.title, milliseconds(typical), "", unjudged(row, i)]
                ratio = row.ratios[i - 1] if i else None
                if ratio is not None:
                    ends = interval(ratio)
                    cells[3:] = [f"{ratio.ratio:.3f}" + (f" ({ends})" if ends else ""), verdict(ratio)[0]]
                table.add_row(*[Text(cell) for cell in cells], end_section=i == len(group.columns) - 1)
        console.print(table)
    typer.echo(
        "ms: geometric mean of the runs' medians. Ratios to the first report, intervals of confidence "
        f"{confidence:.4g} for all rows together."
    )
    if out is not None:
        page = render_compare(groups, rows, datetime.now(UTC).isoformat(timespec="seconds"), confidence)
        try:
            write_whole(out, page)
        except OSError as error:
            raise must_be("--out", "a file that can be written", f"{out}: {error.strerror}") from None
