"""The latest picture and the latest record, and everybody who waits for the next one."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Board", "Post"]


@dataclass(frozen=True, slots=True)
class Post:
    """What is shown at one moment.

    Attributes:
        number: counts up.
        record: JSON-ready.
        jpeg: the picture; None if nobody was watching when it came.
    """

    number: int
    record: dict[str, Any]
    jpeg: bytes | None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _json: list[bytes] = field(default_factory=list, repr=False)

    def json(self) -> bytes:
        """The record, serialised once however many ask, and only if somebody does."""
        with self._lock:
            if not self._json:
                self._json.append(json.dumps(self.record).encode())
            return self._json[0]


class Board:
    """One writer, many readers; readers that are slow miss posts instead of queueing them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._post = Post(0, {}, None)
        self._watchers = 0
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether anybody waits for pictures: if not, none need be made."""
        return self._watchers > 0

    def post(self, record: dict[str, Any], jpeg: bytes | None) -> None:
        """Show something new."""
        with self._changed:
            self._post = Post(self._post.number + 1, record, jpeg)
            self._changed.notify_all()

    def latest(self) -> Post:
        """What is shown now."""
        return self._post

    def wait(self, after: int, timeout: float) -> Post | None:
        """The latest post once its number is greater than `after`; None after `timeout` seconds or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._post.number > after, timeout)
            return None if self._closed or self._post.number <= after else self._post

    def watch(self, change: int) -> None:
        """Count a watcher of pictures in (1) or out (-1)."""
        with self._changed:
            self._watchers += change

    @property
    def closed(self) -> bool:
        """Whether all readers should go."""
        return self._closed

    def close(self) -> None:
        """Send all readers away."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
