"""The systemd unit and the Yocto layer, read by the parsers of their own worlds."""

from __future__ import annotations

import configparser
import hashlib
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from edgeface.boards.pack import DEPLOY

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "boards" / "yocto" / "meta-edgeface"
RECIPES = sorted(LAYER.glob("recipes-*/*/*.bb"))
# Classes of oe-core that the recipes inherit: here they only have to exist.
CLASSES = "cmake externalsrc pkgconfig python3native python3targetconfig python_pep517 systemd"


@pytest.fixture(scope="module")
def bitbake(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """bitbake's data with the layer's configuration, and its parser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bitbake's own
        pytest.importorskip("bb", reason="bitbake's parser: pip install bitbake-setup")
        for name in ("hashserv", "hashserv.client"):  # bitbake's cache server is not in that wheel, and not needed
            sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules["hashserv"].__path__ = []  # type: ignore[attr-defined]
        import bb.data
        import bb.parse
        import bb.siggen

    fake = tmp_path_factory.mktemp("oe-core")
    (fake / "classes").mkdir()
    for name in [*CLASSES.split(), "base", "native", "nativesdk"]:
        (fake / "classes" / f"{name}.bbclass").write_text("")
    data = bb.data.init()
    data.setVar("BBPATH", str(fake))
    data.setVar("TOPDIR", str(fake))
    data.setVar("__BBHANDLERS_MC", set())  # these two are what bitbake's server sets up before it parses
    data.setVar("__bbclasstype", "recipe")
    data.setVar("LAYERDIR", str(LAYER))
    bb.parse.siggen = bb.siggen.init(data)
    bb.parse.init_parser(data)
    data = bb.parse.handle(str(LAYER / "conf" / "layer.conf"), data, include=True)
    data.expandVarref("LAYERDIR")
    return bb.parse, data


def parsed(bitbake: Any, recipe: Path) -> Any:
    parse, data = bitbake
    return parse.handle(str(recipe), data.createCopy())[""]


def test_the_layer_names_its_recipes_and_the_checkout(bitbake: Any) -> None:
    _, data = bitbake
    assert data.getVar("BBFILE_COLLECTIONS").split() == ["edgeface"]
    pattern = data.getVar("BBFILE_PATTERN_edgeface")
    assert all(re.match(pattern, str(recipe)) for recipe in RECIPES)
    found = {path for glob in data.getVar("BBFILES").split() for path in Path("/").glob(glob.lstrip("/"))}
    assert set(RECIPES) <= found
    assert (Path(data.getVar("EDGEFACE_SOURCE")) / "pyproject.toml").samefile(ROOT / "pyproject.toml")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_parse_and_are_complete(recipe: Path, bitbake: Any) -> None:
    data = parsed(bitbake, recipe)
    for variable in ("SUMMARY", "LICENSE", "LIC_FILES_CHKSUM", "EXTERNALSRC"):
        assert data.getVar(variable), variable
    inherited = {Path(path).stem for path in data.getVar("__inherit_cache", False)}
    assert "externalsrc" in inherited
    licence = re.fullmatch(r"file://LICENSE;md5=([0-9a-f]{32})", data.getVar("LIC_FILES_CHKSUM"))
    assert licence is not None
    assert licence[1] == hashlib.md5((ROOT / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()


def test_the_parser_refuses_what_is_no_recipe(bitbake: Any, tmp_path: Path) -> None:
    import bb.parse

    for text in ("SUMMARY = edgeface\n", "inherit no-such-class\n", "do_install() {\n"):
        (tmp_path / "broken_1.0.bb").write_text(text)
        with pytest.raises((bb.parse.ParseError, bb.parse.SkipRecipe)):
            parsed(bitbake, tmp_path / "broken_1.0.bb")


def test_versions_are_the_package_s() -> None:
    import edgeface

    assert {recipe.stem.rpartition("_")[2] for recipe in RECIPES} == {edgeface.__version__}


def test_run_time_needs_are_those_of_pyproject(bitbake: Any) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (recipe,) = (path for path in RECIPES if path.stem.startswith("python3-"))
    data = parsed(bitbake, recipe)
    have = set(data.getVar("RDEPENDS:${PN}").split())
    have |= set(data.getVar("RRECOMMENDS:${PN}").split())
    for requirement in project["dependencies"]:
        if "python_version < '3.11'" in requirement or "platform_machine == " in requirement:
            continue  # Yocto's Pythons are newer, and its layers have onnxruntime and OpenCV for armv7 as well
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert f"python3-{name[0].removesuffix('-python-headless')}" in have


def unit() -> configparser.ConfigParser:
    """The unit; systemd's format is that of .ini files with keys that may come twice."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "edgeface.service")
    return parser


def test_the_unit_runs_a_command_that_exists_and_sees_no_network() -> None:
    service = unit()["Service"]
    program, verb, *options = service["ExecStart"].split()
    assert program == "/opt/edgeface/bin/edgeface", "install.sh and the recipe replace this prefix"
    from edgeface.cli.app import main

    assert (verb, options) == ("camera", ["--serve", "--format", "none"]), "a line a frame would fill the journal"
    assert main([verb, "--help"]) == 0
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == ("any", "localhost")
    assert service["DynamicUser"] == "yes"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    import shutil

    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "edgeface.service").read_text().replace("/opt/edgeface/bin/edgeface", "/bin/true")
    file = tmp_path / "edgeface.service"
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], check=False, capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "edgeface.service" in line]
    assert complaints == []


def test_the_install_script_is_posix_shell() -> None:
    assert subprocess.run(["sh", "-n", str(DEPLOY / "install.sh")], check=False).returncode == 0
