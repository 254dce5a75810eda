"""The tables "instructions per frame": all of them in docs/instructions.md, short ones on two pages, and as JSON."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from boards.emulate.networks import RUNTIMES, Network
from boards.emulate.root import REPOSITORY, EmulationError
from edgeface.runtimes.cores import NOT_FOLLOWED

CPUS = ("cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76")
RESULTS = REPOSITORY / "boards" / "results" / "instructions.json"
PAGE = REPOSITORY / "docs" / "instructions.md"
BEGIN, END = "<!-- instructions: begin -->", "<!-- instructions: end -->"
BEST_PAGE = REPOSITORY / "docs" / "boards.md"
BEST_BEGIN, BEST_END = "<!-- best: begin -->", "<!-- best: end -->"
#: Column of the short table, and the networks that it is the best of.
BEST = {
    "edgeface-s": ("edgeface-s-int8", "edgeface-s-float32"),
    "edgeface-n": ("edgeface-n-int8", "edgeface-n-float32"),
    "YuNet n": ("yunet_n_dynamic",),
}
AUTO_PAGE = REPOSITORY / "docs" / "runtimes.md"
AUTO_BEGIN, AUTO_END = "<!-- auto: begin -->", "<!-- auto: end -->"
#: What ``runtime="auto"`` follows (`edgeface.runtimes.cores`), and the network and input size that it is of.
CORES, OF = REPOSITORY / "edgeface" / "runtimes" / "cores.json", ("edgeface-s", [320, 320])

Record = Mapping[str, Any]


def networks_of(
    bundle: Path, folder: Path, sizes: Sequence[tuple[int, int]], runtimes: Sequence[str] = ()
) -> Iterator[Network]:
    """The networks of a bundle that serve *sizes*, unpacked to *folder*; those of *runtimes* where any are named."""
    with zipfile.ZipFile(bundle) as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
        for model in manifest["models"]:
            path = Path(archive.extract(model["file"], folder))
            if "weights" in model:
                archive.extract(model["weights"]["file"], folder)
            own = None if model["size"] is None else tuple(model["size"])
            for size in sizes:
                fits = size[0] % model["size_multiple"] == size[1] % model["size_multiple"] == 0
                if own == size or (own is None and fits):
                    name = manifest["name"].removesuffix(f"-{model['precision']}")  # a float bundle says it in its name
                    network = Network.of(path, size, f"{name}-{model['precision']}")
                    if not runtimes or network.runtime in runtimes:
                        yield network


def extra(text: str, default: tuple[int, int]) -> Network:
    """A network given as ``FILE[@WIDTHxHEIGHT][:RUNTIME]``; a name that ends in a size has that one."""
    known = next((runtime for runtime in set(RUNTIMES.values()) if text.endswith(f":{runtime}")), None)
    file, _, size = text.removesuffix(f":{known}").partition("@")
    name, _, own = Path(file).stem.rpartition("-")
    in_name = re.fullmatch(r"\d+x\d+", own) is not None
    size = size or (own if in_name else "x".join(map(str, default)))
    if re.fullmatch(r"\d+x\d+", size) is None:
        raise EmulationError(f"extra must be FILE[@WIDTHxHEIGHT][:RUNTIME], but got {text!r}")
    width, height = map(int, size.split("x"))
    return Network.of(Path(file), (width, height), name if in_name else Path(file).stem, known)


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
    return _sorted(records)


def _sorted(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (_family(r), r["size"], r["runtime"], r["network"]))


def kept(records: Sequence[Record], versions: Mapping[str, str]) -> list[Record]:
    """Records with those of the last table that are not among them: other networks, and other CPUs of the same ones.

    Raises:
        EmulationError: the last table was counted with other versions.
    """
    last = json.loads(RESULTS.read_text(encoding="utf-8"))
    changed = {name for name, version in last["versions"].items() if versions.get(name) != version}
    if changed:
        raise EmulationError(f"--keep must find a table of the same versions, but got other ones of {sorted(changed)}")
    merged = {_identity(r): dict(r) for r in last["networks"]}
    for record in records:
        before = merged.get(_identity(record), {}).get("instructions", {})
        merged[_identity(record)] = {**record, "instructions": {**before, **record["instructions"]}}
    return _sorted(merged.values())


def _identity(record: Record) -> tuple[Any, ...]:
    return record["network"], record["runtime"], tuple(record["size"])


def cores(records: Sequence[Record]) -> dict[str, Any]:
    """Runtime, precision and millions of instructions by core, of one network and size."""
    name, size = OF
    rows: dict[str, list[list[Any]]] = {}
    for record in records:
        if _family(record) == name and list(record["size"]) == size:
            precision = str(record["network"]).removeprefix(f"{name}-")
            for cpu, counts in record["instructions"].items():
                rows.setdefault(cpu, []).append([record["runtime"], precision, round(counts["total"] / 1e6, 1)])
    return {"network": name, "size": size, "cores": {cpu: sorted(r, key=lambda r: r[2]) for cpu, r in rows.items()}}


def _family(record: Record) -> str:
    return re.sub(r"-(int8|float32)$", "", str(record["network"]))


def gains(records: Sequence[Record], cpus: Sequence[str]) -> Iterator[tuple[str, list[float | None]]]:
    """For each network that was counted in both precisions: what it is, and float32's instructions over int8's."""
    for record in records:
        if not str(record["network"]).endswith("-int8"):
            continue
        for other in records:
            same = all(record[key] == other[key] for key in ("runtime", "size"))
            if same and other["network"] == f"{_family(record)}-float32":
                what = f"{_family(record)} | {record['runtime']} | {_size(record)}"
                both = [(_total(other, cpu), _total(record, cpu)) for cpu in cpus]
                yield what, [a / b if a and b else None for a, b in both]


def _total(record: Record, cpu: str) -> int | None:
    return int(record["instructions"][cpu]["total"]) if cpu in record["instructions"] else None


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _millions(record: Record, cpu: str) -> float | None:
    total = _total(record, cpu)
    return None if total is None else total / 1e6


def _size(record: Record) -> str:
    return "x".join(map(str, record["size"]))


def markdown(records: Sequence[Record], stages: Sequence[Record], cpus: Sequence[str]) -> str:
    """The tables: networks, float32 against int8, and stages of a whole frame. In millions of instructions."""
    heads = " | ".join(cpu.replace("cortex-a", "Cortex-A") for cpu in cpus)
    right = "--:|" * len(cpus)
    lines = [f"| network | runtime | input | file, kB | {heads} |", f"|---|---|---|--:|{right}"]
    for r in records:
        cells = " | ".join(_cell(_millions(r, cpu), ".1f") for cpu in cpus)
        lines.append(f"| {r['network']} | {r['runtime']} | {_size(r)} | {r['bytes'] / 1000:.0f} | {cells} |")
    lines += ["", f"| float32 ÷ int8 | runtime | input | {heads} |", f"|---|---|---|{right}"]
    lines += [f"| {what} | {' | '.join(_cell(ratio, '.2f') for ratio in row)} |" for what, row in gains(records, cpus)]
    if stages:
        lines += ["", f"| stage of a frame ({stages[0]['frame']}) | kernels | {heads} |", f"|---|---|{right}"]
        for r in stages:
            own = r["instructions"]
            cells = " | ".join(_cell(own[cpu] / 1e6 if cpu in own else None, ".2f") for cpu in cpus)
            lines.append(f"| {r['stage']} | {r['kernels']} | {cells} |")
    return "\n".join(lines)


def write(records: Sequence[Record], stages: Sequence[Record], cpus: Sequence[str], versions: Mapping[str, str]) -> str:
    """Write `RESULTS`, `CORES`, and the tables between the marks of the pages; those of `PAGE`."""
    RESULTS.parent.mkdir(exist_ok=True)
    unit = "executed instructions of one frame, one thread"
    text = json.dumps(
        {"schema": 1, "unit": unit, "versions": versions, "networks": records, "stages": stages}, indent=1
    )
    RESULTS.write_text(text + "\n", encoding="utf-8")
    CORES.write_text(json.dumps(cores(records), indent=1) + "\n", encoding="utf-8")
    tables = markdown(records, stages, cpus)
    _replace(PAGE, BEGIN, END, tables)
    _replace(BEST_PAGE, BEST_BEGIN, BEST_END, best_markdown(records))
    _replace(AUTO_PAGE, AUTO_BEGIN, AUTO_END, auto_markdown(cores(records)))
    return tables


def best(records: Sequence[Record], core: str, size: Sequence[int] = (320, 320)) -> list[str]:
    """Cells of the short table's row of a core: millions of each network of `BEST`, and how they are reached."""
    cells = []
    for names in BEST.values():
        counted = (
            (_millions(r, core), r["runtime"], str(r["network"]).rpartition("-")[2])
            for r in records
            if r["network"] in names and list(r["size"]) == list(size) and core in r["instructions"]
        )
        millions, runtime, precision = min(counted, default=(None, "", ""))
        how = f"{runtime} {precision}" if len(names) > 1 else runtime
        cells.append("–" if millions is None else f"{millions:.1f} ({how})")
    return cells


