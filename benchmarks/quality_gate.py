"""What the quality gate discards, and how recognition errors fall, on val/people_degraded.

    python benchmarks/quality_gate.py [--model edgeface-s] [--markdown FILE]

1,160 pictures of 116 people, half of them degraded on purpose; `embeddings.npz` holds a recogniser's embedding of
each. FNMR is taken over all pairs of one person at the threshold that gives FMR 1e-2 over all pairs of two people,
fixed once; a pair is kept where both pictures pass. A picture without a detection counts as discarded.

Prints the gates (default without and with the picture, presets), what the default discards by kind of degradation, and
the `min_quality` that would discard a fifth. `docs/insert_figures.py FILE --document docs/guides/quality-gate.md` puts
the Markdown into the guide.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import edgeface
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.gate import GateReport
from edgeface.images import read_image

DATA = Path(__file__).parents[2] / "shared" / "data" / "val" / "people_degraded"
FMR = 1e-2
SHARE = 0.2


class Sample(NamedTuple):
    """One picture: what it is, and the face found where the labelled one is (None if there is none)."""

    stem: str
    degradation: str
    frame: Frame
    face: Faces | None


class Recogniser:
    """Pairs and errors, from the embeddings."""

    def __init__(self) -> None:
        data = np.load(DATA / "embeddings.npz")
        self.stems = [Path(str(name)).stem for name in data["files"]]
        similarity = data["embedding"].astype(np.float32) @ data["embedding"].astype(np.float32).T
        self._pairs = np.triu_indices(len(self.stems), 1)
        same = data["person"][self._pairs[0]] == data["person"][self._pairs[1]]
        scores = similarity[self._pairs]
        self.threshold = float(np.quantile(scores[~same], 1 - FMR))
        self._genuine = self._pairs[0][same], self._pairs[1][same]
        self._missed = scores[same] < self.threshold

    def fnmr(self, kept: np.ndarray) -> float:
        """Share of a person's pairs that are not recognised, of those whose two pictures are kept."""
        both = kept[self._genuine[0]] & kept[self._genuine[1]]
        return float(self._missed[both].mean()) if both.any() else float("nan")


def samples(engine: edgeface.FaceEngine) -> dict[str, Sample]:
    """Detect in every picture."""
    found = {}
    lines = (DATA / "labels.jsonl").read_text().splitlines()
    for line in track(lines, "pictures", console=Console(stderr=True), transient=True):
        entry = json.loads(line)
        frame = Frame.from_array(read_image(DATA / entry["file"]), "bgr")
        faces = engine.detect(frame, min_score=0.3)
        x1, y1, x2, y2 = entry["faces"][0]["box"]
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        hit = (faces.boxes[:, 0] <= x) & (x <= faces.boxes[:, 2]) & (faces.boxes[:, 1] <= y) & (y <= faces.boxes[:, 3])
        here = np.flatnonzero(hit)
        face = faces[here[:1]] if len(here) else None
        stem = Path(entry["file"]).stem
        found[stem] = Sample(stem, entry["degradation"], frame, face)
    return found


def reports(gate: edgeface.QualityGate, ordered: list[Sample], pixels: bool) -> list[GateReport | None]:
    """One report a picture; None without a face."""
    return [None if s.face is None else gate.check(s.face, s.frame if pixels else None)[0] for s in ordered]


def markdown(title: str, table: Table) -> str:
    """A table of rich as one of Markdown, below its title."""
    cells = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    lines = [f"| {' | '.join(row)} |" for row in zip(*cells, strict=True)]
    return "\n".join([title, "", lines[0], "|---" * len(cells) + "|", *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--size", default="320x320")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if not DATA.exists():
        raise SystemExit(f"{DATA} must hold the degraded faces, but there is no such folder")
    console = Console(width=140)
    recogniser = Recogniser()
    with edgeface.FaceEngine(options.model, size=options.size, exact=True) as engine:
        found = samples(engine)
        info = engine.info
        network = f"`{info.model}` {info.precision} ({options.size}, {info.runtime}, sha256 {info.sha256[:12]}…)"
        console.print(network)
    ordered = [found[stem] for stem in recogniser.stems]
    everything = np.ones(len(ordered), bool)
    detected = np.array([s.face is not None for s in ordered])
    summary = f"{len(ordered)} pictures, {detected.mean():.1%} detected, threshold {recogniser.threshold:.3f}"
    console.print(summary)

    gates = {
        "none": (None, False),
        "default, without pixels": (edgeface.QualityGate(), False),
        "default": (edgeface.QualityGate(), True),
        "verify": (edgeface.QualityGate.preset("verify"), True),
        "enrol": (edgeface.QualityGate.preset("enrol"), True),
        "attention": (edgeface.QualityGate.preset("attention"), True),
    }
    gate_table = Table("gate", "discarded", "FNMR of what is left", "against none")
    base = recogniser.fnmr(everything)
    verdicts: dict[str, list[GateReport | None]] = {}
    for name, (gate, pixels) in gates.items():
        kept = everything
        if gate is not None:
            verdicts[name] = reports(gate, ordered, pixels)
            kept = np.array([report is not None and report.passed for report in verdicts[name]])
        fnmr = recogniser.fnmr(kept)
        gate_table.add_row(name, f"{1 - kept.mean():.1%}", f"{fnmr:.3f}", f"{fnmr / base - 1:+.0%}")
    console.print(gate_table)

    kinds = defaultdict(list)
    for sample, report in zip(ordered, verdicts["default"], strict=True):
        kinds[sample.degradation].append(report)
    kind_table = Table("degradation", "pictures", "discarded", "reasons")
    for kind, group in sorted(kinds.items()):
        counts = Counter(str(reason) for report in group if report is not None for reason in report.reasons)
        counts["no face"] = sum(report is None for report in group)
        lost = sum(report is None or not report.passed for report in group)
        text = ", ".join(f"{reason} {n / len(group):.0%}" for reason, n in counts.most_common() if n)
        kind_table.add_row(kind, str(len(group)), f"{lost / len(group):.0%}", text)
    console.print(kind_table)

    quality = np.array([0.0 if s.face is None else float(s.face.quality[0]) for s in ordered])
    cut = float(np.quantile(quality, SHARE))
    kept = quality >= cut
    console.print(
        f"min_quality {cut:.3f} alone discards {1 - kept.mean():.1%}: FNMR {base:.4f} -> {recogniser.fnmr(kept):.4f}; "
        f"quality percentiles 5/25/50/75/95: {np.percentile(quality, [5, 25, 50, 75, 95]).round(3).tolist()}"
    )
    if options.markdown is not None:
        first = markdown(f"{network}, {summary}:", gate_table)
        second = markdown("Of each kind of degradation the default discards:", kind_table)
        options.markdown.write_text(f"{first}\n\n{second}\n")


if __name__ == "__main__":
    main()
