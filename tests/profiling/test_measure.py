"""The profiler itself, on a clock that the test moves: known delays are recovered exactly."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import Clock, Worker

from edgeface.errors import InvalidInputError
from edgeface.profiling.measure import MIN_FRAMES, TOTAL, measure
from edgeface.profiling.statistics import summarise

MS = 1_000_000


def test_known_delays_are_recovered() -> None:
    clock = Clock()
    worker = Worker(
        "a",
        clock,
        {"grab": lambda _: 1 * MS, "infer": lambda i: (3 + i % 2) * MS},
        cold=50 * MS,
        opening=200 * MS,
        gap=2 * MS,
    )
    records = measure([worker], duration_s=1.0, runs=4, warmup=2, clock=clock)
    assert len(records["a"]) == 4
    for run in records["a"]:
        assert run.open_ns == 200 * MS
        assert run.first == {"grab": 51 * MS, "infer": 53 * MS, TOTAL: 106 * MS}
        assert set(run.stages["grab"]) == {1 * MS}
        assert set(run.stages["infer"]) == {3 * MS, 4 * MS}
        # what no stage covers is in the total
        assert set(run.stages[TOTAL]) == {6 * MS, 7 * MS}
        assert run.elapsed_ns == sum(run.stages[TOTAL])
        assert 250 * MS <= run.elapsed_ns < 257 * MS
    infer = [ns for run in records["a"] for ns in run.stages["infer"]]
    assert summarise(infer)["median"] in (3 * MS, 3.5 * MS, 4 * MS)


@pytest.mark.parametrize("warmup", [1, 2, 5])
def test_frames_of_the_warm_up_are_not_counted(warmup: int) -> None:
    clock = Clock()
    worker = Worker("a", clock, {"infer": lambda i: (100 if i < 5 else 3) * MS})
    (run,) = measure([worker], duration_s=0.5, runs=1, warmup=warmup, clock=clock)["a"]
    assert run.stages["infer"].count(100 * MS) == 5 - warmup


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_subjects_never_mix(delays: list[int], runs: int, warmup: int, seed: int) -> None:
    """Whatever the order of the slices, each list holds its own subject's delays and no other's."""
    clock = Clock()
    workers = [Worker(f"w{d}", clock, {"infer": lambda _, d=d: d * MS}, cold=MS // 2) for d in delays]  # type: ignore[misc]
    records = measure(workers, duration_s=0.2, runs=runs, warmup=warmup, seed=seed, clock=clock)
    assert list(records) == [worker.key for worker in workers]
    for delay, worker in zip(delays, workers, strict=True):
        assert len(records[worker.key]) == runs
        assert worker.opened == worker.closed == runs
        for run in records[worker.key]:
            assert set(run.stages["infer"]) == {delay * MS}, "the cold frame is not counted, and nobody else's"
            assert run.frames >= MIN_FRAMES
    lists = [id(run.stages["infer"]) for runs_ in records.values() for run in runs_]
    assert len(lists) == len(set(lists))


def test_the_order_of_subjects_does_not_matter() -> None:
    def medians(keys: list[str], seed: int) -> dict[str, float | int | None]:
        clock = Clock()
        delays = {"a": 3, "b": 5, "c": 4}
        workers = [Worker(k, clock, {"infer": lambda i, k=k: delays[k] * MS + i % 3}) for k in keys]  # type: ignore[misc]
        records = measure(workers, duration_s=0.3, runs=3, warmup=1, seed=seed, clock=clock)
        return {k: summarise([ns for run in records[k] for ns in run.stages["infer"]])["median"] for k in sorted(keys)}

    assert medians(["a", "b", "c"], 0) == medians(["c", "b", "a"], 0) == medians(["b", "a", "c"], 7)


def test_drift_treats_all_alike() -> None:
    """A machine slows down by half during the measurement: equal subjects stay equal, because slices interleave."""

    class Drifting(Clock):
        def sleep(self, nanoseconds: int) -> None:
            super().sleep(round(nanoseconds * (1 + self.now / 40e9)))

    clock = Drifting()

    class Timed(Worker):
        def step(self) -> Mapping[str, int]:
            before = clock.now
            super().step()
            return {"infer": clock.now - before}

    twins = [Timed(name, clock, {"infer": lambda _: 5 * MS}) for name in ("a", "b")]
    records = measure(twins, duration_s=10, runs=40, clock=clock)
    means = [summarise([ns for run in records[t.key] for ns in run.stages["infer"]])["mean"] for t in twins]
    assert means[0] == pytest.approx(means[1], rel=0.03)
    first, last = (records["a"][i].stages["infer"][0] for i in (0, -1))
    assert last > first * 1.4, "there is drift to cancel"


def test_rounds_hold_every_subject_once_in_changing_order() -> None:
    clock = Clock()
    seen: list[str] = []
    workers = [Worker(name, clock, {"infer": lambda _: MS}) for name in "abcd"]
    measure(workers, duration_s=0.01, runs=12, clock=clock, progress=lambda key, _: seen.append(key))
    assert seen.pop() == ""
    rounds = [tuple(seen[i : i + 4]) for i in range(0, 48, 4)]
    assert all(sorted(r) == list("abcd") for r in rounds)
    assert len(set(rounds)) > 4


def test_progress_rises_to_one() -> None:
    clock = Clock()
    fractions: list[float] = []
    measure(
        [Worker("a", clock, {"x": lambda _: MS})],
        duration_s=0.01,
        runs=5,
        clock=clock,
        progress=lambda _, f: fractions.append(f),
    )
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_energy_of_counted_frames_only() -> None:
    clock = Clock()
    watts = 2.0
    worker = Worker("a", clock, {"infer": lambda _: 10 * MS}, cold=500 * MS, opening=900 * MS)
    records = measure([worker], duration_s=1, runs=2, clock=clock, joules=lambda: clock.now * 1e-9 * watts)
    for run in records["a"]:
        assert run.joules == pytest.approx(run.elapsed_ns * 1e-9 * watts)


def test_a_subject_is_closed_when_it_fails() -> None:
    clock = Clock()

    class Broken(Worker):
        def step(self) -> Mapping[str, int]:
            raise RuntimeError("broken")

    broken = Broken("a", clock, {})
    with pytest.raises(RuntimeError, match="broken"):
        measure([broken], duration_s=1, clock=clock)
    assert broken.closed == 1


def test_bad_arguments_are_refused() -> None:
    clock = Clock()
    one = Worker("a", clock, {})
    with pytest.raises(InvalidInputError, match="each with a key of its own, but got \\['a', 'a'\\]"):
        measure([one, Worker("a", clock, {})], duration_s=1)
    with pytest.raises(InvalidInputError, match="at least one"):
        measure([], duration_s=1)
    for duration in (0, -1, float("nan")):
        with pytest.raises(InvalidInputError, match="duration must be positive"):
            measure([one], duration_s=duration)
    with pytest.raises(InvalidInputError, match="runs and warmup must be"):
        measure([one], duration_s=1, runs=0)
