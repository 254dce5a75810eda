"""The ensemble's faces of sets of photos, one JSON line a photo, kept so that labelling runs once.

    python -m quantize.label.cache TEACHERS TRAIN OUT --sets people wider

An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from quantize.label.ensemble import Ensemble
from quantize.label.fusion import Detections


def label_set(ensemble: Ensemble, folder: Path, out: Path) -> int:
    """Appends what is missing of a set to its cache.

    Args:
        ensemble: The teacher.
        folder: The set: labels.jsonl names its photos.
        out: The cache, JSON lines: file, boxes, points (pixels of the photo, two decimals), scores (three).

    Returns:
        How many photos were labelled now.

    Raises:
        ValueError: A photo cannot be read.
    """
    names = [json.loads(line)["file"] for line in (folder / "labels.jsonl").read_text().splitlines()]
    done = read(out)
    missing = [name for name in names if name not in done]
    out.parent.mkdir(parents=True, exist_ok=True)
    _cut_half_line(out)
    with out.open("a") as lines:
        for name in missing:
            image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f"photo must be an image that OpenCV reads, but got {folder / name}")
            found = ensemble(np.asarray(image, np.uint8))
            lines.write(json.dumps({"file": name} | _rounded(found)) + "\n")
            lines.flush()
    return len(missing)


def read(path: Path) -> dict[str, Detections]:
    """The cached faces by the photo's ``file``; empty where there is no cache. A last line that was cut off is left
    out.
    """
    found = {}
    for line in path.read_text().splitlines(keepends=True) if path.is_file() else []:
        if line.endswith("\n"):
            row = json.loads(line)
            boxes, points, scores = (np.array(row[key], np.float32) for key in ("boxes", "points", "scores"))
            found[row["file"]] = Detections(boxes.reshape(-1, 4), points.reshape(-1, 5, 2), scores)
    return found


def _rounded(found: Detections) -> dict[str, list[object]]:
    return {
        "boxes": found.boxes.astype(float).round(2).tolist(),
        "points": found.points.astype(float).round(2).tolist(),
        "scores": found.scores.astype(float).round(3).tolist(),
    }


def _cut_half_line(path: Path) -> None:
    if path.is_file():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            path.write_bytes(data[: data.rfind(b"\n") + 1])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Label photos with the ensemble of three detectors.")
    parser.add_argument("teachers", type=Path, help="folder of the detectors' weights")
    parser.add_argument("sets", type=Path, help="folder of the sets")
    parser.add_argument("out", type=Path, help="folder of the cache, one file a set")
    parser.add_argument("--sets", dest="names", nargs="+", required=True, help="names of the sets, in this order")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    ensemble = Ensemble(args.teachers)
    for name in args.names:
        count = label_set(ensemble, args.sets / name, args.out / f"{name}.jsonl")
        print(f"{name}: {count} photos labelled", flush=True)


if __name__ == "__main__":
    main()
