"""What every source of frames can do."""

from __future__ import annotations

import abc
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from edgeface.errors import ImageError
from edgeface.frame import Frame

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Source"]


class Source(abc.ABC):
    """Gives frames one after the other. Opened and read by one thread; may be opened again after `close`.

    A source of your own needs `open`, `read` and `close`; `FaceEngine.stream` then takes it like any other.

    Attributes:
        name: for messages.
        live: whether frames come at their own pace (a camera) and may be dropped; if not, every one is wanted (a file).
        cancelled: set when somebody waits for the reader to stop; a `read` that waits should look at it.

    Examples:
        >>> import numpy as np
        >>> class Grey(Source):
        ...     name, live = "grey", False
        ...     def open(self): self.left = 3
        ...     def read(self):
        ...         self.left -= 1
        ...         return Frame.from_array(np.zeros((4, 4), np.uint8), "gray") if self.left >= 0 else None
        ...     def close(self): pass
        >>> len(list(Grey()))
        3
    """

    name: str = "source"
    live: bool = False

    @property
    def cancelled(self) -> threading.Event:
        """See above. Made when it is first asked for, so that subclasses need no ``super().__init__()``."""
        event: threading.Event = self.__dict__.setdefault("_cancelled", threading.Event())  # setdefault is atomic
        return event

    @abc.abstractmethod
    def open(self) -> None:
        """Begin.

        Raises:
            SourceError: it is not there, or cannot be opened.
        """

    @abc.abstractmethod
    def read(self) -> Frame | None:
        """Wait for the next frame; None when there will be no more.

        Raises:
            ImageError: this one frame is damaged; the next may be good.
            SourceError: the source is gone; it may be opened again.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of it; may be called more than once, and after a failed `open`."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Open, give every good frame, close. Damaged frames are left out."""
        with self:
            while True:
                try:
                    frame = self.read()
                except ImageError:
                    continue
                if frame is None:
                    return
                yield frame
