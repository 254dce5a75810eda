"""How small a face may be: recall by its height in the network's input, at each input size of a bundle.

    python benchmarks/sizing.py [--model edgeface-s] [--count 60] > table.md
    python docs/insert_figures.py table.md --command '…' --document docs/guides/recipes.md

On photos of ``../shared/data/val/wider`` (evenly chosen), through the SDK, at the engine's least score; found is what
overlaps a labelled box with an IoU of at least .5. `edgeface.sizing.SMALLEST_IN_TENSOR` is read off it.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from matching import matched
from rich.console import Console
from rich.progress import track

import edgeface
from edgeface.bundle import Bundle
from edgeface.images import read_image

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "val" / "wider"
#: Pixels of height in the network's input.
HEIGHTS = (8, 12, 16, 20, 24, 32, 48, 96, 10_000)
LEAST_IOU = 0.5


def photos(count: int) -> list[dict[str, object]]:
    """Labels of `count` photos, evenly chosen; all if 0."""
    entries = [json.loads(line) for line in (PHOTOS / "labels.jsonl").read_text().splitlines()]
    return entries[:: max(1, len(entries) // count)][:count] if count else entries


def measure(engine: edgeface.FaceEngine, entries: list[dict[str, object]]) -> np.ndarray:
    """(bins, 2): faces found, and faces there."""
    counts = np.zeros((len(HEIGHTS) - 1, 2), int)
    width, height = engine.info.size
    for entry in track(entries, f"{width}x{height}", console=Console(stderr=True), transient=True):
        boxes = np.array([face["box"] for face in entry["faces"] if not face.get("ignore")], float).reshape(-1, 4)
        if not len(boxes):
            continue
        image = read_image(PHOTOS / str(entry["file"]))
        scale = min(width / image.shape[1], height / image.shape[0])
        rows = np.digitize((boxes[:, 3] - boxes[:, 1]) * scale, HEIGHTS) - 1
        hit = np.zeros(len(boxes), bool)
        hit[list(matched(boxes, engine.detect(image, color="bgr").boxes.astype(float), LEAST_IOU))] = True
        for row in range(len(counts)):
            counts[row] += hit[rows == row].sum(), (rows == row).sum()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="edgeface-s")
    parser.add_argument("--count", type=int, default=60, help="photos; 0 for all")
    parser.add_argument("--sizes", nargs="*", help="WxH; those of the bundle unless given")
    options = parser.parse_args()
    if not PHOTOS.exists():
        raise SystemExit(f"{PHOTOS} must hold labelled photos, but there is no such folder")
    entries = photos(options.count)
    counts, said = {}, ""
    for size in options.sizes or [f"{w}x{h}" for w, h in Bundle.find(options.model).sizes()]:
        with edgeface.FaceEngine(options.model, size=size) as engine:
            counts[size] = measure(engine, entries)
            said = f"{engine.info.model}, least score {engine.info.min_score:g}"
    lines = ["| height in the input | " + " | ".join(counts) + " |", "|---|" + "---|" * len(counts)]
    for row, (low, high) in enumerate(pairwise(HEIGHTS)):
        cells = [f"{hit / there:.2f} of {there}" if there else "–" for hit, there in (c[row] for c in counts.values())]
        name = f"{low} px and more" if high == HEIGHTS[-1] else f"{low} to {high} px"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", f"{len(entries)} photos of val/wider; {said}."]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
