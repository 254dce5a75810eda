"""Tables of the command line: for people on a terminal, plain lines where they are piped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from quantize.config import flat, load_recipe, sources_of
from quantize.doctor import Finding


def print_recipe(path: Path, settings: Sequence[str], console: Console | None = None) -> None:
    """Every value of a recipe with its key, and the file, option or default that it comes from."""
    sources = sources_of(path, settings)
    rows = [
        (place, json.dumps(value, ensure_ascii=False), sources[key])
        for key, whole in flat(load_recipe(path, settings).model_dump(mode="json")).items()
        for place, value in _spread(key, whole)
    ]
    _print(("key", "value", "from"), rows, console or Console(highlight=False))


def _spread(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A list of tables, such as that of sets, as a row for each of their values."""
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        for number, table in enumerate(value):
            yield from ((f"{key}.{number}.{k}", v) for k, v in flat(table).items())
    else:
        yield key, value


def print_findings(findings: Sequence[Finding], console: Console | None = None) -> None:
    """What was looked for, whether it is here, and what to do where it is not."""
    rows = [(f.step, f.what, f.here or ("MISSING" if f.needed else "no"), "" if f.here else f.remedy) for f in findings]
    _print(("step", "needs", "here", "what to do"), rows, console or Console(highlight=False))


def _print(heads: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    if not console.is_terminal:
        for row in rows:
            console.file.write("\t".join(row) + "\n")
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console.print(table)
