"""The table "instructions per frame", written into docs/boards.md and, with everything else, as JSON."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards.emulate.networks import NetworkCount, count_network
from boards.emulate.root import REPOSITORY, EmulationError

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")
RESULTS = REPOSITORY / "boards" / "results" / "instructions.json"
PAGE = REPOSITORY / "docs" / "boards.md"
BEGIN, END = "<!-- instructions: begin -->", "<!-- instructions: end -->"


@dataclass(frozen=True)
class Candidate:
    """A network file, what to call it, and the input size that fills free dimensions."""

    path: Path
    name: str
    size: tuple[int, int]


def networks_of(bundle: Path, folder: Path, sizes: Sequence[tuple[int, int]]) -> Iterator[Candidate]:
    """The networks of a bundle that serve *sizes*, unpacked to *folder*."""
    with zipfile.ZipFile(bundle) as archive:
        manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
        for model in manifest["models"]:
            path = Path(archive.extract(model["file"], folder))
            own = None if model["size"] is None else tuple(model["size"])
            for size in sizes:
                fits = size[0] % model["size_multiple"] == size[1] % model["size_multiple"] == 0
                if own == size or (own is None and fits):
                    kind = "onnx" if path.suffix == ".onnx" else "tflite"
                    yield Candidate(path, f"{manifest['name']} {model['precision']} {kind}", size)


def count_all(candidates: Sequence[Candidate], cpus: Sequence[str]) -> list[dict[str, Any]]:
    """One record a candidate, with the counts of each CPU."""
    records = []
    for candidate in candidates:
        counts = {cpu: count_network(candidate.path, cpu, None, candidate.size) for cpu in cpus}
        some: NetworkCount = next(iter(counts.values()))
        records.append(
            {
                "network": candidate.name,
                "file": candidate.path.name,
                "runtime": some.runtime,
                "size": list(candidate.size),
                "instructions": {cpu: count.counts for cpu, count in counts.items()},
            }
        )
        print(row(records[-1], cpus), flush=True)
    return records


def row(record: Mapping[str, Any], cpus: Sequence[str]) -> str:
    """One line of the Markdown table, in millions."""
    cells = [f"{record['instructions'][cpu]['total'] / 1e6:.1f}" for cpu in cpus]
    return f"| {record['network']} | {record['runtime']} | {'x'.join(map(str, record['size']))} | {' | '.join(cells)} |"


def markdown(records: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]], cpus: Sequence[str]) -> str:
    """Both tables: networks, and stages of a whole frame."""
    heads = [cpu.replace("cortex-a", "Cortex-A") for cpu in cpus]
    lines = [f"| network | runtime | input | {' | '.join(heads)} |", f"|---|---|---|{'--:|' * len(cpus)}"]
    lines += [row(record, cpus) for record in records]
    if stages:
        lines += ["", f"| stage of a frame ({stages[0]['frame']}) | kernels | {' | '.join(heads)} |"]
        lines.append(f"|---|---|{'--:|' * len(cpus)}")
        for record in stages:
            cells = [
                f"{record['instructions'][cpu] / 1e6:.2f}" if cpu in record["instructions"] else "–" for cpu in cpus
            ]
            lines.append(f"| {record['stage']} | {record['kernels']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(records: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]], cpus: Sequence[str]) -> None:
    """Write `RESULTS`, and the tables between the marks of `PAGE`."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"unit": "executed instructions", "networks": records, "stages": stages}, indent=1) + "\n"
    )
    page = PAGE.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise EmulationError(f"{PAGE} must have the marks {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(records, stages, cpus)}\n{END}{after}", encoding="utf-8")


def make(
    bundles: Sequence[Path], extra: Sequence[Path], cpus: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Count the networks of *bundles* and the *extra* files."""
    with tempfile.TemporaryDirectory() as folder:
        found = [c for b in bundles for c in networks_of(b, Path(folder) / b.stem, sizes)]
        found += [Candidate(path, path.stem, sizes[-1]) for path in extra]
        return count_all(found, cpus)
