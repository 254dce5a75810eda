"""Where tables go."""

from __future__ import annotations

from rich.console import Console

__all__ = ["output"]

_PIPE_WIDTH = 160


def output() -> Console:
    """A console on stdout, as wide as the terminal; a pipe has no width, and lines for it are not folded early."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
