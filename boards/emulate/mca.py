"""Cycles of the kernels' inner loops as llvm-mca estimates them (LLVM 19; the A72 model of older ones is wrong).

The innermost loops of the compiled C++ core are taken out of its assembly and given to llvm-mca one by one. A
scheduling model knows nothing of caches and branch prediction: estimates, for comparing kernels on one core.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boards.emulate.root import REPOSITORY, TRIPLET, EmulationError

# LLVM has no model of the A76; Neoverse N1 is the same core for servers.
MODELS = {
    "cortex-a53": "cortex-a53",
    "cortex-a55": "cortex-a55",
    "cortex-a72": "cortex-a72",
    "cortex-a76": "neoverse-n1",
}
SOURCES = REPOSITORY / "cpp" / "src"

_LABEL = re.compile(r"^(\.L\w+):")
_FUNCTION = re.compile(r"^([A-Za-z_]\w*):")
_BRANCH = re.compile(r"^\s+(?:b\.?\w*|cbn?z|tbn?z)\s.*?(\.L\w+)\s*$")


@dataclass(frozen=True)
class Loop:
    """An innermost loop: its function, how manieth of it, and its instructions."""

    function: str
    number: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """Of one turn of a loop on one core."""

    instructions: float
    cycles: float


def assembly(source: Path, options: tuple[str, ...] = ()) -> str:
    """The source compiled for arm64 as the library is."""
    command = [
        f"{TRIPLET}-g++",
        "-std=c++17",
        "-O3",
        "-DNDEBUG",
        "-DEF_HAVE_NEON",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-exceptions",
    ]
    command += ["-fno-rtti", "-S", "-o", "-", f"-I{REPOSITORY / 'cpp/include'}", *options, str(source)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise EmulationError(f"{source.name} does not compile: {done.stderr[-2000:]}")
    return done.stdout


def innermost_loops(text: str) -> Iterator[Loop]:
    """Blocks from a label to a branch back to it with no other label that is branched back to in between."""
    function, count = "?", 0
    labels: dict[str, int] = {}
    lines = text.splitlines()
    innermost_from = -1
    for at, line in enumerate(lines):
        if match := _FUNCTION.match(line):
            function, count, labels, innermost_from = match[1], 0, {}, at
        elif match := _LABEL.match(line):
            labels[match[1]] = at
        elif (match := _BRANCH.match(line)) and match[1] in labels and labels[match[1]] > innermost_from:
            body = [part for part in lines[labels[match[1]] + 1 : at + 1] if _is_instruction(part)]
            innermost_from = at
            count += 1
            yield Loop(function, count, tuple(body))


def _is_instruction(line: str) -> bool:
    return line.startswith("\t") and not line.startswith("\t.") and not line.strip().startswith("//")


def cost(loop: Loop, model: str, turns: int = 100) -> Cost:
    """llvm-mca's estimate of one turn, in a steady state."""
    program = shutil.which("llvm-mca-19") or shutil.which("llvm-mca")
    if program is None:
        raise EmulationError("llvm-mca-19 is missing; install it with: apt-get install llvm-19")
    command = [
        program,
        "-mtriple=aarch64",
        f"-mcpu={model}",
        f"-iterations={turns}",
        "-resource-pressure=0",
        "-instruction-info=0",
    ]
    done = subprocess.run(command, input="\n".join(loop.lines), check=False, capture_output=True, text=True)
    numbers = dict(re.findall(r"^(Instructions|Total Cycles):\s+(\d+)", done.stdout, re.MULTILINE))
    if done.returncode or len(numbers) != 2:
        raise EmulationError(f"llvm-mca refused a loop of {loop.function}: {done.stderr[-500:]}")
    return Cost(int(numbers["Instructions"]) / turns, int(numbers["Total Cycles"]) / turns)


def demangled(name: str) -> str:
    """The function's name as it is written, without its arguments."""
    done = subprocess.run(["c++filt", name], check=False, capture_output=True, text=True)
    return re.sub(r"\(.*", "", done.stdout.strip().replace("(anonymous namespace)::", "")) or name
