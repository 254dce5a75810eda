"""What a process that was forked from one with engines does with their copies: it raises, and lets go."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Protocol

__all__ = ["abandon", "let_go_in_forks"]


class _Forkable(Protocol):
    def _forked(self) -> None: ...


_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def let_go_in_forks(owner: _Forkable) -> None:
    """Have ``owner._forked()`` called in every process that is forked from this one while `owner` lives."""
    _owners.add(owner)


def abandon(thing: object) -> None:
    """Never destroy this: a fork has the memory of a runtime but not its threads, and its destructor waits for them."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _in_child() -> None:
    for owner in list(_owners):
        owner._forked()


os.register_at_fork(after_in_child=_in_child)
