"""Batches that are shown several times."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.config import ConfigError  # noqa: E402
from quantize.train.echo import Shown, echoed, in_order  # noqa: E402
from quantize.train.loop import Trainer  # noqa: E402

small = st.integers(1, 6)


@given(small, small, st.integers(0, 9))
def test_each_batch_comes_as_often_as_the_others(times: int, batches: int, seed: int) -> None:
    order = echoed(0, 3 * times * batches, times, batches, seed)
    assert Counter(order) == dict.fromkeys(product(range(3 * batches), range(times)), 1)
    assert all(number // batches == place // (times * batches) for place, (number, _) in enumerate(order))


@given(small, small, st.integers(0, 40), st.integers(1, 40))
def test_a_resumed_run_sees_what_it_would_have_seen(times: int, batches: int, first: int, count: int) -> None:
    assert echoed(first, count, times, batches, 7) == echoed(0, first + count, times, batches, 7)[first:]


def test_echoes_come_between_others() -> None:
    order = echoed(0, 400, 4, 100, 5)
    assert sum(a == b for (a, _), (b, _) in pairwise(order)) < 20
    assert order != echoed(0, 400, 4, 100, 6)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1))
def test_a_batch_is_made_once_and_kept_until_it_has_come_for_the_last_time(order: list[tuple[int, int]]) -> None:
    numbers = [number for number, _ in order]
    made: list[int] = []

    def batches():  # type: ignore[no-untyped-def]
        for number in dict.fromkeys(numbers):
            made.append(number)
            yield torch.tensor([number]), None

    first: dict[int, Shown] = {}
    seen = []
    for shown in in_order(batches(), order):
        seen.append((int(shown.pixels), shown.time))
        assert first.setdefault(int(shown.pixels), shown) is shown  # with what was said of it
    assert seen == order
    assert made == list(dict.fromkeys(numbers))


def test_answers_alone_are_kept(tmp_path: Path) -> None:
    mimic = {"detector": "x", "hints": 0.0, "features": 1.0, "heads": 2.0, "answers": 1.0, "alone": 0}
    config = {"phases": [], "mimic": mimic, "echo": {"times": 2, "batches": 3}}
    with pytest.raises(ConfigError, match=r"\[echo\] goes with answers alone, but got \[mimic\] with features, heads"):
        Trainer(config, tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"\[echo\] must have batches, times, but got times"):
        Trainer(config | {"echo": {"times": 2}}, tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"echo.times and echo.batches must be 1 or more, but got"):
        Trainer(config | {"echo": {"times": 0, "batches": 3}}, tmp_path, tmp_path)
