"""The ablation of the recipes: its rows are those of the papers, at equal views; and all of it on drawn photos."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from interrupted import cut_off
from synthetic import drawn_detector, write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
pytest.importorskip("quantize.label.ensemble", reason="the teachers' code or its packages are not here")

import quantize.train.ablation as module  # noqa: E402
from quantize.config import RecipeError, load_recipe  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.label.step import label  # noqa: E402
from quantize.models import ARCHITECTURES, build_student, load_student  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402
from quantize.train.ablation import ablate, load_ablation, trainings  # noqa: E402
from quantize.train.methods.dass import LayerCosts, expected_cost  # noqa: E402

ROOT = Path(__file__).parents[2]
FILE = ROOT / "quantize" / "recipes" / "ablation.toml"
TABLE = ROOT / "boards" / "results" / "layer_costs.json"
RECIPE = """
name = "drawn"
run = "{root}/run"
[data]
dev_share = 0.25
[[data.sets]]
name = "people"
reader = "jsonl"
path = "{root}/people"
[[data.sets]]
name = "mask_web"
reader = "jsonl"
path = "{root}/mask_web"
use = "landmarks"
[[data.sets]]
name = "mask_crowd"
reader = "jsonl"
path = "{root}/mask_crowd"
use = "negatives"
[[data.sets]]
name = "stanford40_more"
reader = "jsonl"
path = "{root}/more"
use = "unlabelled"
[label]
pose_quantile = {{people = 0.95}}
[model]
architecture = "edgeface-n"
[train]
precision = "float32"
augment = {{cutout = 0.12, circle_share = 0.15}}
phases = [{{views = 4, size = [64], batch = [2]}}]
"""


def test_every_method_has_a_row_at_equal_views() -> None:
    every = trainings(load_ablation(FILE), FILE.parent)
    assert {t.views for t in every} == {30_000}
    assert len(every) == 2 * len({t.row.name for t in every})
    recipes = {t.row.name: t.run.recipe for t in every}
    base = recipes["recipe"]
    methods = [r.train.methods for r in recipes.values()]
    assert any(m.mos_pose for m in methods)
    assert any(m.uncertainty for m in methods)
    mimics = [r.train.mimic for r in recipes.values()]
    assert base.train.mimic.detector and base.train.mimic.features
    assert any(not (m.hints or m.features or m.answers) for m in mimics)
    assert any(m.mos_slots and m.mos_small for m in methods)
    assert any(m.tough_teacher and m.tolerant_teacher for m in methods)
    assert base.train.augment.cutout and any(not r.train.augment.cutout for r in recipes.values())
    assert base.train.augment.circle_share and any(not r.train.augment.circle_share for r in recipes.values())
    assert any(r.pretrain.views for r in recipes.values()) and any(r.search.views for r in recipes.values())
    quantile = [{k: v for k, v in r.label.pose_quantile.items() if v < 1} for r in recipes.values()]
    assert base.label.pose_quantile and quantile.count({}) == 1


def test_a_search_is_given_the_cost_of_the_network_made_by_hand() -> None:
    (found,) = {t.run.recipe.search for t in trainings(load_ablation(FILE), FILE.parent) if t.run.recipe.search.views}
    costs = LayerCosts.of(json.loads(TABLE.read_text())["rows"], found.core)
    with torch.no_grad():
        assert found.budget == pytest.approx(float(expected_cost(build_student("edgeface-n"), costs, 320)), rel=0.01)
        assert float(expected_cost(build_student("edgeface-n-wide"), costs, 320)) > 1.5 * found.budget
    assert ARCHITECTURES["edgeface-n-wide"].neck == ARCHITECTURES["edgeface-n"].neck


def test_teachers_come_first_and_are_of_the_same_seed() -> None:
    ablation = load_ablation(FILE)
    rows = sorted(ablation.rows[1:], key=lambda row: row.teachers is None)
    every = trainings(ablation.model_copy(update={"rows": [ablation.rows[0], *rows]}), FILE.parent)
    place = {t.network: number for number, t in enumerate(every)}
    taught = [t for t in every if t.row.teachers]
    assert len(taught) == 2
    for t in taught:
        methods = t.run.recipe.train.methods
        for path in (methods.tough_teacher, methods.tolerant_teacher):
            assert path is not None and place[path] < place[t.network] and every[place[path]].seed == t.seed
        assert methods.tolerant_teacher is not None
        assert every[place[methods.tolerant_teacher]].run.recipe.train.methods.points_variance


def written(root: Path, *rows: str) -> Path:
    """An ablation of ``rows``, each TOML, behind the recipe itself."""
    path = root / "ablation.toml"
    head = f'recipe = "r.toml"\nrun = "{root}/ablation"\nseeds = [1]\n[[rows]]\nname = "recipe"\n'
    path.write_text(head + "".join(f"[[rows]]\n{row}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, labelled, and a recipe ``r.toml``."""
    folder = tmp_path_factory.mktemp("ablation")
    write_set(folder / "people", 5, 1)
    write_set(folder / "mask_web", 4, 2)
    write_set(folder / "more", 4, 4)
    write_set(folder / "mask_crowd", 4, 3, faces=0)
    (folder / "r.toml").write_text(RECIPE.format(root=folder))
    run = Run(load_recipe(folder / "r.toml"))
    data(run)
    label(run)
    (folder / "ablation").mkdir()
    (folder / "ablation" / "label").symlink_to(folder / "run" / "label", target_is_directory=True)
    return folder


