"""How far a long work is, on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import typer

from edgeface.cli._console import printable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["FrameProgress", "results_on_terminal"]

# How often a log gets a line.
_LOG_S: Final = 10.0


class FrameProgress:
    """A bar with the remaining time on a terminal; elsewhere a line every ten seconds.

    Args:
        title: of what is worked on.
        total: frames; None if that is not known.
        bar: whether a bar may be shown; not where results go to the same terminal.
    """

    def __init__(self, title: str, total: int | None, *, bar: bool = True) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._title, self._total = printable(title), total
        self._bar: Progress | None = None
        if console.is_terminal and bar:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(escape(self._title), total=total)
        self._done = 0
        self._began = self._told = time.monotonic()

    def advance(self) -> None:
        """One frame more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif (now := time.monotonic()) - self._told >= _LOG_S:
            self._told = now
            typer.echo(f"{self._title}: {self._state(now)}", err=True)

    def _state(self, now: float) -> str:
        if self._total is None or self._done > self._total:
            return f"{self._done} frames"
        left = (now - self._began) / self._done * (self._total - self._done)
        return f"{self._done} of {self._total} frames, {_duration(left)} left"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def results_on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
