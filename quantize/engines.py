"""Where the work on many photos is done: in this process, or on a Dask cluster. Results come back in the order of the
items.

Only those steps need it whose items are independent, ``label`` and ``evaluate``; both keep what is done on disk, so
that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from quantize.progress import watched

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Maps a function over items."""

    def map(self, work: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]:
        """Results in the order of the items; ``what`` names the progress bar."""

    def close(self) -> None:
        """Lets go of the workers."""


class LocalEngine:
    """One item after the other in this process."""

    def map(self, work: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]:
        return (work(item) for item in watched(items, what))

    def close(self) -> None:
        pass


class DaskEngine:
    """Workers of the Dask cluster whose scheduler is at ``address``, or ``workers`` processes of this machine."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise ImportError("--engine dask needs dask.distributed: pip install 'dask[distributed]'") from error
        self.cluster: Any = None
        if address is None:
            self.cluster = LocalCluster(
                n_workers=workers or os.cpu_count() or 1, threads_per_worker=1, dashboard_address=None, protocol="tcp"
            )
        self.client = Client(address or self.cluster)

    def map(self, work: Callable[[T], R], items: Sequence[T], what: str, window: int = 64) -> Iterator[R]:
        """At most ``window`` items a worker are under way, so that millions of them do not fill the scheduler."""
        waiting: list[Any] = []
        ahead = window * max(1, len(self.client.scheduler_info()["workers"]))
        shared = self.client.scatter(work, broadcast=True)
        for item in watched(items, what):
            waiting.append(self.client.submit(_apply, shared, item, pure=False))
            if len(waiting) >= ahead:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()

    def close(self) -> None:
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()


def _apply(work: Callable[[T], R], item: T) -> R:
    return work(item)


def open_engine(name: str, workers: int | None = None) -> Engine:
    """``local``, ``dask`` (processes of this machine) or ``dask=ADDRESS`` of a scheduler.

    Raises:
        ValueError: another name.
        ImportError: Dask is not installed.
    """
    kind, _, address = name.partition("=")
    if kind == "local":
        return LocalEngine()
    if kind == "dask":
        return DaskEngine(address or None, workers)
    raise ValueError(f"engine must be local, dask or dask=ADDRESS, but got {name}")
