"""Engines as subjects of `measure`: which combinations there are, and one frame of one of them by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from edgeface.errors import EdgeFaceError, must_be
from edgeface.profiling.feed import Feed, Recording, frame_feed

if TYPE_CHECKING:
    from edgeface.engine import FaceEngine

__all__ = ["Config", "EngineSubject", "Feed", "combinations", "frame_feed", "parse_threads", "prepare"]


@dataclass(frozen=True, slots=True)
class Config:
    """Arguments of one `FaceEngine`, and whether to track; ``points`` names a per-face network."""

    model: str = "edgeface-s"
    size: str | None = None
    runtime: str = "auto"
    precision: str | None = None
    threads: int = 1
    cpus: tuple[int, ...] | None = None
    track: bool = False
    points: str | None = None

    def open(self) -> FaceEngine:
        """The engine; its first inference has not happened yet."""
        from edgeface.engine import FaceEngine

        return FaceEngine(
            self.model,
            size=self.size,
            runtime=self.runtime,
            precision=self.precision,
            threads=self.threads,
            affinity=self.cpus,
            warmup=False,
            points=self.points,
        )


class EngineSubject:
    """One configuration, fed with frames.

    Args:
        config: what to run.
        info: `FaceEngine.info` of an engine opened so, as a dict.
        feed: gives the next frame; its time is the stage "grab".
        clock: nanoseconds that never go back.
    """

    def __init__(
        self, config: Config, info: dict[str, Any], feed: Feed, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self.config = config
        self.info = info
        self.faces = 0
        self.described = 0
        self.frames = 0
        self._feed = feed
        self._clock = clock
        self._engine: FaceEngine | None = None

    @property
    def key(self) -> str:
        width, height = self.info["size"]
        cpus = "" if self.config.cpus is None else f" on {','.join(map(str, self.config.cpus))}"
        text = f"{self.info['model']} {self.info['precision']} {width}x{height} {self.info['runtime']}"
        points = "" if self.config.points is None else f" {self.config.points}"
        return f"{text} t{self.config.threads}{cpus}{' track' if self.config.track else ''}{points}"

    def fetch(self, number: int) -> None:
        if isinstance(self._feed, Recording):
            self._feed.fetch(number)

    def open(self) -> None:
        self._engine = self.config.open()

    def step(self) -> Mapping[str, int]:
        if self._engine is None:
            raise must_be("the subject", "open", "a closed one")
        started = self._clock()
        frame = self._feed()
        grabbed = self._clock() - started
        faces = self._engine.track(frame) if self.config.track else self._engine.detect(frame)
        self.faces += len(faces)
        self.described += int(faces.described.sum())
        self.frames += 1
        return {"grab": grabbed, **{stage: round(seconds * 1e9) for stage, seconds in faces.timings.items()}}

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def combinations(
    base: Config,
    *,
    sizes: Sequence[str | None] = (None,),
    runtimes: Sequence[str] = ("auto",),
    precisions: Sequence[str | None] = (None,),
    threads: Sequence[int] = (1,),
    cpus: Sequence[tuple[int, ...] | None] = (None,),
) -> list[Config]:
    """Every combination of the lists, with the rest as in *base*."""
    return [
        replace(base, size=size, runtime=runtime, precision=precision, threads=count, cpus=on)
        for size, runtime, precision, count, on in product(sizes, runtimes, precisions, threads, cpus)
    ]


def prepare(configs: Iterable[Config], feed: Feed) -> tuple[list[EngineSubject], list[tuple[Config, str]]]:
    """Subjects for the configurations that exist here, and the others, each with the reason.

    Each engine is opened once to see whether it does, and what "auto" means here.
    """
    subjects: dict[str, EngineSubject] = {}
    skipped: list[tuple[Config, str]] = []
    for config in configs:
        try:
            with config.open() as engine:
                info = engine.info.to_dict()
        except EdgeFaceError as error:
            skipped.append((config, str(error)))
            continue
        if "affinity" in info:
            del info["affinity"]
        subject = EngineSubject(config, info, feed)
        if subject.key in subjects:
            skipped.append((config, f"the same as {subject.key}"))
        else:
            subjects[subject.key] = subject
    return list(subjects.values()), skipped


def parse_threads(text: str) -> list[int]:
    """Numbers of threads from text such as "1", "1,2,4" or "1-4".

    Raises:
        InvalidInputError: anything else.
    """
    numbers: list[int] = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if not low.strip().isdigit() or (dash and not high.strip().isdigit()):
            raise must_be("threads", "numbers such as 1,2 or 1-4", repr(text))
        numbers += range(int(low), int(high or low) + 1)
    if not numbers or not all(1 <= number <= 256 for number in numbers):
        raise must_be("threads", "numbers from 1 to 256", repr(text))
    return sorted(set(numbers))
