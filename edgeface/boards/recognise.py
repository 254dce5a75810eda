"""Which of the known boards is this?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeface.boards.board import Board, load_boards
from edgeface.boards.host import LIKE, Host

__all__ = ["Recognised", "recognise"]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A board and the reason for taking it."""

    board: Board
    reason: str


def recognise(host: Host | None = None, boards: Mapping[str, Board] | None = None) -> Recognised | None:
    """Find the board's file: by the device tree, else a generic one by the fastest cores of ``/proc/cpuinfo``.

    Args:
        host: machine to look at; the one we run on if None.
        boards: to choose from; those of the package if None.

    Returns:
        None on a machine that is no known board and has no known cores (any x86).
    """
    host = host or Host()
    boards = load_boards() if boards is None else boards
    for entry in host.compatible:  # most specific first: a board's own name comes before its chip's
        for board in boards.values():
            if entry in board.compatible:
                return Recognised(board, f"device tree: compatible {entry}")
    model = host.model or ""
    for board in boards.values():
        for beginning in board.models:
            if model.startswith(beginning):
                return Recognised(board, f"device tree: model {model}")
    # on big.LITTLE the big cores decide; the lists of kinds are in order of falling speed
    kinds = {cpu.core for cpu in host.cpus()}
    for core, like in LIKE.items():
        generic = boards.get(f"generic-{core}")
        if generic is not None and kinds & {core, *like}:
            return Recognised(generic, f"/proc/cpuinfo: {', '.join(sorted(kinds))} cores")
    return None
