"""Sets that may be absent, and sets that repeat photos of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from quantize.config import RecipeError, checked  # noqa: E402
from quantize.data.sample import read_samples  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402


def recipe(root: Path, *sets: dict[str, Any]) -> Any:
    rows = [{"reader": "jsonl", "path": str(root / s["name"]), **s} for s in sets]
    phases = [{"views": 4, "size": [64], "batch": [4]}]
    return checked(
        {
            "name": "drawn",
            "run": str(root / "run"),
            "data": {"sets": rows},
            "model": {"architecture": "edgeface-n"},
            "train": {"phases": phases},
        }
    )


def test_an_optional_set_may_be_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "a", 4, 1)
    run = Run(recipe(tmp_path, {"name": "a"}, {"name": "b", "optional": True}))
    assert data(run)["photos"] + data(run)["dev"] == 4
    assert "b: left out, no" in capsys.readouterr().err
    write_set(tmp_path / "b", 3, 2)  # what came since is not overlooked
    assert data(run)["photos"] + data(run)["dev"] == 7
    with pytest.raises(StepError, match="data needs set c"):
        data(Run(recipe(tmp_path, {"name": "a"}, {"name": "c"})))


def test_photos_of_another_set_are_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "few" / "x", 2, 1)
    write_set(tmp_path / "many" / "x", 5, 2)  # x0.png to x4.png, the first two as in few
    sets = [{"name": n, "path": str(tmp_path / n / "x")} for n in ("few", "many")]
    sets[1]["without"] = "few"
    run = Run(recipe(tmp_path, *sets))
    data(run)
    there = read_samples(run.path("data", "samples.jsonl")) + read_samples(run.path("data", "dev.jsonl"))
    assert sorted(s.path.name for s in there if s.source == "many") == ["x2.png", "x3.png", "x4.png"]
    with pytest.raises(RecipeError, match=r"data\.sets\.0\.without must name a set before it \(\), but got many"):
        recipe(tmp_path, {**sets[0], "without": "many"}, sets[1])


def test_only_labelled_sets_are_measured_on(tmp_path: Path) -> None:
    write_set(tmp_path / "labelled", 10, 1)
    write_set(tmp_path / "people", 10, 2)
    run = Run(recipe(tmp_path, {"name": "labelled"}, {"name": "people", "use": "unlabelled"}))
    assert data(run)["photos"] == 19
    assert [s.source for s in read_samples(run.path("data", "dev.jsonl"))] == ["labelled"]


def test_sets_of_a_base_are_left_out(tmp_path: Path) -> None:
    whole = recipe(tmp_path, {"name": "a"}, {"name": "b"}).model_dump(mode="json")
    whole["data"]["left_out"] = ["b"]
    rest = checked(whole)
    assert [s.name for s in rest.data.sets] == ["a"]
    assert checked(rest.model_dump(mode="json")) == rest
    whole["data"]["left_out"] = ["c"]
    with pytest.raises(RecipeError, match=r"left_out must name sets of data\.sets, but got c"):
        checked(whole)
