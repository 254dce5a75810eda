"""Texts for readers: short sentences, and no names that only a training knows. Pages and ``--help`` of every verb."""

import importlib.util
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edgeface.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
MOST_WORDS = 30
RUN = re.compile(r"(?<![\w-])[sn]-(?!int8|float)[a-z]{4,}\d*\b")
"""The name of a training, such as ``s-`` and ``tiny3``. Readers meet edgeface-s and a recipe."""

CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
ITEM = re.compile(r"(?:[-*+]|\d+\.)\s+")
END = re.compile(r"(?<=[.!?:;])[*_\"')]*\s+(?=[^a-z])")
WORD = re.compile(r"\S*\w\S*")


def sentences(text: str) -> list[str]:
    """Of Markdown: without code, tables, headings, pictures and addresses. A code span is one word."""
    blocks: list[list[str]] = [[]]
    for line in COMMENT.sub(" ", CODE.sub("\n\n", text)).splitlines():
        bare = line.strip()
        item = ITEM.match(bare)
        if not bare or bare.startswith(("|", "#", "![", ":::", "!!!")):
            blocks.append([])
        elif item:
            blocks.append([bare[item.end() :]])
        elif blocks[-1] or not line.startswith("    "):
            blocks[-1].append(bare)
    paragraphs = (re.sub(r"`[^`]*`", "Code", LINK.sub(r"\1", " ".join(block))) for block in blocks)
    return [sentence for paragraph in paragraphs for sentence in END.split(paragraph) if sentence]


def too_long(text: str) -> list[str]:
    """Sentences of more than `MOST_WORDS`, with their counts."""
    counts = ((len(WORD.findall(sentence)), sentence) for sentence in sentences(text))
    return [f"{words} words: {sentence}" for words, sentence in counts if words > MOST_WORDS]


def helps(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Name and text of each paragraph that ``--help`` of a command and of its verbs shows."""
    for paragraph in re.split(r"\n\s*\n", command.help or ""):
        yield name, re.sub(r"\s+", " ", paragraph)
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for verb in command.list_commands(context):
            yield from helps(command.get_command(context, verb), f"{name} {verb}")


def every_help() -> list[tuple[str, str]]:
    found = list(helps(typer.main.get_command(app), "edgeface"))
    if importlib.util.find_spec("torch") is not None:
        found += helps(typer.main.get_command(importlib.import_module("quantize.cli").app), "quantize")
    return found


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_pages_have_short_sentences_and_no_names_of_runs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert too_long(text) == []
    assert RUN.findall(text) == []


def test_help_has_short_sentences_and_no_names_of_runs() -> None:
    found = every_help()
    assert len({name.split()[1] for name, _ in found if " " in name}) > 10, "every verb is looked at"
    assert [(name, long) for name, text in found for long in too_long(text)] == []
    assert [(name, text) for name, text in found if RUN.search(text)] == []


def test_bundles_name_no_runs() -> None:
    """Their manifests are printed by ``edgeface models --json`` and read by lawyers."""
    shipped = sorted((ROOT / "edgeface" / "models").glob("*.efm"))
    assert shipped
    for path in shipped:
        with zipfile.ZipFile(path) as bundle:
            manifest = json.loads(bundle.read("manifest.json"))
        text = json.dumps([manifest["training"], manifest["lineage"], manifest["calibration"]], ensure_ascii=False)
        assert RUN.findall(text) == []
        assert re.findall(r"[\w-]+\.pt\b", text) == []


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_counter_counts() -> None:
    thirty = "Word " + "word " * 28 + "end."
    assert too_long(thirty) == []
    assert too_long(f"One more {thirty}") == [f"32 words: One more {thirty}"]
    assert too_long(f"- item {thirty}\n- {thirty}") == [f"31 words: item {thirty}"]
    assert too_long(f"```\n{thirty} {thirty}\n```\n| {thirty} x |\n# {thirty} x\n<!-- {thirty} x -->") == []
    assert sentences("See `a. B` here. *Then* [go](x.md); A last one: `it`.") == [
        "See Code here.",
        "*Then* go;",
        "A last one:",
        "Code.",
    ]
    assert RUN.findall("edgeface-s s-int8 n-float32 s-silent3") == ["s-silent3"]
