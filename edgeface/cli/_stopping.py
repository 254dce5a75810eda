"""How a command that runs until it is told to stop is told so."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Stopping"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# After so many seconds the command is taken to hang, in a write to a pipe that nobody reads for example.
_PATIENCE_S: Final = 3.0


class Stopping:
    """Within the ``with`` block SIGINT, SIGTERM and SIGHUP only set `asked`, so that what has to be done at the end is.

    `KeyboardInterrupt` is raised for a second SIGINT, and where `asked` was not heeded for three seconds. Signals that
    are ignored (nohup, shells in the background) stay so. In other threads than the main one nothing is changed.
    """

    def __init__(self) -> None:
        #: Whether a signal has come.
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._insist)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def heeded(self) -> None:
        """What hung does not hang any more: take as long as the end takes."""
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
