"""Steps `search` and `pretrain` on drawn photos: what they leave is what `train` begins with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from quantize.config import Recipe, checked  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.label.step import label  # noqa: E402
from quantize.models import ARCHITECTURES, Student, load_student  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402
from quantize.train.methods.dass import LayerCosts  # noqa: E402
from quantize.train.pretrain import pretrain  # noqa: E402
from quantize.train.search import search  # noqa: E402
from quantize.train.step import train  # noqa: E402

TABLE = Path(__file__).parents[2] / "boards" / "results" / "layer_costs.json"


def recipe(root: Path, **more: Any) -> Recipe:
    return checked(
        {
            "name": "drawn",
            "run": str(root / "run"),
            "data": {"sets": [{"name": "drawn", "reader": "jsonl", "path": str(root / "drawn")}], "dev_share": 0.25},
            "model": {"architecture": "edgeface-n"},
            "train": {"precision": "float32", "phases": [{"views": 4, "size": [64], "batch": [4]}]},
            **more,
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_set(tmp_path / "drawn", 8, 1)
    run = Run(recipe(tmp_path))
    data(run)
    label(run)
    return tmp_path


def test_search_meets_its_budget_and_training_begins_with_what_is_left(root: Path) -> None:
    options = {"views": 96, "size": 64, "batch": 4, "costs": str(TABLE), "budget": 1.0, "gate_lr": 1.5, "weight": 50.0}
    run = Run(recipe(root, search=options))
    said = search(run)
    found = json.loads(run.path("search", "architecture.json").read_text())
    assert found["stem"] != ARCHITECTURES["edgeface-n"].stem, "a budget of one instruction closes what it may"
    small = load_student(run.path("search", "pruned.pt"))
    assert isinstance(small, Student)
    assert said["cost"] < 1.5e7
    assert search(run) == said, "done before"
    train(run)
    assert load_student(run.path("train", "ema.pt")).architecture == small.architecture


def test_search_needs_its_table(root: Path) -> None:
    run = Run(recipe(root, search={"views": 8, "costs": str(root / "none.json")}))
    with pytest.raises(StepError, match=r"search\.costs must be a table"):
        search(run)


def test_pretraining_goes_on_and_training_begins_with_its_backbone(root: Path) -> None:
    run = Run(recipe(root, pretrain={"views": 8, "size": 64, "batch": 4}))
    pretrain(run)
    begun = load_student(run.path("pretrain", "backbone.pt")).state_dict()
    train(run)
    trained = torch.load(run.path("train", "last.pt"), weights_only=True)["model"]
    name = "stage8.1.0.weight"
    apart = float((trained[name] - begun[name]).abs().max())
    assert 0 < apart < 0.05, "one step away from it"


def test_the_table_of_layers_is_fitted_closely() -> None:
    rows = json.loads(TABLE.read_text())["rows"]
    for core in sorted({r["core"] for r in rows}):
        costs = LayerCosts.of(rows, core)
        for r in (r for r in rows if r["core"] == core):
            cin, cout = torch.tensor(float(r["cin"])), torch.tensor(float(r["cout"]))
            fitted = float(costs.cost(r["stride"], cin, cout, r["side"] ** 2))
            assert fitted == pytest.approx(r["instructions"], rel=0.25), r


def test_neither_step_does_anything_unasked(root: Path) -> None:
    run = Run(recipe(root))
    assert search(run) == pretrain(run) == {"views": 0}
    assert not run.path("search").exists()
    assert not run.path("pretrain").exists()
