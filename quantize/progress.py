"""What people see while a step works. All of it goes to stderr, so that results on stdout can be piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")

console = Console(stderr=True)


def watched(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar called ``what`` that shows the remaining time while they are used up."""
    return track(items, what, len(items), console=console, transient=True)
