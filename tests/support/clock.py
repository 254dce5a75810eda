"""A clock that only moves when a subject works."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Clock:
    """Nanoseconds; every reading costs `tick`."""

    def __init__(self, tick: int = 0) -> None:
        self.now = 1_000_000
        self.tick = tick

    def __call__(self) -> int:
        self.now += self.tick
        return self.now

    def sleep(self, nanoseconds: int) -> None:
        self.now += nanoseconds


class Worker:
    """A subject whose stages take known times; the first frame after opening takes `cold` more."""

    def __init__(
        self,
        key: str,
        clock: Clock,
        stages: Mapping[str, Callable[[int], int]],
        cold: int = 0,
        opening: int = 0,
        gap: int = 0,
    ) -> None:
        self.key = key
        self.clock = clock
        self.stages = stages
        self.cold = cold
        self.opening = opening
        self.gap = gap
        self.opened = 0
        self.closed = 0
        self.frame = 0
        self.log: list[str] = []

    def open(self) -> None:
        self.clock.sleep(self.opening)
        self.opened += 1
        self.frame = 0

    def step(self) -> Mapping[str, int]:
        assert self.opened == self.closed + 1
        times = {}
        for name, take in self.stages.items():
            times[name] = take(self.frame) + (self.cold if self.frame == 0 else 0)
            self.clock.sleep(times[name])
        self.clock.sleep(self.gap)
        self.frame += 1
        return times

    def close(self) -> None:
        self.closed += 1
