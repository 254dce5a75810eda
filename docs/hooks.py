"""Marks cells of tables for the style sheet: one word, such as edgeface-s, is never broken; few only on a phone."""

import re
from typing import Any

CELL = re.compile(r"<td((?: style=\"[^\"]*\")?)>(.*?)</td>", re.DOTALL)
MOST = 20
"""Characters of a cell that is kept on one line."""


def on_page_content(html: str, **_: Any) -> str:
    """The page with class ``word`` or ``words`` on its short cells."""
    return CELL.sub(_marked, html)


def _marked(cell: re.Match[str]) -> str:
    style, inside = cell.groups()
    words = re.sub(r"<[^>]+>", "", inside).split()
    if not words or len(" ".join(words)) > MOST or "<br" in inside:
        return cell[0]
    return f'<td class="{"word" if len(words) == 1 else "words"}"{style}>{inside}</td>'
