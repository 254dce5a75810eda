"""Where tables are printed."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["discard_output", "printable", "tolerate_narrow_encodings", "wide_console"]

_ASCII: Final = {
    "°": "",
    "→": "->",
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
}
_ERRORS: Final = "edgeface.terminal"


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


def tolerate_narrow_encodings() -> None:
    """Let stdout and stderr print what their encoding lacks: signs in plain letters, odd file names as they are."""
    codecs.register_error(_ERRORS, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def discard_output() -> None:
    """What could not be written to stdout never can: without this Python tries again at exit, and complains."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _replacement(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    parts = []
    for sign in error.object[error.start : error.end]:
        if "\udc80" <= sign <= "\udcff":  # a byte of a file's name that is no text
            parts.append(bytes([ord(sign) - 0xDC00]))
        else:
            parts.append(_ASCII.get(sign, "?").encode("ascii"))
    return b"".join(parts), error.end
