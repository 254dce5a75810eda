"""Where tables are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["printable", "wide_console"]


def printable(text: str) -> str:
    """Text of foreign origin, such as a file's name, as one line that every terminal shows and none obeys.

    Examples:
        >>> print(printable("a\\x1b[2Jb.jpg"))
        a\\x1b[2Jb.jpg
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def wide_console(width: int = 160) -> Console:
    """A console for stdout that is as wide as the terminal, or *width* columns where there is none (a pipe, a log).

    Strings are printed as they are: names of files and models may look like Rich's markup. Use `rich.text.Text`.
    """
    from rich.console import Console

    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=width, markup=False, emoji=False)
