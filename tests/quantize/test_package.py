"""Step package and verb publish: what a bundle says of itself, and where it goes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
pytest.importorskip("edgeface._core", reason="the core is not built")

from edgeface import FaceEngine  # noqa: E402
from edgeface.bundle import Bundle  # noqa: E402
from edgeface.golden import verify  # noqa: E402
from quantize.compress.step import compress  # noqa: E402
from quantize.config import LabelOptions, load_recipe  # noqa: E402
from quantize.evaluate.step import evaluate  # noqa: E402
from quantize.export.step import export  # noqa: E402
from quantize.label.teachers import asked  # noqa: E402
from quantize.package.lineage import lineage_of  # noqa: E402
from quantize.package.publish import publish  # noqa: E402
from quantize.package.step import package  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402

OWN = {"name": "ema.pt", "sha256": "0" * 64, "foreign": False}


def _card(run: Run) -> str:
    return run.path("package", "model-card-edgeface-smoke.md").read_text()


def test_the_bundle_carries_golden_vectors(finished: Run) -> None:
    reports = verify(Bundle.open(finished.path("package", "edgeface-smoke.efm")), "onnxruntime")
    assert [r.difference for r in reports] == [None]


def test_a_bundle_that_runs_and_states_what_its_run_used(finished: Run) -> None:
    path = finished.path("package", "edgeface-smoke.efm")
    with FaceEngine(path, runtime="onnxruntime", min_score=0.01) as engine:
        assert engine.info.size == (96, 80)  # stride 32 does not divide it
        engine.detect(np.full((120, 160, 3), 100, np.uint8), "bgr")
    manifest = Bundle.open(path).manifest
    assert (manifest.version, manifest.licence, manifest.quality) == ("0.1.0", "not stated", {})
    drawn, empty = manifest.lineage["data"]
    origin = "drawn by tests/quantize/synthetic.py"
    assert drawn == {
        "name": "drawn",
        "photos": 8,
        "use": "detection, calibration of int8",
        "origin": origin,
        "terms": "not stated",
    }
    assert (empty["origin"], empty["terms"], empty["photos"]) == ("not stated", "public domain", 4)
    assert manifest.lineage["teachers"] == [] and manifest.lineage["checkpoints"] == []
    assert {r["model"] for r in manifest.metrics["results"]} == {"edgeface-smoke int8 onnxruntime"}
    assert manifest.training["phases"] == "100 views at 64 px"
    full = Bundle.open(finished.path("package", "edgeface-smoke-float32.efm")).manifest
    assert full.calibration == {} and full.metrics["results"]


def test_a_card_says_what_was_measured_and_nothing_else(finished: Run) -> None:
    card = _card(finished)
    assert re.search(r"\| wider \| letterbox 128x96 \| AP all \| [\d.e-]+ \([\d.e-]+ to [\d.e-]+\) \|\n", card)
    assert "95 % interval of a bootstrap" in card
    assert "The licence of the weights is not stated" in card
    assert "| drawn | 8 | detection, calibration of int8 | drawn by" in card
    assert "No teacher network labelled these photos." in card
    assert "Turned pictures" in card
    for unsaid in ("mask_web", "YuNet", "WIDER", "Apache", "research"):
        assert unsaid not in card, unsaid
    assert "\n\n\n" not in card


def test_teachers_are_named_where_they_were_asked(back_root: Path, finished: Run, tmp_path: Path) -> None:
    settings = [f'label.teachers="{tmp_path}"', f'model.init="{finished.path("train", "ema.pt")}"']
    run = Run(load_recipe(back_root / "c.toml", settings))
    lineage = lineage_of(run, OWN)
    assert {t["name"] for t in lineage["teachers"]} >= {"YuNet n", "CenterFace", "3DDFA_V2 mb05"}
    assert all(t["licence"] and t["source"] for t in lineage["teachers"])
    assert "MobileFaceNet" not in {t["name"] for t in lineage["teachers"]}  # no quality was asked for
    assert [c["use"] for c in lineage["checkpoints"]] == ["training began with its weights"]
    quality = asked(LabelOptions(teachers=tmp_path, quality_sets=["drawn"]))
    assert "MobileFaceNet" in {t["name"] for t in quality}
    foreign = lineage_of(run, OWN | {"foreign": True})
    assert foreign["teachers"] == [] and {d["use"] for d in foreign["data"]} == {"calibration of int8"}


def test_weights_from_elsewhere_are_not_said_to_be_trained_here(back_root: Path, finished: Run, tmp_path: Path) -> None:
    settings = [
        f'run="{tmp_path}/run"',
        "compress.method=ptq",
        "evaluate.resamples=0",
        f'evaluate.sets="{tmp_path}/no"',
    ]
    run = Run(load_recipe(back_root / "c.toml", [*settings, "export.float_bundle=false", "package.licence=MIT"]))
    shutil.copytree(finished.path("data"), run.path("data"))
    shutil.copyfile(finished.path("train", "ema.pt"), tmp_path / "mine.pt")
    compress(run, tmp_path / "mine.pt")
    export(run)
    evaluate(run)
    package(run)
    card = _card(run)
    assert "- weights: mine.pt, not trained in this run" in card and "phases" not in card
    assert "| mine.pt | the weights, trained elsewhere |" in card
    assert "| drawn | 6 | calibration of int8 |" in card
    assert "These are figures of the dev split" in card
    assert "Licence of the weights: MIT." in card
    assert "Turned pictures" not in card and "Differences between groups of people were not measured" in card
    again = Run(load_recipe(back_root / "c.toml", [*settings, "export.float_bundle=false", "export.sizes=[[128, 96]]"]))
    export(again)
    with pytest.raises(StepError, match="measured another one: run step `evaluate` again"):
        package(again)


def test_publishing_is_asked_for(back_root: Path, finished: Run, tmp_path: Path) -> None:
    models, docs = tmp_path / "models", tmp_path / "docs"
    with pytest.raises(StepError, match="publish must be run from a checkout"):
        publish(finished, models=models, docs=docs)
    models.mkdir()
    docs.mkdir()
    names = {p.name for p in publish(finished, models=models, docs=docs)}
    assert names == {"edgeface-smoke.efm", "edgeface-smoke-float32.efm", "model-card-edgeface-smoke.md"}
    assert (models / "edgeface-smoke.efm").read_bytes() == finished.path("package", "edgeface-smoke.efm").read_bytes()
    assert publish(finished, models=models, docs=docs) == []
    (models / "edgeface-smoke.efm").write_bytes(b"somebody else's")
    (docs / "model-card-edgeface-smoke.md").unlink()
    with pytest.raises(StepError, match=r"must not replace files unasked, but .*edgeface-smoke\.efm would change"):
        publish(finished, models=models, docs=docs)
    assert (models / "edgeface-smoke.efm").read_bytes() == b"somebody else's"
    assert not (docs / "model-card-edgeface-smoke.md").exists(), "nothing is written by halves"
    assert len(publish(finished, replace=True, models=models, docs=docs)) == 2
    assert not list(tmp_path.rglob("*.part"))
