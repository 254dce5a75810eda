"""Where tables are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["wide_console"]


def wide_console(width: int = 160) -> Console:
    """A console for stdout that is as wide as the terminal, or *width* columns where there is none (a pipe, a log)."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)
