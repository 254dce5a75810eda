"""The TOML files and how they are checked."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.boards import load_boards, parse_board
from edgeface.boards.board import SCHEMA_PATH, data_folder
from edgeface.boards.schemas import read_schema
from edgeface.errors import InvalidInputError

REPOSITORY = Path(__file__).parents[2]
GOOD = (data_folder() / "rpi4.toml").read_text(encoding="utf-8")


def test_the_boards_of_the_issue_are_there() -> None:
    wanted = (
        "rpi3 rpi4 rpi5 rpi-zero2w rk3566 rk3568 rock5b orangepi5 jetson-nano jetson-orin-nano imx8mp beaglebone-ai64"
    )
    wanted += " arduino-uno-q beagley-ai imx93 imx95 h616 h618 stm32mp2"
    wanted += " generic-cortex-a53 generic-cortex-a55 generic-cortex-a72 generic-cortex-a76"
    assert set(load_boards()) == set(wanted.split())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(read_schema(SCHEMA_PATH))


def test_no_two_boards_match_alike() -> None:
    entries = [entry for board in load_boards().values() for entry in board.compatible]
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("name", sorted(load_boards()))
def test_recommendation_fits_the_board(name: str) -> None:
    board = load_boards()[name]
    fastest = board.clusters[-1]
    assert set(board.recommended.cpus) <= set(fastest.cpus), "inference belongs on the fast cores"
    assert (board.emulate in ("cortex-a55", "cortex-a76")) == board.has("dotprod"), (
        "the emulated core must have the same instructions"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "rpi4"', 'name = "rpi9"', "name in rpi4.toml must be rpi4, but got rpi9"),
        ("schema = 1", "schema = 2", "data.schema must be same as const"),
        ("threads = 2", "threads = 3", "recommended.threads in rpi4.toml must be at most its 2 cpus, but got 3"),
        ("cpus = [2, 3]", "cpus = [2, 7]", r"recommended.cpus in rpi4.toml must be CPUs of the board, but got \[7\]"),
        ("cpus = [0, 1, 2, 3]", "cpus = [0, 1, 3]", "cpus in rpi4.toml must be 0 to n-1"),
        ('core = "cortex-a72"', 'core = "pentium"', "core must be one of"),
        ("[governor]", "[governor", "rpi4.toml must be TOML, but got"),
        ('type = "LPDDR4-3200"\n', "", "must contain"),
        ("max_mhz = 1800", 'max_mhz = "fast"', "max_mhz must be integer"),
    ],
)
def test_wrong_files_are_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInputError, match=message):
        parse_board(GOOD.replace(old, new, 1), "rpi4.toml")


def test_every_fact_names_its_source_or_says_that_it_has_none() -> None:
    every = read_schema(SCHEMA_PATH)["definitions"]["facts"]["items"]["enum"]
    for board in load_boards().values():
        sourced = [fact for entry in board.facts["source"] for fact in entry["facts"]]
        assert sorted([*sourced, *board.facts["unsourced"]]) == sorted(every), board.name
        if not board.generic:  # what people act on
            assert {"match", "soc", "cluster.core", "cluster.features"} <= set(sourced), board.name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unsourced = ["memory.type", ', "unsourced = [", "memory.type in rpi4.toml must be named once .* 0 times"),
        (
            'facts = ["memory.gib"]',
            'facts = ["memory.gib", "match"]',
            "match in rpi4.toml must be .* 2 times",
        ),
        ('facts = ["memory.gib"]', 'facts = ["memory.colour"]', "must be one of"),
        ("model = [", 'unsourced = ["x"]\nmodel = [', r"match.unsourced in rpi4.toml must name entries .* got \['x'\]"),
        ('at = "https://', 'at = "somewhere ', "must match pattern"),
    ],
)
def test_a_fact_without_a_source_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInputError, match=message):
        parse_board(GOOD.replace(old, new, 1), "rpi4.toml")


COUNTS = json.loads((REPOSITORY / "boards/results/instructions.json").read_text(encoding="utf-8"))


def _millions(model: str, cpu: str, size: tuple[int, int]) -> dict[tuple[str, str], float]:
    """(precision, runtime) -> millions of instructions a frame."""
    found = {}
    for network in COUNTS["networks"]:
        name, _, precision = network["network"].rpartition("-")
        if name == model and tuple(network["size"]) == size and cpu in network["instructions"]:
            found[precision, network["runtime"]] = network["instructions"][cpu]["total"] / 1e6
    return found


@pytest.mark.parametrize("name", sorted(load_boards()))
def test_the_recommendation_follows_from_the_counts(name: str) -> None:
    board = load_boards()[name]
    wanted, told = board.recommended, board.facts["recommended"]["instructions"]
    counts = _millions(wanted.model, board.emulate, wanted.size)
    shipped = {(p, runtime): n for (p, runtime), n in counts.items() if p == "int8" or runtime == "ncnn"}
    assert told == {p: pytest.approx(counts[p, wanted.runtime], abs=0.06) for p in ("int8", "float32")}
    assert (wanted.precision, wanted.runtime) == min(shipped, key=lambda key: shipped[key])
    assert f"{wanted.runtime} in {wanted.precision} executes the fewest instructions" in wanted.why


@given(st.text(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 40))
def test_damaged_files_are_read_or_refused(noise: str, start: int, length: int) -> None:
    text = GOOD[:start] + noise + GOOD[start + length :]
    try:
        assert parse_board(text, "rpi4.toml").name == "rpi4"
    except InvalidInputError as error:
        assert "must" in str(error)
