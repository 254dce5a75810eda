"""The command line: new recipes, the doctor, messages, and a checkout that edgeface was not installed from."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_set
from typer.testing import CliRunner

from quantize import doctor
from quantize.cli import app
from quantize.config import RecipeError, checked, load_recipe
from quantize.doctor import examine, missing
from quantize.run import StepError

ROOT = Path(__file__).parents[2]
toolchain = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="the toolchain's extra is not installed (pip install '.[quantize]')",
)


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_set(tmp_path / "photos", 6, 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@toolchain
def test_new_writes_a_short_recipe_that_holds(place: Path) -> None:
    done = invoke("new", "my-faces", "--photos", "photos", "--labels", "jsonl")
    assert done.exit_code == 0
    assert "my-faces.toml: 6 photos, 6 faces, 0 skipped" in done.output
    text = (place / "my-faces.toml").read_text()
    assert len([line for line in text.splitlines() if not line.startswith(("#", "["))]) <= 10
    recipe = load_recipe(place / "my-faces.toml")
    assert (recipe.data.sets[0].reader, recipe.data.sets[0].use) == ("jsonl", "detection")
    assert recipe.model.init is not None and recipe.model.init.is_file()
    assert recipe.data.sets[0].terms == "not stated"
    assert not [f for step in ("data", "label", "train") for f in missing(recipe, step)]


def test_new_refuses_what_cannot_be_learned_from(place: Path) -> None:
    with pytest.raises(StepError, match="somebody must say where faces are: --labels names the format"):
        invoke("new", "a", "--photos", "photos")
    with pytest.raises(StepError, match="but as yolo has 6 photos and 0 faces"):
        invoke("new", "a", "--photos", "photos", "--labels", "yolo")
    with pytest.raises(StepError, match="--photos must be a folder that is there"):
        invoke("new", "a", "--photos", "nowhere", "--labels", "yolo")
    with pytest.raises(RecipeError, match="name must be text that matches"):
        invoke("new", "../a", "--photos", "photos", "--labels", "jsonl")
    assert not list(place.glob("*.toml"))
    (place / "a.toml").write_text("mine")
    with pytest.raises(StepError, match="must not be there yet"):
        invoke("new", "a", "--photos", "photos", "--labels", "jsonl")
    assert (place / "a.toml").read_text() == "mine"
    assert invoke("new", "a", "--photos", "photos", "--labels", "csv").exit_code == 2


@toolchain
def test_the_doctor_names_what_is_missing_and_steps_ask_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke("new", "mine", "--photos", "photos", "--labels", "jsonl")
    assert invoke("doctor", "-c", "mine.toml").exit_code == 0
    monkeypatch.delenv(doctor.LITERT, raising=False)
    monkeypatch.setattr(doctor, "_checkout", lambda: place)
    wrong = ["-s", "export.tflite=true", "-s", "label.teachers=nowhere", "-s", "evaluate.sets=none"]
    asked = invoke("doctor", "-c", "mine.toml", *wrong)
    assert asked.exit_code == 1
    lacks = [line.split("\t") for line in asked.stdout.splitlines() if "\tMISSING\t" in line]
    assert {step for step, *_ in lacks} == {"label", "export"}
    assert any("python -m quantize make-litert" in remedy for *_, remedy in lacks)
    assert sum("teacher " in what for _, what, *_ in lacks) == len(doctor.TEACHERS)
    with pytest.raises(StepError, match="export needs an environment with litert-torch"):
        invoke("all", "-c", "mine.toml", *wrong)
    assert not (place / "runs").exists(), "nothing was begun"
    shutil.rmtree(place / "photos")
    with pytest.raises(StepError, match="data needs set mine at photos, which is missing: correct its path"):
        invoke("data", "-c", "mine.toml")


@toolchain
@pytest.mark.parametrize("name", ["edgeface-s", "edgeface-n", "edgeface-points"])
def test_the_doctor_examines_each_shipped_recipe(name: str) -> None:
    recipe = load_recipe(ROOT / "quantize" / "recipes" / f"{name}.toml")
    found = [f for f in examine(recipe) if "train.mimic.detector" in f.what]
    assert len(found) == (name != "edgeface-points"), "points are learned without a detector"


def test_the_doctor_asks_for_packages_of_a_method() -> None:
    sets = [{"name": "a", "reader": "folder", "path": str(ROOT)}]
    values: dict[str, Any] = {
        "name": "x",
        "run": "runs/x",
        "data": {"sets": sets},
        "model": {"architecture": "edgeface-n"},
    }
    values["train"] = {"phases": [{"views": 1, "size": [64], "batch": [1]}]}
    asked = {f.what for f in examine(checked(values | {"compress": {"method": "qat"}}))}
    assert {"the package nncf (methods nncf and qat)", "a C++ compiler (method qat)"} <= asked
    assert not any("nncf" in f.what for f in examine(checked(values)))
    lacks = missing(checked(values | {"model": {"architecture": "edgeface-n", "init": "no.pt"}}), "train")
    assert sum("checkpoint model.init at no.pt" in str(lack) for lack in lacks) == 1


def test_the_doctor_knows_the_teachers_files() -> None:
    code = "".join(p.read_text() for p in (ROOT / "quantize" / "label").glob("*.py"))
    assert all(name in code for name in (*doctor.TEACHERS, doctor.QUALITY_TEACHER))


RECIPE = ["-c", str(ROOT / "quantize" / "recipes" / "edgeface-n.toml")]


@toolchain
def test_messages_are_one_line_and_status_1(place: Path) -> None:
    (place / "bytes").write_bytes(b"\xff\xd8\xff")
    for arguments, message in (
        (["data", "-c", "none.toml"], "error: recipe must be a readable file, but got none.toml"),
        (["show", "none.toml"], "error: recipe must be a readable file, but got none.toml"),
        (["ablate", "bytes"], "error: ablation must be a TOML file with recipe, run, seeds and rows, but got bytes"),
        (["data", *RECIPE, "--run", "bytes"], "error: [Errno 20] Not a directory"),
        (["dev", *RECIPE, "--checkpoint", "bytes"], "error: checkpoint must be a whole file of PyTorch's, but got"),
        (["dev", *RECIPE, "--checkpoint", "."], "error: [Errno 21] Is a directory"),
        (["doctor", "--engine", "spark"], "error: engine must be local, dask or dask=ADDRESS, but got spark"),
        (["train", *RECIPE, "--device", "gpu"], "error: device must be auto, cpu, cuda, cuda:1 or another accel"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "quantize", *arguments], capture_output=True, text=True, check=False,
            cwd=place, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(message) and len(done.stderr.splitlines()) == 1


def test_a_checkout_takes_the_core_of_the_installed_package(tmp_path: Path) -> None:
    """As after ``pip install .``: the folder of sources hides the package that has the extension."""
    from edgeface import _core

    checkout, installed = tmp_path / "checkout", tmp_path / "installed"
    for package in ("edgeface", "quantize"):
        shutil.copytree(
            ROOT / package, checkout / package, ignore=shutil.ignore_patterns("*.so", "*.pt", "*.efm", "__pycache__")
        )
    (installed / "edgeface").mkdir(parents=True)
    shutil.copy(_core.__file__, installed / "edgeface" / f"_core{EXTENSION_SUFFIXES[0]}")
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'Redirecting' not in type(f).__name__]\n"
        f"sys.path[:0] = [{str(checkout)!r}, {str(installed)!r}]\n"
        "import quantize\nfrom edgeface import _core, pixels\nprint(_core.__file__, pixels.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.returncode == 0, done.stderr
    core, sources = done.stdout.split()
    assert core.startswith(str(installed)) and sources.startswith(str(checkout))


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')\n")
    done = subprocess.run(
        [sys.executable, "-m", "quantize", "doctor"], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 1
    assert (
        done.stderr == "error: python -m quantize needs typer, which is not installed: run pip install '.[quantize]'\n"
    )


def test_results_go_to_stdout_and_progress_to_stderr(place: Path) -> None:
    recipe = ROOT / "quantize" / "recipes" / "edgeface-s.toml"
    done = invoke("show", str(recipe), "-s", "seed=7")
    assert "seed\t7\tcommand line\n" in done.stdout
    assert json.loads(dict(r.split("\t")[:2] for r in done.stdout.splitlines())["train.ema"]) == 0.9995
