"""Keep a line that a library prints on its own account out of the user's stderr."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["without_line"]

_lock = threading.Lock()
_done: set[bytes] = set()


@contextlib.contextmanager
def without_line(text: bytes) -> Iterator[None]:
    """Leave out lines with `text` of what is written to file descriptor 2 meanwhile; all others follow at the end.

    For lines that a library prints once a process and offers no switch for: only the first use does anything. Other
    threads write as ever, their lines come later by as long as the block takes.

    Args:
        text: that the line contains.
    """
    with _lock:
        if text in _done:
            first = None
        else:
            _done.add(text)
            first = _spare()
        try:
            yield
        finally:
            if first is not None:
                _give_back(*first, text)


def _spare() -> tuple[int, int] | None:
    """The true stderr, and the file that takes its place; None where there is no stderr, or no room for a file."""
    with contextlib.suppress(OSError, AttributeError):
        true = os.dup(2)
        try:
            file = os.memfd_create("edgeface-stderr")
        except (OSError, AttributeError):
            os.close(true)
            raise
        os.dup2(file, 2)
        return true, file
    return None


def _give_back(true: int, file: int, text: bytes) -> None:
    os.dup2(true, 2)
    os.close(true)
    with contextlib.suppress(OSError), os.fdopen(file, "rb") as written:
        written.seek(0)
        rest = b"".join(line for line in written if text not in line)
        while rest:
            rest = rest[os.write(2, rest) :]
