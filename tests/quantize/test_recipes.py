"""Recipes: what they inherit, what is wrong with them, and where each value comes from."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantize.config import Recipe, RecipeError, checked, flat, load_recipe, sources_of
from quantize.show import print_recipe

RECIPES = Path(__file__).parents[2] / "quantize" / "recipes"
LEAST: dict[str, Any] = {
    "name": "x",
    "run": "runs/x",
    "data": {"sets": [{"name": "a", "reader": "folder", "path": "a"}]},
    "model": {"architecture": "edgeface-s"},
    "train": {"phases": [{"views": 1, "size": [320], "batch": [1]}]},
}


@pytest.mark.parametrize("name", sorted(p.name for p in RECIPES.glob("edgeface-*.toml")))
def test_recipes_of_shipped_networks_hold(name: str) -> None:
    recipe = load_recipe(RECIPES / name)
    assert recipe.name == name.removesuffix(".toml")
    assert all(s.origin != "not stated" and s.terms != "not stated" for s in recipe.data.sets)
    if recipe.task == "faces":
        assert [recipe.train.augment_of(n).hard > 0 for n in range(len(recipe.train.phases))][-1]


def test_architectures_of_recipes_exist() -> None:
    models = pytest.importorskip("quantize.models", reason="the toolchain's extra is not installed")
    from quantize.points.model import ARCHITECTURES

    known = {"faces": models.ARCHITECTURES, "points": ARCHITECTURES}
    for path in RECIPES.glob("edgeface-*.toml"):
        recipe = load_recipe(path)
        assert recipe.model.architecture in known[recipe.task]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_recipe_gives_the_differences_to_its_base(tmp_path: Path) -> None:
    _write(
        tmp_path / "old/first.toml",
        'seed = 1\n[data]\nsets = [{name = "a", reader = "folder", path = "a"}]\n[model]\narchitecture = "edgeface-n"\n'
        "[train]\nthreads = 3\nphases = [{views = 5, size = [64], batch = [2]}]\n[train.losses]\nscore = 4\nbox = 8\n",
    )
    _write(tmp_path / "old/second.toml", 'base = "first.toml"\nseed = 2\n[train.losses]\nbox = 9\n')
    mine = _write(
        tmp_path / "mine.toml",
        'base = "old/second.toml"\n[train]\nphases = [{views = 7, size = [96], batch = [1], over = {camera = 0.1}}]\n',
    )
    recipe = load_recipe(mine, ["train.losses.score=3", "train.optimizer={lr = 1e-4}"])
    assert (recipe.name, str(recipe.run), recipe.seed, recipe.train.threads) == ("mine", "runs/mine", 2, 3)
    assert (recipe.train.losses.score, recipe.train.losses.box, recipe.train.losses.points) == (3, 9, 60)
    assert [p.batches for p in recipe.train.phases] == [[(96, 1)]]
    assert recipe.train.augment_of(0).camera == 0.1
    sources = sources_of(mine, ["train.losses.score=3", "train.optimizer={lr = 1e-4}"])
    assert sources.keys() == flat(recipe.model_dump(mode="json")).keys()
    wanted = {
        "name": "default",
        "seed": "second.toml",
        "train.threads": "first.toml",
        "train.losses.score": "command line",
        "train.losses.box": "second.toml",
        "train.optimizer.lr": "command line",
        "train.phases": "mine.toml",
        "train.ema": "default",
    }
    assert {k: sources[k] for k in wanted} == wanted


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.optimizer.lrr=1", "train.optimizer.lrr must be a known key, but is not: did you mean lr?"),
        ("trian.ema=0.5", "trian must be a known key, but is not: did you mean train?"),
        ("train.ema=2", "train.ema must be at least 0 and at most 1, but got 2"),
        ("train.optimizer.lr=0", "train.optimizer.lr must be above 0, but got 0"),
        ("train.optimizer.lr=inf", "train.optimizer.lr must be a finite number, but got inf"),
        ("compress.score_shift=nan", "compress.score_shift must be a finite number, but got nan"),
        ("train.augment.grids=[1.5]", "train.augment.grids.0 must be at least 0 and at most 1, but got 1.5"),
        ("train.augment.grids=[0.5]", "train.augment: grids must add up to 1, but got 0.5"),
        ("train.phases=[{views=1, size=[33], batch=[1]}]", "at most 4096 and a multiple of 32, but got 33"),
        ("train.phases=[{views=1, size=[64], batch=[1, 2]}]", "lists of one length, but got 1 and 2"),
        (
            "train.phases=[{views=1, size=[64], batch=[1], over={hardd=1}}]",
            "phases.0.over.hardd must be a known key, but is not: did you mean hard?",
        ),
        ("train.augment.hard=0.1", "hard_negatives.photos must be above 0 where augment.hard is, but got 0"),
        ("train.optimizer=3", "train.optimizer must be a table of muon, lr, weight_decay, warmup, decay, final, clip"),
        ("train.precision=int8", "train.precision must be 'auto', 'bfloat16' or 'float32', but got 'int8'"),
        ("train.methods.tough_teacher=a.pt", "methods must have both tough_teacher and tolerant_teacher"),
        ("label.pose_quantile={a = 95}", "label.pose_quantile.a must be at least 0 and at most 1, but got 95"),
        ("label.quality_sets=['b']", r"label.quality_sets must name sets of data.sets \(a\), but got b"),
        ("train.hard_negatives.sets=['b']", "train.hard_negatives.sets must name sets of data.sets"),
        ("export.tflite_sizes=[[64, 64]]", "export: tflite_sizes must be among sizes, but got 64x64"),
        ("data.sets=[]", "data.sets must be a list of at least 1 item"),
        ("data.sets=[{name='a', reader='folder', path='a', weight=0}]", "a set with a weight above 0"),
        ("data.sets=[{name='a', reader='csv', path='a'}]", "data.sets.0.reader must be 'jsonl', 'wider'"),
        ("data.sets=[{name='a', reader='folder'}]", "data.sets.0.path must be given, but is missing"),
        ("name=A b", "name must be text that matches"),
        ("oops", "--set must be KEY=VALUE, but got oops"),
        ("name.first=1", "--set must name a key of a table, but got name.first"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tmp_path: Path, setting: str, message: str) -> None:
    text = 'name = "x"\n[data]\nsets = [{name = "a", reader = "folder", path = "a"}]\n'
    text += '[model]\narchitecture = "edgeface-s"\n'
    recipe = _write(tmp_path / "x.toml", text + "[train]\nphases = [{views = 1, size = [320], batch = [1]}]\n")
    load_recipe(recipe)
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, [setting])


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(RecipeError) as said:
        checked(LEAST | {"seed": -1, "foo": 1})
    assert len(str(said.value).splitlines()) == 2


def test_sets_have_names_of_their_own() -> None:
    twice = LEAST["data"]["sets"] * 2
    with pytest.raises(RecipeError, match=r"data\.sets must have names of their own, but got a more than once"):
        checked(LEAST | {"data": {"sets": twice}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "missing.toml"', "recipe must be a readable file, but got .*missing.toml"),
        ("base = 3", "base must name a file, but got 3"),
        ('base = "mine.toml"', "base must not lead back to mine.toml"),
        ('base = "other.toml"', "base must not lead back to mine.toml, but that of other.toml does"),
        ("name = ", "recipe must be TOML"),
    ],
)
def test_a_base_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    mine = _write(tmp_path / "mine.toml", text)
    _write(tmp_path / "other.toml", 'base = "mine.toml"')
    with pytest.raises(RecipeError, match=message):
        load_recipe(mine)


def test_show_has_every_value_and_its_source() -> None:
    out = StringIO()
    print_recipe(RECIPES / "edgeface-n.toml", ["seed=5"], Console(file=out))
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.getvalue().splitlines()}
    assert rows["seed"] == ["5", "command line"]
    assert rows["train.ema"] == ["0.9995", "_base.toml"]
    assert rows["model.architecture"] == ['"edgeface-n"', "edgeface-n.toml"]
    assert rows["data.sets.0.reader"] == ['"jsonl"', "_sets.toml"]
    tables = {key.partition(".")[0] for key in rows}
    assert tables == set(Recipe.model_fields)
    wide = StringIO()
    print_recipe(RECIPES / "edgeface-n.toml", [], Console(file=wide, force_terminal=True, width=160))
    assert "┃" in wide.getvalue(), "a table for people"
