"""Quality targets (part of step ``label``): how much of a face's identity survives in a crop.

A tile is a labelled face with its surroundings, degraded on purpose. Its target is the cosine similarity of its
face-recognition embedding to the person's other, clean photos where there are any (train/youtube_crops), and
otherwise to its own clean crop, brought to the same scale by a line fitted where both are known. The network learns
the number; edgeface ships no recognition.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sample import FaceLabel, Sample
from quantize.teachers import MobileFaceNet
from quantize.train.degrade import KINDS, degrade


def cut(image: NDArray[np.uint8], face: FaceLabel, longest: int) -> tuple[NDArray[np.uint8], FaceLabel]:
    """The face with surroundings (2.2 times its side), at most ``longest`` pixels wide, and its label in the tile's
    pixels.
    """
    x1, y1, x2, y2 = (float(v) for v in face.box)
    side = max(x2 - x1, y2 - y1) * 2.2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    lo = np.maximum(np.floor([cx - side / 2, cy - side / 2]), 0).astype(int)
    hi = np.minimum(np.ceil([cx + side / 2, cy + side / 2]), [image.shape[1], image.shape[0]]).astype(int)
    part = image[lo[1] : hi[1], lo[0] : hi[0]]
    f = min(1.0, longest / max(part.shape[:2]))
    size = (max(2, round(part.shape[1] * f)), max(2, round(part.shape[0] * f)))
    tile = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    k = np.array([size[0] / part.shape[1], size[1] / part.shape[0]], np.float32)
    assert face.points is not None
    moved = replace(
        face,
        box=((face.box.reshape(2, 2) - lo) * k).reshape(4).astype(np.float32),
        points=((face.points - lo) * k).astype(np.float32),
    )
    return tile, moved


def make_tiles(
    samples: list[Sample], teachers: Path, folder: Path, seed: int, variants: int = 2, longest: int = 192
) -> list[Sample]:
    """Writes degraded tiles to ``folder`` (lossless WebP) and returns them as samples with ``quality`` set."""
    network, rng = MobileFaceNet(teachers), np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    clean: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
    rows: list[dict[str, Any]] = []
    for n, sample in enumerate(samples):
        faces = [f for f in sample.faces if not f.ignore and f.points is not None and min(f.box[2:] - f.box[:2]) >= 48]
        if not faces:
            continue
        image = cv2.imread(str(sample.path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        for face in faces[:2]:
            tile, moved = cut(np.asarray(image, np.uint8), face, longest)
            assert moved.points is not None
            own = network(tile, moved.points[None])[0]
            person = face.extra.get("person") if face is faces[0] else None
            if person:
                clean.setdefault(person, []).append((n, own))
            for _ in range(variants):
                made = tile
                kinds = []
                for kind in rng.choice(KINDS, size=1 if rng.random() < 0.7 else 2, replace=False):
                    made = degrade(made, str(kind), float(rng.uniform(0, 1)) ** 1.3, moved.points, rng)
                    kinds.append(str(kind))
                name = folder / f"{len(rows):06d}.webp"
                cv2.imwrite(str(name), made, [cv2.IMWRITE_WEBP_QUALITY, 101])
                made = np.asarray(made, np.uint8)
                embedding = network(made, moved.points[None])[0]
                rows.append(
                    {
                        "path": name,
                        "face": moved,
                        "shape": made.shape,
                        "n": n,
                        "person": person,
                        "embedding": embedding,
                        "own": float(embedding @ own),
                        "kinds": kinds,
                    }
                )
    for row in rows:
        others = [e for n, e in clean.get(row["person"] or "", []) if n != row["n"]]
        row["others"] = float(row["embedding"] @ _unit(np.sum(others, 0))) if len(others) >= 3 else None
    both = [(r["own"], r["others"]) for r in rows if r["others"] is not None]
    slope, offset = np.polyfit(*zip(*both, strict=True), 1) if len(both) >= 20 else (1.0, 0.0)
    out = []
    for row in rows:
        value = row["others"] if row["others"] is not None else slope * row["own"] + offset
        face = replace(row["face"], quality=float(np.clip(value, 0, 1)), ignore=False, extra={"kinds": row["kinds"]})
        out.append(Sample(row["path"], row["shape"][1], row["shape"][0], [face], True, "quality"))
    return out


def _unit(v: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-9))
