"""The constraints files hold what pyproject.toml allows, and its lower bounds."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# what another Python needs, such as tomli, is not installed where the files are tested
WANTED = [
    text
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["tflite"])
    if "python_version < '3.11'" not in text
]
BOUNDS = {m[1]: m[2] for m in (re.match(r"([\w-]+)>=([\d.]+)", text) for text in WANTED) if m is not None}


def pins(name: str) -> dict[str, tuple[int, ...]]:
    text = (ROOT / "constraints" / f"{name}.txt").read_text()
    rows = (row.partition("#")[0].partition(";")[0].strip() for row in text.splitlines())
    return {
        package.lower(): tuple(map(int, version.split(".")))
        for package, _, version in (row.partition("==") for row in rows if row)
    }


def test_every_requirement_has_a_lower_bound() -> None:
    assert len(BOUNDS) == len(WANTED)


@pytest.mark.parametrize("package", BOUNDS)
def test_oldest_and_newest_are_within_the_bounds(package: str) -> None:
    bound = tuple(map(int, BOUNDS[package].split(".")))
    oldest, newest = pins("oldest")[package], pins("newest")[package]
    assert oldest[: len(bound)] == bound, "the oldest version that is allowed is the one that is tested"
    assert not any(oldest[len(bound) : 3])
    assert newest >= oldest