def best_markdown(records: Sequence[Record]) -> str:
    """A row a core: the fewest millions of instructions of each network at 320x320."""
    lines = [f"| 320×320 | {' | '.join(BEST)} |", f"|---|{'--:|' * len(BEST)}"]
    lines += [f"| {core.replace('cortex-a', 'Cortex-A')} | {' | '.join(best(records, core))} |" for core in CPUS]
    return "\n".join(lines)


def auto_markdown(table: Mapping[str, Any]) -> str:
    """`CORES` for people: a row a core, a column a runtime in its better precision, the fewest of a row in bold."""
    named = {row[0] for rows in table["cores"].values() for row in rows}
    runtimes = sorted(named, key=lambda name: (name != "ncnn", name != "litert", name))
    lines = [f"| core | {' | '.join(runtimes)} |", f"|---|{'--:|' * len(runtimes)}"]
    for core, rows in table["cores"].items():  # the fewest first
        cells = []
        for runtime in runtimes:
            own = [row for row in rows if row[0] == runtime]
            text = f"{own[0][2]:.1f} {own[0][1]}" if own else "–"
            taken = own and own[0] == rows[0] and core not in NOT_FOLLOWED
            cells.append(f"**{text}**" if taken else text)
        lines.append(f"| {core.replace('cortex-a', 'Cortex-A')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _replace(page: Path, begin: str, end: str, text: str) -> None:
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise EmulationError(f"{page} must have the marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
