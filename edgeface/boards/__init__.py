"""What is known of boards: `load_boards` reads the files of the package, `recognise` finds the one we run on.

Examples:
    >>> from edgeface.boards import load_boards
    >>> load_boards()["rpi5"].recommended.threads
    1
"""

from __future__ import annotations

from edgeface.boards.board import Board, Cluster, Recommendation, load_boards, parse_board
from edgeface.boards.host import Host
from edgeface.boards.recognise import Recognised, recognise

__all__ = ["Board", "Cluster", "Host", "Recognised", "Recommendation", "load_boards", "parse_board", "recognise"]
