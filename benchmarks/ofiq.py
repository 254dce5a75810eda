"""Component scores against those that OFIQ publishes for its conformance photos.

    python benchmarks/ofiq.py OFIQ-Project

Takes a checkout of https://github.com/BSI-OFIQ/OFIQ-Project. Its table of expected results holds native scores and
quality values: this project's mappings of the native scores must give these values.

With the photos in ``data/tests/images`` (its build fetches them from ISO), the largest face of each is scored as well.
The last columns then compare whole pipelines: the mean of this project's value minus OFIQ's, and of its absolute value.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from edgeface.iso import _MAPPINGS, _score, quality_components


def of_photos(rows: list[dict[str, str]], images: Path) -> dict[str, list[float]]:
    """By component: this project's value minus OFIQ's, of each photo that is there and in which a face is found."""
    import cv2

    from edgeface import FaceEngine, Frame

    off = defaultdict(list)
    there = [(row, path) for row in rows if (path := images / Path(row["Filename"]).name).is_file()]
    engine = FaceEngine(points=True) if there else None
    for row, path in there:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SystemExit(f"{path} must be a readable picture, but is not")
        assert engine is not None
        frame = Frame.from_array(np.asarray(image, np.uint8), "bgr")
        faces = engine.detect(frame)
        if not len(faces):
            continue
        largest = int((faces.widths * faces.heights).argmax())
        for name, value in quality_components(faces, frame)[largest].items():
            off[name].append(value - float(row[column(name) + ".scalar"]))
    return off


def column(name: str) -> str:
    """OFIQ's name of a component."""
    return name.replace("_", " ").title().replace(" ", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ofiq", type=Path, metavar="OFIQ-Project", help="Checkout of OFIQ.")
    tests = parser.parse_args().ofiq / "data" / "tests"
    with (tests / "expected_results" / "expected_results.csv").open(newline="") as f:
        rows = list(csv.DictReader(f, delimiter=";"))
    off = of_photos(rows, tests / "images")
    table = Table("component", "mapped alike", "levels", "photos", "difference", "absolute", box=box.SIMPLE)
    for name in [*_MAPPINGS, *sorted(off.keys() - _MAPPINGS)]:
        theirs = [float(row[column(name) + ".scalar"]) for row in rows]
        mapped = "–"
        if name in _MAPPINGS:
            ours = [_score(name, float(row[column(name)])) for row in rows]
            mapped = f"{sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(rows)}"
        d = np.array(off.get(name, []))
        seen = (f"{d.mean():+.1f}", f"{np.abs(d).mean():.1f}") if len(d) else ("–", "–")
        table.add_row(name, mapped, str(len(set(theirs))), str(len(d)), *seen)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
