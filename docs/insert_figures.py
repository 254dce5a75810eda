"""Put a measured table between the marks of a document, with the command that printed it.

    python docs/insert_figures.py runs/compare/table.md --command 'python -m quantize compare …'

The table is that of `python -m quantize evaluate`, `compare` or `ablate`. Nothing is typed by hand, so nothing can be
mistyped. `--rows` keeps those whose text a regular expression matches.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def between(document: str, begin: str, end: str, text: str) -> str:
    """The document with ``text`` between a mark and the next mark ``end``.

    Raises:
        ValueError: ``begin`` is not there once, or no ``end`` follows.
    """
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if document.count(begin) != 1 or not found:
        raise ValueError(f"document must hold {begin} once and then {end}, but got another arrangement")
    return f"{before}{begin}\n{text}\n{end}{after}"


def inserted(document: str, table: str, command: str) -> str:
    """The document with the table and its command between the marks; as `between` raises."""
    if document.count(END) != 1:
        raise ValueError(f"document must hold {END} once, but got it {document.count(END)} times")
    return between(document, BEGIN, END, f"Printed by `{command}`:\n\n{table.strip()}")


def filtered(table: str, pattern: str) -> str:
    """The table's head and the rows that match ``pattern`` somewhere."""
    head, rows = table.strip().splitlines()[:2], table.strip().splitlines()[2:]
    return "\n".join([*head, *(row for row in rows if re.search(pattern, row))])


def main() -> None:
    """Rewrite the document in place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--document", type=Path, default=ROOT / "README.md")
    parser.add_argument("--rows", default="", metavar="REGEX")
    options = parser.parse_args()
    table = filtered(options.table.read_text(), options.rows)
    text = inserted(options.document.read_text(), table, options.command)
    options.document.write_text(text)


if __name__ == "__main__":
    main()
