"""Which kind of core computes, and which runtime executes the fewest instructions on it: for ``runtime="auto"``.

The table is `boards.emulate table`'s: executed instructions of edgeface-s, counted under emulation.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from edgeface.boards.host import Host

__all__ = ["NOT_FOLLOWED", "TABLE", "Cost", "core_of", "ranking"]

TABLE: Final = Path(__file__).with_name("cores.json")

_X86: Final = "x86-64"
#: Counted, but "auto" keeps its own order there: the emulated x86 has neither AVX-512 nor VNNI, which newer ones have,
#: and LiteRT's int8 gives an x86 the bits that it gives every ARM core.
NOT_FOLLOWED: Final = frozenset({_X86})


class Cost(NamedTuple):
    """Millions of instructions that a runtime executes for one inference in a precision."""

    runtime: str
    precision: str
    millions: float


def core_of(cpus: Iterable[int] | None = None, host: Host | None = None, machine: str | None = None) -> str | None:
    """The table's kind of core for this machine.

    Args:
        cpus: numbers of the cores that compute; all if None. Of several kinds the fastest decides.
        host: machine to look at; the one we run on if None.
        machine: as ``uname -m`` says; this one's if None.

    Returns:
        A key of `edgeface.boards.host.LIKE`, "x86-64", or None where nothing is known of the cores. An unknown Arm core
        is taken for a Cortex-A76 if it has the dot-product instructions, else for an A72.
    """
    machine = machine or platform.machine()
    if machine in ("x86_64", "AMD64"):
        return _X86
    wanted = None if cpus is None else set(cpus)
    from edgeface.boards import host as hosts

    found = [cpu for cpu in (host or hosts.Host()).cpus() if wanted is None or cpu.number in wanted]
    kinds = {cpu.core for cpu in found}
    for core, like in hosts.LIKE.items():
        if kinds & {core, *like}:
            return core
    if machine not in ("aarch64", "arm64") or not found:
        return None
    return "cortex-a76" if all("dotprod" in cpu.features for cpu in found) else "cortex-a72"


@cache
def ranking(core: str | None) -> tuple[Cost, ...]:
    """Runtimes and precisions on a core, the fewest instructions first; empty where the table has no such core."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    rows = [Cost(*row) for row in table["cores"].get(core, [])]
    return tuple(sorted(rows, key=lambda cost: cost.millions))
