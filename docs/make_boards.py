"""Write ``docs/boards``, a page a family, from ``docs/boards.toml``, ``boards/*.toml`` and ``boards/results``.

    python docs/make_boards.py

Needs jinja2, and the checkout for `boards`.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.append(str(ROOT))  # boards runs from the checkout

from boards.emulate.table import best  # noqa: E402

FOLDER = HERE / "boards"


def core_name(core: str) -> str:
    """As Arm writes it."""
    return core.replace("cortex-a", "Cortex-A")


def board_of(name: str) -> dict[str, Any]:
    """The facts of a board, with what the table shows of its cores."""
    with (ROOT / "boards" / f"{name}.toml").open("rb") as file:
        board = tomllib.load(file)
    cores = (f"{len(c['cpus'])} × {core_name(c['core'])}, {c['max_mhz']} MHz" for c in board["cluster"])
    anchor = re.sub(r"[^\w\s-]", "", board["title"].lower()).strip()
    return board | {"cores": "; ".join(cores), "anchor": re.sub(r"[-\s]+", "-", anchor)}


def pages() -> dict[Path, str]:
    """Path and text of every page."""
    instructions = json.loads((ROOT / "boards" / "results" / "instructions.json").read_text(encoding="utf-8"))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = environment.from_string((HERE / "boards.md.j2").read_text(encoding="utf-8"))
    texts = tomllib.loads((HERE / "boards.toml").read_text(encoding="utf-8"))
    written = {}
    for name, family in texts["family"].items():
        boards = [board_of(board) for board in family["boards"]]
        cores = list(dict.fromkeys(board["emulate"] for board in boards))
        written[FOLDER / f"{name}.md"] = template.render(
            family={"npu": "", **family, "camera": f"{family['camera']}{texts['usb']['camera']}".strip()},
            boards=boards,
            costs=[{"core": core_name(core), "cells": best(instructions["networks"], core)} for core in cores],
        )
    return written


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
