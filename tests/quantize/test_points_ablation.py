"""The ablation of edgeface-points: its rows, and all of it on drawn faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

import torch
from points_faces import DRAWN, write_pack

from quantize.points.config import PointsRecipe
from quantize.points.model import OUTPUTS, SIZE, build_points, polar_grid
from quantize.run import StepError
from quantize.train.ablation import ablate, load_ablation, trainings

FILE = Path(__file__).parents[2] / "quantize" / "recipes" / "ablation-points.toml"
RECIPE = (
    DRAWN
    + """[train]
views = 8
batch = 4
precision = "float32"
"""
)


def test_every_method_has_a_row_at_equal_views() -> None:
    every = trainings(load_ablation(FILE), FILE.parent)
    assert {t.views for t in every} == {30_000} and {t.seed for t in every} == {1, 2}
    recipes = [t.run.recipe for t in every if t.seed == 1]
    assert all(isinstance(r, PointsRecipe) for r in recipes)
    sizes = {sum(p.numel() for p in build_points(r.model.architecture).parameters()) for r in recipes}
    assert len(sizes) == 3 and min(sizes) < 0.6 * 381_037 and max(sizes) > 1.8 * 381_037
    (taught,) = [t for t in every if t.row.teachers and t.seed == 2]
    methods = taught.run.recipe.train.methods
    assert methods.tough_teacher == taught.run.folder.parent / "recipe-2" / "train" / "ema.pt"
    assert methods.tolerant_teacher is not None and taught.run.recipe.train.losses.teachers > 0


def test_a_polar_crop_shows_the_middle_larger() -> None:
    grid = polar_grid().numpy()
    radius = np.linalg.norm(grid, axis=-1)
    assert np.ptp(radius, axis=0).max() < 1e-6 and (np.diff(radius[0]) > 0).all()
    assert (radius[0] < 0.6).mean() == pytest.approx(np.tanh(1), abs=0.01)
    network = build_points("edgeface-points-polar").eval()
    assert "grid" not in network.state_dict()
    image = torch.zeros(1, 3, SIZE, SIZE)
    image[..., :8, :8] = 1  # a corner: beyond the face, but seen
    assert (network(image)[0] != network(torch.zeros_like(image))[0]).any()
    assert [o.shape[1] for o in network(image)] == list(OUTPUTS.values())


@pytest.fixture
def ablation(tmp_path: Path) -> Path:
    """An ablation of three rows on drawn faces."""
    (tmp_path / "r.toml").write_text(RECIPE.format(root=tmp_path))
    path = tmp_path / "ablation.toml"
    path.write_text(
        f'recipe = "r.toml"\nrun = "{tmp_path}/ablation"\nseeds = [1]\n'
        '[[rows]]\nname = "recipe"\n'
        '[[rows]]\nname = "kd"\nteachers = {tough = "recipe", tolerant = "smooth"}\n'
        "set = {train = {losses = {teachers = 5.0}}}\n"
        '[[rows]]\nname = "smooth"\nset = {train = {methods = {points_variance = 0.9}}}\n'
        '[[rows]]\nname = "polar"\nset = {model = {architecture = "edgeface-points-polar"}}\n'
    )
    return path


def test_an_ablation_whole_and_again(ablation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepError, match="must hold labelled photos, but does not"):
        ablate(ablation, "cpu")
    root = ablation.parent / "ablation"
    write_pack(root / "label" / "pack", 8)
    write_pack(root / "label" / "dev-pack", 4, seed=1)
    text = ablate(ablation, "cpu").read_text()
    results = json.loads((root / "table.json").read_text())
    assert list(results) == ["recipe", "kd", "smooth", "polar"]
    # figures are rounded, and two steps may not move them: the weights tell
    files = [root / f"{name}-1" / "train" / "ema.pt" for name in results]
    weights = [torch.load(file, weights_only=True)["weights"] for file in files]
    flat = {tuple(np.concatenate([w.numpy().ravel() for w in each.values()]).tolist()) for each in weights}
    assert len(flat) == 4, "each row is another network"
    assert "| row | NME / eyes, % | NME, inexact crops, % |" in text and "| kd | " in text
    assert "0 of 4 trainings are done" in capsys.readouterr().err
    ablate(ablation, "cpu")
    assert "4 of 4 trainings are done" in capsys.readouterr().err
    ablation.write_text(ablation.read_text().replace("teachers = 5.0", "teachers = 4.0"))
    with pytest.raises(StepError, match=r"same recipe, but train\.losses\.teachers changed"):
        ablate(ablation, "cpu")
