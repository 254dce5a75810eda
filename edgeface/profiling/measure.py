"""Time several subjects fairly: in slices, interleaved in random order, so that a machine that gets warm or busy
meets all of them alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from edgeface.errors import must_be

__all__ = ["MIN_FRAMES", "TOTAL", "Run", "Subject", "measure"]

#: Name of the stage that spans a whole step.
TOTAL: Final = "total"
#: A run lasts at least so many frames, however slow they are.
MIN_FRAMES: Final = 5


class Subject(Protocol):
    """Something to time. Opened and closed once a run, so that start-up and memory layout are sampled too.

    It may have a ``fetch(number)``, called before it is opened for round `number`: to get what the run needs, untimed.
    """

    @property
    def key(self) -> str:
        """Its name; unique within one measurement."""

    def open(self) -> None:
        """Get ready for the first step, without doing it."""

    def step(self) -> Mapping[str, int]:
        """Do one frame; nanoseconds by stage. What a stage does not cover is in the step's `TOTAL` only."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(slots=True)
class Run:
    """One slice of one subject.

    Attributes:
        number: of the round that it belongs to.
        started_ns: since the measurement began.
        elapsed_ns: of the counted frames.
        open_ns: what `Subject.open` took.
        first: nanoseconds of the very first frame, by stage.
        stages: nanoseconds of the counted frames, by stage; `TOTAL` is always there.
        joules: consumed during the counted frames; None without a sensor.
    """

    number: int
    started_ns: int
    elapsed_ns: int = 0
    open_ns: int = 0
    first: dict[str, int] = field(default_factory=dict)
    stages: dict[str, list[int]] = field(default_factory=dict)
    joules: float | None = None

    @property
    def frames(self) -> int:
        """How many were counted."""
        return len(self.stages.get(TOTAL, ()))


def measure(
    subjects: Sequence[Subject],
    *,
    duration_s: float,
    runs: int = 10,
    warmup: int = 5,
    seed: int = 0,
    clock: Callable[[], int] = time.perf_counter_ns,
    joules: Callable[[], float | None] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, list[Run]]:
    """Time the subjects.

    Args:
        subjects: what to time; their keys must differ.
        duration_s: counted seconds of each subject, in `runs` slices.
        runs: slices a subject.
        warmup: frames at the beginning of each slice that are not counted, the first one included.
        seed: of the order.
        clock: nanoseconds that never go back.
        joules: reads the energy consumed so far.
        progress: called with the subject's key and the fraction done of all work, before each slice and at the end.

    Returns:
        For each key its runs, in order of time.

    Raises:
        InvalidInputError: no subjects, two with the same key, or a number out of range.
    """
    keys = [subject.key for subject in subjects]
    if not keys or len(set(keys)) != len(keys):
        raise must_be("subjects", "at least one, each with a key of its own", keys)
    if not 0 < duration_s <= 86400 * 7:
        raise must_be("duration", "positive and at most a week", duration_s)
    if runs < 1 or warmup < 1:
        raise must_be("runs and warmup", "at least 1", (runs, warmup))
    records: dict[str, list[Run]] = {key: [] for key in keys}
    shuffle = random.Random(seed).shuffle
    began = clock()
    done = 0
    for number in range(runs):
        order = list(subjects)
        shuffle(order)
        for subject in order:
            if progress is not None:
                progress(subject.key, done / (runs * len(keys)))
            run = Run(number, clock() - began)
            _one_run(subject, run, int(duration_s * 1e9 / runs), warmup, clock, joules)
            records[subject.key].append(run)
            done += 1
    if progress is not None:
        progress("", 1.0)
    return records


def _one_run(
    subject: Subject,
    run: Run,
    length_ns: int,
    warmup: int,
    clock: Callable[[], int],
    joules: Callable[[], float | None] | None,
) -> None:
    fetch = getattr(subject, "fetch", None)
    if fetch is not None:
        fetch(run.number)
    opening = clock()
    subject.open()
    run.open_ns = clock() - opening
    try:
        run.first = _step(subject, clock)
        for _ in range(warmup - 1):
            subject.step()
        energy = joules() if joules is not None else None
        started = clock()
        while clock() - started < length_ns or run.frames < MIN_FRAMES:
            for stage, nanoseconds in _step(subject, clock).items():
                run.stages.setdefault(stage, []).append(nanoseconds)
        run.elapsed_ns = clock() - started
        if joules is not None and energy is not None:
            after = joules()
            run.joules = None if after is None else after - energy
    finally:
        subject.close()


def _step(subject: Subject, clock: Callable[[], int]) -> dict[str, int]:
    started = clock()
    stages = subject.step()
    return {**stages, TOTAL: clock() - started}
