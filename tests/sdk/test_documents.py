"""What the documents say must be there: links, files, and the blocks that `.ci/run` takes its commands from."""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import edgeface
from edgeface import _core

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_readme_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = dict(re.findall(r"<!-- ci: (\w+) -->\n```sh\n(.*?)\n```", readme, flags=re.DOTALL))
    assert commands["use"].startswith("pip install . && edgeface detect examples/")
    assert (ROOT / commands["use"].split()[-1]).is_file()
    assert commands["test"] == "pip install '.[dev]' && pytest"


def test_no_text_installs_edgeface_from_the_package_index() -> None:
    """Nobody has registered the name there: a stranger may."""
    texts = [
        *PAGES,
        *(path for folder in ("edgeface", "examples", "boards", "quantize") for path in (ROOT / folder).rglob("*")),
    ]
    command = re.compile(r"""pip3? (?:install|download)(?: [^\s&;#]+)*? ['"]?edgeface(?:\[[\w,]+\])?(?=['"`)\s]|$)""")
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path in texts
        if path.suffix in (".md", ".py", ".sh", ".txt", ".toml", ".xml", ".j2") and path.is_file()
        for match in command.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    assert command.search("pip install edgeface\n")
    assert command.search("(pip install 'edgeface[tflite]')")
    assert not command.search("pip install ./edgeface-*.whl")


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("insert_figures", ROOT / "docs" / "insert_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_put_between_the_marks_again_and_again(figures: ModuleType) -> None:
    document = f"a\n{figures.BEGIN}\nold\n{figures.END}\nb\n"
    once = figures.inserted(document, "| x |\n|---|\n| 1 |\n", "measure")
    assert once == f"a\n{figures.BEGIN}\nPrinted by `measure`:\n\n| x |\n|---|\n| 1 |\n{figures.END}\nb\n"
    assert figures.inserted(once, "| x |\n|---|\n| 1 |\n", "measure") == once
    figures.inserted((ROOT / "README.md").read_text(encoding="utf-8"), "| x |", "measure")


@pytest.mark.parametrize("document", ["", "{e}{b}", "{b}{b}{e}", "{b}"])
def test_a_document_without_marks_is_refused(figures: ModuleType, document: str) -> None:
    with pytest.raises(ValueError, match="document must hold"):
        figures.inserted(document.format(b=figures.BEGIN, e=figures.END), "| x |", "measure")


def test_rows_are_kept_by_what_they_say(figures: ModuleType) -> None:
    table = "| set | x |\n|---|---|\n| wider | 1 |\n| afw | 2 |\n"
    assert figures.filtered(table, "^. w") == "| set | x |\n|---|---|\n| wider | 1 |"
    assert figures.filtered(table, "") == table.strip()


def test_what_the_toolchain_says_of_the_install_is_three_lines() -> None:
    """`.ci/quantize` runs the marked blocks."""
    page = (ROOT / "docs" / "toolchain.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"<!-- ci: (\w+) -->\n```sh\n(.*?)\n```", page, flags=re.DOTALL))
    assert len(blocks["install"].splitlines()) == 3
    assert blocks["own"].splitlines()[0].startswith("python -m quantize new my-faces --photos photos")


def test_examples_have_the_heading_that_the_reference_renders_as_code() -> None:
    """Under ``Example:`` mkdocstrings takes prompts for quotations, and makes one paragraph of them."""
    heading = re.compile(r"^[ \t]*Example:$", re.MULTILINE)
    assert [str(f) for f in (ROOT / "edgeface").rglob("*.py") if heading.search(f.read_text(encoding="utf-8"))] == []
    assert "\n    Examples:\n        >>> " in (ROOT / "edgeface" / "engine.py").read_text(encoding="utf-8")


def test_the_worked_example_of_the_decode_rule_is_what_the_core_computes() -> None:
    head = np.zeros((1, 8, 8, 22), np.float32)
    head[..., 0] = -9
    head[..., [16, 20]] = 1
    head[0, 1, 2, :6] = [2, 1, 0.5, 0.25, np.log(2), np.log(3)]
    head[0, 1, 3, :6] = [1, 0, -0.25, 0.25, np.log(2), np.log(3)]
    boxes, scores, landmarks, rotations, quality = _core.decode(
        [head],
        [16],
        ["NHWC"],
        [1.0],
        [0],
        [np.ones(22, np.float32)],
        transform=np.array([[1.0, 0, 0], [0, 1.0, 0]]),
        min_score=0.5,
        nms_iou=0.45,
    )
    box = ", ".join(f"{x:.2f}".rstrip("0").rstrip(".") for x in boxes[0])
    point = ", ".join(f"{x:.2f}".rstrip("0").rstrip(".") for x in landmarks[0, 0])
    page = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    for value in (f"**{scores[0]:.3f}**", f"**{box}**", f"**{point}**", f"**{quality[0]:.3f}**"):
        assert value in page
    assert f"| {scores[0]:.3f} |" in (ROOT / "docs" / "c-abi.md").read_text(encoding="utf-8")
    assert f"| {box} |" in (ROOT / "docs" / "c-abi.md").read_text(encoding="utf-8")
    np.testing.assert_array_equal(rotations, [np.eye(3)])


def test_the_readme_prints_what_it_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", readme, flags=re.DOTALL)[0]
    code = code.replace("FaceEngine()", 'FaceEngine(runtime="onnxruntime")')
    # as the reader does it, in the checkout: its sources hide the installed package there
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    got, said = ([float(x) for x in re.findall(r"-?[\d.]+", text)] for text in (ran.stdout, printed))
    # an x86 without VNNI saturates, and rounds a last digit differently
    np.testing.assert_allclose(got, said, atol=1.01)
    assert got[-1] == pytest.approx(said[-1], abs=0.03)


def test_tables_of_readme_and_model_zoo_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails after a change of networks or counts: ``python docs/overview.py TABLE --command …``."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    overview = importlib.import_module("overview")
    kept = json.loads(overview.KEPT.read_text(encoding="utf-8"))
    instructions = json.loads(overview.INSTRUCTIONS.read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert overview.table(kept) in readme
    assert overview.bullets(kept) in readme
    compared = [command.split(" --")[0].split()[4:] for command in kept["commands"]]
    assert compared and all(f" {network} " in readme for networks in compared for network in networks)
    assert kept["costs"] == overview.counted(instructions)
    zoo = overview.ZOO.read_text(encoding="utf-8")
    assert all(part in zoo for part in overview.zoo(kept, instructions))


def test_a_table_without_a_row_of_the_overview_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    overview = importlib.import_module("overview")
    with pytest.raises(ValueError, match=r"table must hold wider\+wider2, letterbox 640x640, AP ≥32 px"):
        overview.measured(
            "| set, input | figure | scrfd_500m |\n|---|---|---|\n| wider, letterbox 640x640 | AP all | 0.5 |\n"
        )
    with pytest.raises(
        ValueError, match=r"table must hold one of edgeface-s, .*, but its head is set, input, figure, a"
    ):
        overview.measured("| set, input | figure | a |\n|---|---|---|\n| wider, letterbox 640x640 | AP all | 0.5 |\n")


def test_board_pages_are_those_of_the_board_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails after a change of a board or of counts: ``python docs/make_boards.py``."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pages = importlib.import_module("make_boards").pages()
    assert {path: path.read_text(encoding="utf-8") for path in pages} == pages
    assert set(pages) == set((ROOT / "docs" / "boards").glob("*.md"))
    own = {path.stem for path in (ROOT / "boards").glob("*.toml") if not path.stem.startswith("generic-")}
    families = tomllib.loads((ROOT / "docs" / "boards.toml").read_text(encoding="utf-8"))["family"].values()
    assert sorted(own) == sorted(board for family in families for board in family["boards"])


MOST_ROWS = 8


def test_tables_that_are_read_are_short() -> None:
    names = ["README.md", "docs/boards.md", "docs/runtimes.md", "docs/profiling.md", "docs/guides/ros2.md"]
    names += [f"docs/{card.name}" for card in (ROOT / "docs").glob("model-card-*.md")]
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        read = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)  # who opens one looks something up
        tables = re.findall(r"^\|[ :|-]+\|\n((?:\|.*\n?)+)", read, flags=re.MULTILINE)
        assert tables
        assert [table.split("\n")[0] for table in tables if len(table.splitlines()) > MOST_ROWS] == []


WIDEST = 98
"""Columns of code on a page that is 1280 pixels wide; what is longer goes on below."""


def test_commands_and_listings_fit_the_page() -> None:
    fence = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    long = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in PAGES
        for language, code in fence.findall(page.read_text(encoding="utf-8"))
        if language != "python"
        for line in code.splitlines()
        if len(line) > WIDEST and page.name != "README.md"
    ]
    assert long == []


def test_the_reference_has_each_module_where_its_index_says_and_all_that_documents_import() -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md")}
    index = pages.pop("index.md")
    documented = {name: re.findall(r"^::: (\S+)", text, flags=re.MULTILINE) for name, text in pages.items()}
    assert sorted(re.findall(r"\((\w+\.md)#(edgeface\.\w+)\)", index)) == sorted(
        (name, module) for name, modules in documented.items() for module in modules
    )
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in pages if f"api/{name}" not in nav] == []
    modules = {module for found in documented.values() for module in found}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (*PAGES, *(ROOT / "examples").glob("*.py")))
    imported = set(re.findall(r"^from (edgeface\.\w+)[\w.]* import", code, flags=re.MULTILINE))
    at_hand = {".".join(home.split(".")[:2]) for home in edgeface._HOMES.values()}
    assert imported | at_hand <= modules
