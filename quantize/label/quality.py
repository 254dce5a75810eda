"""Quality targets (part of step ``label``): how much of a face's identity survives in a crop.

A tile is a labelled face with its surroundings, degraded on purpose. Its target is the cosine similarity of its
face-recognition embedding to the person's other, clean photos where there are any (train/youtube_crops), and
otherwise to its own clean crop, brought to the same scale by a line fitted where both are known. The network learns
the number; edgeface ships no recognition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.sample import FaceLabel, Sample
from quantize.engines import Engine, open_engine
from quantize.files import replacing
from quantize.label.degrade import KINDS, degrade
from quantize.label.mobilefacenet import MobileFaceNet

VERSION = 1  # part of a tile's name: raise it when the rules below change


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
    samples: Sequence[Sample],
    teachers: Path,
    folder: Path,
    seed: int,
    variants: int = 2,
    longest: int = 192,
    engine: Engine | None = None,
) -> list[Sample]:
    """Writes degraded tiles to ``folder`` (lossless WebP) and returns them as samples with ``quality`` set.

    Photos are worked on where ``engine`` says; what stands in ``folder`` already is not made again, and the result does
    not depend on either. A photo that cannot be read has no tiles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    worker = _TileWorker(teachers, folder, seed, variants, longest)
    lines = (engine or open_engine("local")).map(worker, [json.dumps(s.to_json()) for s in samples], "quality")
    made = [(n, tile) for n, line in enumerate(lines) for tile in json.loads(line)]
    clean: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
    for n, tile in {n: tile for n, tile in reversed(made) if tile["person"]}.items():  # one clean tile a photo
        clean.setdefault(tile["person"], []).append((n, np.array(tile["clean"], np.float32)))
    rows = []
    for n, tile in made:
        embedding = np.array(tile["embedding"], np.float32)
        others = [e for k, e in clean.get(tile["person"] or "", []) if k != n]
        known = float(embedding @ _unit(np.sum(others, 0))) if len(others) >= 3 else None
        rows.append((tile, float(embedding @ np.array(tile["clean"], np.float32)), known))
    both = [(own, known) for _, own, known in rows if known is not None]
    slope, offset = (
        np.polyfit([own for own, _ in both], [known for _, known in both], 1) if len(both) >= 20 else (1.0, 0.0)
    )
    out = []
    for tile, own, known in rows:
        value = known if known is not None else slope * own + offset
        face = replace(
            FaceLabel.from_json(tile["face"]),
            quality=float(np.clip(value, 0, 1)),
            ignore=False,
            extra={"kinds": tile["kinds"]},
        )
        out.append(Sample(folder / tile["file"], tile["width"], tile["height"], [face], True, "quality"))
    return out


class _TileWorker:
    """A photo's sample as JSON to its tiles as JSON, a list of objects: ``file``, ``width``, ``height``, ``face``,
    ``kinds``, ``person``, ``embedding``, and that of the ``clean`` tile.
    """

    _open: dict[Path, MobileFaceNet] = {}  # noqa: RUF012 - one for the whole process is what is wanted

    def __init__(self, teachers: Path, folder: Path, seed: int, variants: int, longest: int) -> None:
        self.teachers, self.folder, self.seed = teachers, folder, seed
        self.variants, self.longest = variants, longest

    def __call__(self, line: str) -> str:
        sample = Sample.from_json(json.loads(line))
        try:
            data = sample.path.read_bytes()
        except OSError:
            return "[]"
        faces = [f.to_json() for f in sample.faces]
        rules = json.dumps([VERSION, self.seed, self.variants, self.longest, faces])
        key = hashlib.sha256(data + rules.encode()).hexdigest()[:32]
        path = self.folder / f"{key}.json"
        if not path.is_file():
            with replacing(path) as part:
                part.write_text(json.dumps(self._tiles(sample, data, key)))
        return path.read_text()

    def _tiles(self, sample: Sample, data: bytes, key: str) -> list[dict[str, Any]]:
        faces = [f for f in sample.faces if not f.ignore and f.points is not None and min(f.box[2:] - f.box[:2]) >= 48]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if faces else None
        if image is None:
            return []
        if self.teachers not in self._open:
            cv2.setNumThreads(1)
            self._open[self.teachers] = MobileFaceNet(self.teachers)
        network, rng = self._open[self.teachers], np.random.default_rng(int(key, 16))
        out: list[dict[str, Any]] = []
        for face in faces[:2]:
            tile, moved = cut(np.asarray(image, np.uint8), face, self.longest)
            assert moved.points is not None
            clean = network(tile, moved.points[None])[0]
            for _ in range(self.variants):
                made, kinds = tile, []
                for kind in rng.choice(KINDS, size=1 if rng.random() < 0.7 else 2, replace=False):
                    made = degrade(made, str(kind), float(rng.uniform(0, 1)) ** 1.3, moved.points, rng)
                    kinds.append(str(kind))
                name = f"{key}-{len(out)}.webp"
                cv2.imwrite(str(self.folder / name), made, [cv2.IMWRITE_WEBP_QUALITY, 101])
                out.append(
                    {
                        "file": name,
                        "width": made.shape[1],
                        "height": made.shape[0],
                        "face": moved.to_json(),
                        "kinds": kinds,
                        "person": face.extra.get("person") if face is faces[0] else None,
                        "embedding": _rounded(network(np.asarray(made, np.uint8), moved.points[None])[0]),
                        "clean": _rounded(clean),
                    }
                )
        return out


def _rounded(v: NDArray[Any]) -> list[float]:
    return [round(float(x), 6) for x in v]


def _unit(v: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(v / max(float(np.linalg.norm(v)), 1e-9))
