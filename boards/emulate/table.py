"""The tables "instructions per frame", written into docs/boards.md and, with everything else, as JSON."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from boards.emulate.networks import Network
from boards.emulate.root import REPOSITORY, EmulationError

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")
RESULTS = REPOSITORY / "boards" / "results" / "instructions.json"
PAGE = REPOSITORY / "docs" / "boards.md"
BEGIN, END = "<!-- instructions: begin -->", "<!-- instructions: end -->"

Record = Mapping[str, Any]


def networks_of(bundle: Path, folder: Path, sizes: Sequence[tuple[int, int]]) -> Iterator[Network]:
    """The networks of a bundle that serve *sizes*, unpacked to *folder*."""
    with zipfile.ZipFile(bundle) as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
        for model in manifest["models"]:
            path = Path(archive.extract(model["file"], folder))
            own = None if model["size"] is None else tuple(model["size"])
            for size in sizes:
                fits = size[0] % model["size_multiple"] == size[1] % model["size_multiple"] == 0
                if own == size or (own is None and fits):
                    name = manifest["name"].removesuffix(f"-{model['precision']}")  # a float bundle says it in its name
                    yield Network.of(path, size, f"{name}-{model['precision']}")


def extra(text: str, default: tuple[int, int]) -> Network:
    """A network given as ``FILE`` or ``FILE@WIDTHxHEIGHT``; a name that ends in a size has that one."""
    file, _, size = text.partition("@")
    name, _, own = Path(file).stem.rpartition("-")
    in_name = re.fullmatch(r"\d+x\d+", own) is not None
    size = size or (own if in_name else "x".join(map(str, default)))
    if re.fullmatch(r"\d+x\d+", size) is None:
        raise EmulationError(f"extra must be FILE or FILE@WIDTHxHEIGHT, but got {text!r}")
    width, height = map(int, size.split("x"))
    return Network.of(Path(file), (width, height), name if in_name else Path(file).stem)


def records_of(networks: Sequence[Network], counts: Mapping[str, Sequence[Mapping[str, int]]]) -> list[Record]:
    """One record a network, sorted so that what is to be compared stands together; *counts* by CPU, in their order."""
    records = [
        {
            "network": network.name,
            "runtime": network.runtime,
            "size": list(network.size),
            "bytes": network.bytes,
            "instructions": {cpu: counts[cpu][k] for cpu in counts},
        }
        for k, network in enumerate(networks)
    ]
    return sorted(records, key=lambda r: (_family(r), r["size"], r["runtime"], r["network"]))


def _family(record: Record) -> str:
    return re.sub(r"-(int8|float32)$", "", str(record["network"]))


def gains(records: Sequence[Record], cpus: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    """For each network that was counted in both precisions: what it is, and float32's instructions over int8's."""
    for record in records:
        if not str(record["network"]).endswith("-int8"):
            continue
        for other in records:
            same = all(record[key] == other[key] for key in ("runtime", "size"))
            if same and other["network"] == f"{_family(record)}-float32":
                what = f"{_family(record)} | {record['runtime']} | {_size(record)}"
                yield what, [_total(other, cpu) / _total(record, cpu) for cpu in cpus]


def _total(record: Record, cpu: str) -> int:
    return int(record["instructions"][cpu]["total"])


def _size(record: Record) -> str:
    return "x".join(map(str, record["size"]))


def markdown(records: Sequence[Record], stages: Sequence[Record], cpus: Sequence[str]) -> str:
    """The tables: networks, float32 against int8, and stages of a whole frame. In millions of instructions."""
    heads = " | ".join(cpu.replace("cortex-a", "Cortex-A") for cpu in cpus)
    right = "--:|" * len(cpus)
    lines = [f"| network | runtime | input | file, kB | {heads} |", f"|---|---|---|--:|{right}"]
    for r in records:
        cells = " | ".join(f"{_total(r, cpu) / 1e6:.1f}" for cpu in cpus)
        lines.append(f"| {r['network']} | {r['runtime']} | {_size(r)} | {r['bytes'] / 1000:.0f} | {cells} |")
    lines += ["", f"| float32 ÷ int8 | runtime | input | {heads} |", f"|---|---|---|{right}"]
    lines += [f"| {what} | {' | '.join(f'{ratio:.2f}' for ratio in row)} |" for what, row in gains(records, cpus)]
    if stages:
        lines += ["", f"| stage of a frame ({stages[0]['frame']}) | kernels | {heads} |", f"|---|---|{right}"]
        for r in stages:
            cells = " | ".join(f"{r['instructions'][cpu] / 1e6:.2f}" for cpu in cpus)
            lines.append(f"| {r['stage']} | {r['kernels']} | {cells} |")
    return "\n".join(lines)


def write(records: Sequence[Record], stages: Sequence[Record], cpus: Sequence[str], versions: Mapping[str, str]) -> str:
    """Write `RESULTS`, and the tables between the marks of `PAGE`; the tables."""
    RESULTS.parent.mkdir(exist_ok=True)
    unit = "executed instructions of one frame, one thread"
    text = json.dumps(
        {"schema": 1, "unit": unit, "versions": versions, "networks": records, "stages": stages}, indent=1
    )
    RESULTS.write_text(text + "\n", encoding="utf-8")
    tables = markdown(records, stages, cpus)
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise EmulationError(f"{PAGE} must have the marks {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    return tables
