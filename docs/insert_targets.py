"""Put what edgeface-s reaches beside what was asked of it into the page on students.

    python docs/insert_targets.py RUN/evaluate/table.json --instructions 29.71

The figures are those of ``python -m quantize evaluate``, bold where what was asked is met, in brackets what its
bootstrap over photos gives; the instructions are those that ``python -m boards.emulate count`` prints, in millions.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insert_figures import between

PAGE = Path(__file__).parent / "students.md"
BEGIN, END = "<!-- targets: begin -->", "<!-- targets: end -->"
OURS, PEER = ("edgeface-s int8 onnxruntime", "edgeface-s int8 litert"), "yunet_n_dynamic"


@dataclass(frozen=True)
class Target:
    """One row: ``key`` in what `evaluate` says of a set by a rule, with ``asked`` and ``hoped`` for."""

    text: str
    where: tuple[str, str]
    key: str
    asked: float
    hoped: float
    unit: str = ""
    digits: int = 2
    larger: bool = False
    """Whether more is better."""
    of_peer: str = ""
    """Said of a peer's figure."""

    def shown(self, value: float) -> str:
        text = f"{value:.{self.digits}f}{self.unit}"
        return text.removeprefix("0")

    def cell(self, figures: dict[str, Any]) -> str:
        """Our figure, bold where it meets what was asked, with its interval where there is one."""
        value = figures[self.key]
        met = value >= self.asked if self.larger else value <= self.asked
        text = f"**{self.shown(value)}**" if met else self.shown(value)
        if self.key not in figures.get("between", {}):
            return text
        low, high = (f"{v:.{self.digits}f}".removeprefix("0") for v in figures["between"][self.key])
        return f"{text} ({low} to {high})"

    def cell_of_peer(self, figures: dict[str, Any]) -> str:
        """A peer's figure; a dash where it has no such output."""
        return self.shown(figures[self.key]) + self.of_peer if self.key in figures else "–"


def _precision(size: int, height: int, asked: float, hoped: float) -> Target:
    where = ("wider", f"letterbox {size}x{size}")
    text = f"wider @{size}, AP ≥{height} px"
    return Target(text, where, f"ap_ge{height}", asked, hoped, digits=3, larger=True)


SMALL, LARGE = "letterbox 320x320", "letterbox 640x640"
TARGETS = (
    _precision(640, 16, 0.855, 0.91),
    _precision(640, 32, 0.93, 0.966),
    _precision(640, 64, 0.96, 0.98),
    _precision(320, 16, 0.68, 0.75),
    _precision(320, 32, 0.86, 0.90),
    _precision(320, 64, 0.95, 0.97),
    Target("aflw2000, pose MAE", ("aflw2000", SMALL), "pose_mae", 5.5, 4.8, "°"),
    Target("aflw2000, points / box", ("aflw2000", SMALL), "nme5_box", 4.5, 3.5, " %"),
    Target("afw, points / eye distance", ("afw", LARGE), "nme5", 8, 5, " %"),
    Target("false faces per 100 photos without any", ("background", LARGE), "fp_per_100@0.5", 4, 1, digits=1),
    Target(
        "error-versus-discard, people_degraded",
        ("people_degraded", SMALL),
        "edc_area",
        0.785,
        0.75,
        digits=3,
        of_peer=" (its score)",
    ),
)


def table(results: Sequence[dict[str, Any]], instructions: float) -> str:
    """The table in Markdown.

    Args:
        results: what ``evaluate`` wrote as ``table.json``.
        instructions: of one 320×320 frame on a Cortex-A76, in millions.

    Raises:
        KeyError: a set, a figure or a model is missing.
    """
    found = {(r["model"], r["set"], r["rule"]): r for r in results}
    rows = [
        "| | asked | hoped for | ONNX Runtime | LiteRT | YuNet n, float |",
        "|---|---|---|---|---|---|",
    ]
    for t in TARGETS:
        asked, hoped = (f"{v:g}{t.unit}".removeprefix("0") for v in (t.asked, t.hoped))
        must, aim = ("≥", ">") if t.larger else ("≤", "<")
        ours = [t.cell(found[model, *t.where]) for model in OURS]
        cells = [t.text, f"{must} {asked}", f"{aim} {hoped}", *ours, t.cell_of_peer(found[PEER, *t.where])]
        rows.append(f"| {' | '.join(cells)} |")
    count = f"**{instructions:.1f}**" if instructions <= 30 else f"{instructions:.1f}"
    rows.append(f"| million instructions, Cortex-A76, 320×320 | ≤ 30 | | | {count} | 86 (ONNX Runtime) |")
    return "\n".join(rows)


def main() -> None:
    """Rewrite the page in place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--instructions", type=float, required=True)
    options = parser.parse_args()
    text = table(json.loads(options.results.read_text()), options.instructions)
    PAGE.write_text(between(PAGE.read_text(), BEGIN, END, f"\n{text}\n"))


if __name__ == "__main__":
    main()
