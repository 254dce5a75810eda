"""The steps of edgeface-points on drawn faces, from noise to a bundle that the SDK opens."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import DRAWN, photo, target, write_pack

from edgeface.bundle import Bundle
from edgeface.manifest import POINTS_RULE
from quantize.config import RecipeError, load_recipe
from quantize.data.sample import FaceLabel, Sample, write_samples
from quantize.points.crop import MARGIN
from quantize.points.train import PointsTrainer
from quantize.run import Run, StepError

RECIPE = (
    DRAWN
    + """[train]
views = 64
batch = 16
precision = "float32"
[train.optimizer]
warmup = 1
[compress]
photos = 16
control_faces = 8
budget = {{nme = 1.0}}
[evaluate]
detector = "edgeface-n"
ledger = "{root}/ledger.jsonl"
"""
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose data and labels are there."""
    root = tmp_path_factory.mktemp("points")
    (root / "recipe.toml").write_text(RECIPE.format(root=root))
    write_pack(root / "run" / "label" / "pack", 24)
    write_pack(root / "run" / "label" / "dev-pack", 4, seed=1)
    samples = []
    for k in range(2):
        one = target((10.0 * k, 0, 0))
        cv2.imwrite(str(root / f"{k}.png"), photo(one.points, k))
        face = FaceLabel(one.box.astype(np.float32), extra={"points68": one.points.tolist()})
        samples.append(Sample(root / f"{k}.png", 240, 240, [face], False, "drawn"))
    for step in ("data", "label"):
        (root / "run" / step).mkdir(exist_ok=True)
        write_samples(root / "run" / step / "dev.jsonl", samples)
        write_samples(root / "run" / step / "samples.jsonl", samples)
    return Run(load_recipe(root / "recipe.toml"))


def test_from_noise_to_a_bundle(run: Run) -> None:
    from quantize.points.compress import compress
    from quantize.points.evaluate import evaluate
    from quantize.points.export import export
    from quantize.points.package import package
    from quantize.points.train import train

    pytest.importorskip("ncnn")
    trained = train(run)
    assert trained["views"] == 64 and trained["nme"] < 60
    compress(run)
    parity = export(run)["parity"]
    assert parity["ncnn float32"] < 0.1 and parity["onnx int8"] < 3 and parity["ncnn int8"] < 3
    evaluate(run)
    table = json.loads(run.path("evaluate", "table.json").read_text())
    assert table["dev"]["onnx int8"]["true"]["faces"] == 2
    assert not (run.folder.parent / "ledger.jsonl").exists()  # nothing held out was opened
    made = package(run)
    manifest = Bundle.open(Path(made["bundle"])).manifest
    assert manifest.decode.rule == POINTS_RULE and manifest.decode.margin == MARGIN
    assert [m.format for m in manifest.models] == ["ncnn", "onnx"]
    assert manifest.lineage["data"][0]["origin"].startswith("drawn by")
    assert "Do not use it to identify people" in Path(made["card"]).read_text()


def test_a_training_goes_on_as_if_it_had_not_been_interrupted(run: Run, tmp_path: Path) -> None:
    recipe = load_recipe(run.folder.parent / "recipe.toml")
    packed = run.path("label", "pack")
    first = PointsTrainer(recipe, packed, tmp_path / "two")
    for _ in range(2):
        first._step(*first.views.batch(recipe.seed, first.seen, 16), 1e-3)
        first.step, first.seen = first.step + 1, first.seen + 16
    first.save()
    second = PointsTrainer(recipe, packed, tmp_path / "two")
    assert (second.step, second.seen) == (2, 32)
    pairs = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    assert all((a == b).all() for a, b in pairs)
    second.train()
    assert second.seen == recipe.train.views


def test_another_recipe_does_not_go_on_with_a_run(run: Run) -> None:
    from quantize.points.train import train

    folder = run.path("train")
    folder.mkdir(exist_ok=True)
    (folder / "last.pt").write_bytes(b"")
    (folder / "begun.json").write_text(json.dumps({"train.batch": 99, "train.views": 5}))
    other = Run(load_recipe(run.folder.parent / "recipe.toml", ["train.optimizer.lr=1e-4"]))
    with pytest.raises(StepError, match="must have been begun by the same recipe"):
        train(other)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.phases=[]", r"train\.phases must be a known key"),
        ("search.views=5", r"search\.views must be 0"),
        ("train.losses.teachers=1", r"losses\.teachers must be above 0 where methods names teachers"),
    ],
)
def test_a_recipe_of_points_has_its_own_schema(run: Run, setting: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(run.folder.parent / "recipe.toml", [setting])


def test_the_shipped_recipe_is_whole() -> None:
    recipe = load_recipe(Path("quantize/recipes/edgeface-points.toml"))
    assert recipe.task == "points" and recipe.model.init is None
