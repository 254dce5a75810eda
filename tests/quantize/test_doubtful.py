"""Doubtful rotations stay in what step ``label`` writes; they are left out where photos are read for training, to the
same training samples as a pack of an earlier version gives, which has no doubtful rotations any more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
pytest.importorskip("openvino", reason="openvino is not installed")
pytest.importorskip("quantize.label.ensemble", reason="the teachers' code or its packages are not here")

import quantize.label.step as label_step  # noqa: E402
import quantize.train.step as train_step  # noqa: E402
from quantize.compress.step import training_samples  # noqa: E402
from quantize.config import Recipe, checked  # noqa: E402
from quantize.data.sample import Sample, read_samples, write_samples  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.doctor import TEACHERS  # noqa: E402
from quantize.label.labeller import LabelRules  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402
from quantize.train.loader import ViewBatches  # noqa: E402
from quantize.train.step import train  # noqa: E402


class Teachers:
    """Each photo's face looks into the lens, they say, with a spread of its own."""

    def __init__(self, folder: Path) -> None:
        self.rules = LabelRules()

    def __call__(self, sample: Sample, image: Any, use: str) -> Sample:
        number = int("".join(c for c in sample.path.stem if c.isdigit()))
        for face in sample.faces:
            face.extra |= {"pose_spread": 1.0 + 0.37 * number}
            face.rotation = np.eye(3, dtype=np.float32)
        return sample


def recipe(root: Path, share: float = 0.5, views: int = 8) -> Recipe:
    return checked(
        {
            "name": "drawn",
            "run": str(root / "run"),
            "data": {"sets": [{"name": "drawn", "reader": "jsonl", "path": str(root / "drawn")}], "dev_share": 0.25},
            "label": {
                "teachers": str(root / "teachers"),
                "cache": str(root / "cache"),
                "pose_quantile": {"drawn": share},
            },
            "model": {"architecture": "edgeface-n"},
            "train": {
                "precision": "float32",
                "augment": {"turned_boost": 2.0},
                "phases": [{"views": views, "size": [64], "batch": [4]}],
            },
        }
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawn photos without rotations, labelled."""
    write_set(tmp_path / "drawn", 12, 1)
    labels = tmp_path / "drawn" / "labels.jsonl"
    rows = [json.loads(line) for line in labels.read_text().splitlines()]
    for row in rows:
        del row["faces"][0]["pose_300wlp"]
    labels.write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "teachers").mkdir()
    for name in TEACHERS:
        (tmp_path / "teachers" / name).touch()
    monkeypatch.setattr(label_step, "Labeller", Teachers)
    monkeypatch.setattr(label_step._Worker, "_open", {})
    monkeypatch.setattr(train_step, "measure", lambda *given: {})  # of dev photos at 640 px, which tells nothing here
    data(Run(recipe(tmp_path)))
    return tmp_path


def as_before(root: Path) -> None:
    """Replaces what step ``label`` wrote by what it wrote when it dropped doubtful rotations at once: by the rule as it
    was then.
    """
    folder = root / "run" / "label"
    samples = read_samples(folder / "pack" / "samples.jsonl")
    faces = [f for s in samples for f in s.faces]
    limit = np.quantile([f.extra["pose_entropy"] for f in faces], 0.5)
    for f in faces:
        if f.extra.pop("pose_entropy") > limit:
            f.rotation = None
    for name in ("samples.jsonl", "pack/samples.jsonl"):
        write_samples(folder / name, samples)


def shown(root: Path, share: float) -> list[Any]:
    pack, n = root / "run" / "label" / "pack", 9
    views = recipe(root).train.augment
    made = ViewBatches(pack, views, np.ones(n), 7, [(64, 8)], range(2), pose_quantile={"drawn": share})
    return [(x, *vars(batch).values()) for x, batch in made]


def test_labels_keep_all_and_training_reads_those_that_are_believed(root: Path) -> None:
    run = Run(recipe(root))
    said = label_step.label(run)
    kept = read_samples(run.path("label", "pack/samples.jsonl"))
    assert said["rotations_doubtful"] == 4 and len(kept) == 9
    assert all(s.faces[0].rotation is not None for s in kept)
    assert sum(s.faces[0].rotation is None for s in training_samples(run)) == 4
    new, everything = shown(root, 0.5), shown(root, 1.0)

    as_before(root)
    assert sum(s.faces[0].rotation is None for s in read_samples(run.path("label", "pack/samples.jsonl"))) == 4
    assert sum(s.faces[0].rotation is None for s in training_samples(run)) == 4
    old = shown(root, 0.5)
    for a, b in zip(new, old, strict=True):
        assert all(torch.equal(x, y) or torch.equal(x.isnan(), y.isnan()) for x, y in zip(a, b, strict=True))
    known = [sum(int((~v[3].isnan()).sum()) for v in views) for views in (old, everything)]
    assert 0 < known[0] < known[1], "with all rotations there is more to learn"


def test_a_run_of_an_earlier_version_goes_on_where_it_stood(root: Path) -> None:
    label_step.label(Run(recipe(root)))
    as_before(root)
    run, longer = (Run(recipe(root, views=views), device="cpu") for views in (4, 8))
    done = json.loads(run.path("label", "done.json").read_text())
    assert label_step.label(run) == done["result"], "not labelled again"
    assert train(run)["views"] == 4
    begun = run.path("train", "begun.json")
    before = json.loads(begun.read_text())
    assert "label.pose_quantile" not in before
    del before["train.methods.mos_pose"]  # a setting that this version brought
    before["train.phases"] = longer.recipe.model_dump(mode="json")["train"]["phases"]
    begun.write_text(json.dumps(before))
    assert train(longer)["views"] == 8

    with pytest.raises(StepError, match=r"label\.pose_quantile must be \{'drawn': 0\.5\}, with which an earlier"):
        train(Run(recipe(root, share=1.0, views=8), device="cpu"))
    del before["train.augment.turned_boost"]  # not at its default
    begun.write_text(json.dumps(before))
    longer.path("train", "done.json").unlink(missing_ok=True)
    with pytest.raises(StepError, match=r"but train\.augment\.turned_boost changed"):
        train(longer)


def test_another_quantile_is_another_training(root: Path) -> None:
    run = Run(recipe(root, views=4), device="cpu")
    label_step.label(run)
    train(run)
    with pytest.raises(StepError, match=r"the same recipe, but label\.pose_quantile changed"):
        train(Run(recipe(root, share=0.75, views=4), device="cpu"))
