"""The dev split and how often photos are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.config import DataOptions
from quantize.data.sample import Sample
from quantize.data.splits import split
from quantize.train.sampling import capped, photo_chances


def photos(count: int, source: str = "a", event: str = "", group: str = "") -> list[Sample]:
    return [Sample(Path(f"{source}{event}{i}.jpg"), 9, 9, [], True, source, event, group) for i in range(count)]


def names(samples: list[Sample]) -> set[str]:
    return {s.path.name for s in samples}


def test_a_share_of_each_event_is_kept() -> None:
    samples = photos(40, event="x") + photos(20, event="y") + photos(10, "b")
    train, dev = split(samples, 0.1, 1)
    assert [sum(s.source + s.event == k for s in dev) for k in ("ax", "ay", "b")] == [4, 2, 1]
    assert len(train) + len(dev) == 70
    assert not names(train) & names(dev)
    assert names(split(samples[::-1], 0.1, 1)[1]) == names(dev), "the order of files does not matter"
    assert names(split(samples, 0.1, 2)[1]) != names(dev)


def test_photos_of_one_person_stay_on_one_side() -> None:
    samples = [s for person in "abcdefgh" for s in photos(5, event=person, group=person)]
    for s in samples:
        s.event = ""
    train, dev = split(samples, 0.25, 3)
    assert len(dev) == 10
    assert not {s.group for s in train} & {s.group for s in dev}


def test_more_photos_leave_the_others_where_they_are() -> None:
    samples = photos(100)
    before = names(split(samples, 0.1, 1)[1])
    after = names(split(samples + photos(10, event="new"), 0.1, 1)[1])
    assert before <= after


def data(*sets: dict[str, Any], **more: Any) -> DataOptions:
    return DataOptions(sets=[{"reader": "folder", "path": ".", **s} for s in sets], **more)


def test_the_weight_of_a_set_is_shared_among_its_photos() -> None:
    options = data({"name": "a", "weight": 3}, {"name": "b", "use": "negatives"}, {"name": "none", "weight": 9})
    chances = photo_chances(photos(4) + photos(1, "b") + photos(2, "quality"), options, 4.0)
    assert chances == pytest.approx(np.array([0.75] * 4 + [1] + [2, 2]) / 8)


def test_an_event_has_no_more_than_its_cap() -> None:
    options = data({"name": "a"}, {"name": "b", "use": "unlabelled"}, most_of_event=0.25)
    samples = photos(60, event="x") + photos(20, event="y") + photos(20, event="z") + photos(10) + photos(5, "b")
    chances = photo_chances(samples, options, 0)
    assert chances.sum() == pytest.approx(1)
    assert chances[110:].sum() == pytest.approx(0.5), "other kinds of sets are left alone"
    of_event = {e: chances[[s.source == "a" and s.event == e for s in samples]].sum() for e in ("x", "y", "z", "")}
    assert of_event["x"] == pytest.approx(0.125)
    assert of_event["y"] == of_event["z"] == pytest.approx(0.125)
    assert of_event[""] == pytest.approx(0.125)


def test_events_that_are_joined_share_one_cap() -> None:
    options = data({"name": "a"}, most_of_event=0.2, events_together=[["Press", "Interview"]])
    samples = photos(30, event="11--Press") + photos(30, event="37--Interview") + photos(40)
    chances = photo_chances(samples, options, 0)
    assert chances[:60].sum() == pytest.approx(0.2)


@given(
    st.lists(st.tuples(st.floats(0.01, 1), st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=12),
    st.floats(0.05, 1),
)
def test_caps_hold_and_nothing_is_lost(rows: list[tuple[float, str]], most: float) -> None:
    chances, groups = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    result = capped(chances / chances.sum(), groups, most)
    assert result.sum() == pytest.approx(1)
    named = sorted(set(groups) - {""})
    limit = most if "" in groups else max(most, 1 / len(named))
    for name in named:
        assert result[groups == name].sum() <= limit + 1e-9
    assert (result > 0).all()
