"""A board as one TOML file describes it, checked when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from edgeface._compat import tomllib
from edgeface.boards.schemas import check, read_schema
from edgeface.errors import InvalidInputError

__all__ = ["SCHEMA_PATH", "Board", "Cluster", "Recommendation", "load_boards", "parse_board"]

SCHEMA_PATH: Final = Path(__file__).with_name("board.schema.json")


@dataclass(frozen=True, slots=True)
class Cluster:
    """CPUs of one kind that share a clock.

    Attributes:
        core: such as "cortex-a76".
        cpus: their numbers in Linux.
        max_mhz: highest clock.
        features: of the instruction set, in the kernel's or in common words ("dotprod" is the kernel's asimddp).
    """

    core: str
    cpus: tuple[int, ...]
    max_mhz: int
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to run on a board, and why.

    Attributes:
        model, precision, runtime, size, threads: arguments of `edgeface.FaceEngine`.
        cpus: to which the process is best pinned (``taskset``, ``os.sched_setaffinity``).
    """

    model: str
    precision: str
    runtime: str
    size: tuple[int, int]
    threads: int
    cpus: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Board:
    """One board.

    Attributes:
        name, title: short and for people.
        emulate: qemu's CPU model with the same instructions.
        compatible, models: how it is recognised in the device tree; both empty for the generic ones.
        soc: name of the chip.
        clusters: in order of the CPU numbers; the last one is the fastest.
        governor: recommended one.
        thermal_zone, throttle_c: zone that stands for the CPU, and where it begins to throttle, in °C.
        recommended: what to run.
        facts: everything in the file, with notes and sources.
    """

    name: str
    title: str
    emulate: str
    compatible: tuple[str, ...]
    models: tuple[str, ...]
    soc: str
    clusters: tuple[Cluster, ...]
    governor: str
    thermal_zone: str
    throttle_c: float
    recommended: Recommendation
    facts: dict[str, Any]

    @property
    def generic(self) -> bool:
        """Whether the file stands for a kind of core and not for a board."""
        return not self.compatible and not self.models

    @property
    def cores(self) -> int:
        """Number of CPUs."""
        return sum(len(cluster.cpus) for cluster in self.clusters)

    def has(self, feature: str) -> bool:
        """Whether the CPUs recommended for inference have an instruction-set feature."""
        wanted = set(self.recommended.cpus)
        return all(feature in cluster.features for cluster in self.clusters if wanted & set(cluster.cpus))


def parse_board(text: str, file: str) -> Board:
    """Read one TOML document.

    Args:
        text: the document.
        file: its name, such as ``rpi5.toml``, for messages; the board must have the same.

    Raises:
        InvalidInputError: not TOML, not of the schema, or facts that contradict each other.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{file} must be TOML, but got: {error}") from None
    except RecursionError:
        raise InvalidInputError(f"{file} must be TOML of a few levels, but got very many") from None
    check(raw, SCHEMA_PATH, file)
    clusters = tuple(Cluster(c["core"], tuple(c["cpus"]), c["max_mhz"], tuple(c["features"])) for c in raw["cluster"])
    wanted = raw["recommended"]
    recommended = Recommendation(
        model=wanted["model"],
        precision=wanted["precision"],
        runtime=wanted["runtime"],
        size=(wanted["size"][0], wanted["size"][1]),
        threads=wanted["threads"],
        cpus=tuple(wanted["cpus"]),
        why=wanted["why"],
    )
    board = Board(
        name=raw["name"],
        title=raw["title"],
        emulate=raw["emulate"],
        compatible=tuple(raw["match"]["compatible"]),
        models=tuple(raw["match"]["model"]),
        soc=raw["soc"]["name"],
        clusters=clusters,
        governor=raw["governor"]["recommended"],
        thermal_zone=raw["thermal"]["zone"],
        throttle_c=float(raw["thermal"]["throttle_c"]),
        recommended=recommended,
        facts=raw,
    )
    _check_facts(board, file)
    return board


def _check_facts(board: Board, file: str) -> None:
    if f"{board.name}.toml" != file:
        raise InvalidInputError(f"name in {file} must be {file.removesuffix('.toml')}, but got {board.name}")
    numbers = [cpu for cluster in board.clusters for cpu in cluster.cpus]
    if sorted(numbers) != list(range(len(numbers))):
        raise InvalidInputError(f"the clusters' cpus in {file} must be 0 to n-1, each once, but got {numbers}")
    _check_sources(board.facts, file)
    wanted = board.recommended
    strangers = set(wanted.cpus) - set(numbers)
    if strangers:
        raise InvalidInputError(f"recommended.cpus in {file} must be CPUs of the board, but got {sorted(strangers)}")
    if wanted.threads > len(wanted.cpus):
        raise InvalidInputError(
            f"recommended.threads in {file} must be at most its {len(wanted.cpus)} cpus, but got {wanted.threads}"
        )


def _check_sources(facts: dict[str, Any], file: str) -> None:
    """Each fact of the schema's list must be named once: with its source, or among those that have none."""
    named = [fact for entry in facts["source"] for fact in entry["facts"]] + facts["unsourced"]
    every = read_schema(SCHEMA_PATH)["definitions"]["facts"]["items"]["enum"]
    match = facts["match"]
    strangers = set(match.get("unsourced", ())) - {*match["compatible"], *match["model"]}
    if strangers:
        raise InvalidInputError(f"match.unsourced in {file} must name entries of match, but got {sorted(strangers)}")
    for fact in every:
        times = named.count(fact)
        if times != 1:
            raise InvalidInputError(
                f"{fact} in {file} must be named once by source and unsourced, but got {times} times"
            )


def data_folder() -> Path:
    """Where the TOML files are: beside this module once installed, in ``boards/`` of a checkout."""
    installed = Path(__file__).with_name("data")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "boards"


@cache
def load_boards() -> dict[str, Board]:
    """All boards that ship with the package: name -> `Board`, sorted by name.

    Raises:
        InvalidInputError: one of the files is wrong.
    """
    paths = sorted(data_folder().glob("*.toml"))
    return {path.stem: parse_board(path.read_text(encoding="utf-8"), path.name) for path in paths}