KD = 'name = "kd"\nteachers = {tough = "%s", tolerant = "%s"}'
MORE = 'name = "%s"\nset = {train = {methods = {uncertainty = true}}}'


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([KD % ("recipe", "smooth")], r"teachers\.tolerant of 'kd' must be a row \(recipe, kd\), but got 'smooth'"),
        ([KD % ("recipe", "kd")], "must not teach each other or themselves, but 'kd' does"),
        (['name = "kd"\nteachers = {tough = "recipe"}'], "teachers.tolerant"),
        (['name = "same"\nset = {train = {augment = {cutout = 0.12}}}'], "rows must change something, but 'same'"),
        (['name = "same"\nset = {label = {pose_quantile = {}}}'], "rows must change something, but 'same'"),
        ([MORE % "a b", MORE % "a-b"], "rows must have names of their own in letters and digits, but got a b, a-b"),
        (['name = "x"\nset = {train = {methods = {mos = 1}}}'], "train.methods.mos must be a known key"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_any_work(root: Path, rows: list[str], wanted: str) -> None:
    before = sorted((root / "ablation").iterdir())
    with pytest.raises(RecipeError, match=wanted):
        ablate(written(root, *rows), "cpu")
    assert sorted((root / "ablation").iterdir()) == before


def test_labelled_photos_must_be_there(root: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(RECIPE.format(root=root))
    with pytest.raises(StepError, match="must hold labelled photos, but does not: run `python -m quantize label"):
        ablate(written(tmp_path, MORE % "more"), "cpu")


def smaller(values: Any) -> Any:
    """The tables of an ablation with the least budget that goes through every step."""
    if isinstance(values, dict):
        least = {"views": 4, "size": [64], "batch": [2]} if "batch" in values else {"views": 8}
        return {k: least[k] if k in least else smaller(v) for k, v in values.items()}
    return [smaller(v) for v in values] if isinstance(values, list) else values


def toml(values: Any) -> str:
    if isinstance(values, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in values.items()) + "}"
    if isinstance(values, list):
        return "[" + ", ".join(map(toml, values)) + "]"
    return json.dumps(values, ensure_ascii=False)


def test_the_ablation_of_the_papers_whole_and_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = smaller(tomllib.loads(FILE.read_text()))
    drawn_detector(root / "detector.onnx")
    (root / "mimic.toml").write_text(f'base = "r.toml"\n[train.mimic]\ndetector = "{root}/detector.onnx"\n')
    given |= {"recipe": "mimic.toml", "run": str(root / "ablation"), "seeds": [1], "photos": 1}
    for row in given["rows"]:
        if "search" in row.get("set", {}):
            row["set"]["search"] |= {"size": 64, "batch": 2, "costs": str(TABLE)}
        if "pretrain" in row.get("set", {}):
            row["set"]["pretrain"] |= {"size": 64, "batch": 4}
    path = root / "papers.toml"
    path.write_text("".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in given.items()))
    # a figure from the weights: what is measured is not what is shown here, and takes large inputs
    monkeypatch.setattr(module, "measure", lambda network, *rest: {"dev_ap_ge16_640": weight(network)})

    def weight(network: Any) -> float:
        return float(sum(p.detach().double().abs().sum() for p in network.parameters()))

    with cut_off(lambda trainer: trainer.step == 1 and "kd" in str(trainer.run)):
        ablate(path, "cpu")
    assert "0 of 12 trainings are done; to do:" in capsys.readouterr().err
    text = ablate(path, "cpu").read_text()
    names = [row["name"] for row in given["rows"]]
    said = capsys.readouterr().err
    assert 0 < int(said.partition(" of 12 trainings are done")[0].split()[-1]) < 12
    results = json.loads((root / "ablation" / "table.json").read_text())
    assert list(results) == names and all(len(rows) == 1 for rows in results.values())
    # drawn photos have no doubtful rotations, and no false positive comes back within two steps
    assert len({rows[0]["dev_ap_ge16_640"] for rows in results.values()}) >= 10, "each row is another network"
    assert all(f"| {name} |" in text for name in names)
    folders = [p for p in (root / "ablation").iterdir() if p.is_dir() and p.name != "label"]
    assert len(folders) == 12
    assert all((p / "label").is_symlink() for p in folders), "photos are packed once"
    (searched,) = [p for p in folders if (p / "search").is_dir()]
    assert load_student(searched / "train" / "ema.pt").architecture.neck == 40

    ablate(path, "cpu")
    assert "12 of 12 trainings are done" in capsys.readouterr().err
    path.write_text(path.read_text().replace("0.3", "0.4"))
    with pytest.raises(
        StepError, match=r"must hold a training of row 'pose loss.*, but train\.methods\.mos_pose changed"
    ):
        ablate(path, "cpu")
