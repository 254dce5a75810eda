"""The packed faces: every training face cut out once, with a margin for jitter, beside its targets."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.files import replacing
from quantize.points.crop import carried, face_crop, sample_crop
from quantize.points.labels import FaceTarget
from quantize.points.mean_face import five_of

SIDE, SHARE = 176, 1.5
"""Side of a packed face in pixels, and of what it shows in crop sides."""


@dataclass
class Targets:
    """Targets of n faces, float32: ``points`` (n, 68, 2) in crop sides from the crop's centre, ``depth`` (n, 68) in
    crop sides, ``visible`` (n, 68), ``weight`` (n, 68), ``state`` (n, 9), NaN where unknown, ``rotation`` (n, 3, 3);
    ``height`` (n,) of the box in photo pixels; ``drawn`` (n,) 1 where people drew the points; ``source`` (n,) number
    of the set. ``tddfa``, ``mesh``: what teachers say of the points, NaN where nothing.
    """

    points: NDArray[np.float32]
    depth: NDArray[np.float32]
    visible: NDArray[np.float32]
    weight: NDArray[np.float32]
    state: NDArray[np.float32]
    rotation: NDArray[np.float32]
    height: NDArray[np.float32]
    drawn: NDArray[np.float32]
    source: NDArray[np.float32]
    tddfa: NDArray[np.float32]
    mesh: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.points)

    def take(self, which: NDArray[Any]) -> Targets:
        return Targets(*(getattr(self, f.name)[which] for f in fields(Targets)))


class Writer:
    """Collects faces, then writes ``crops.npy``, ``targets.npz`` to a folder."""

    def __init__(self) -> None:
        self.crops: list[NDArray[np.uint8]] = []
        self.rows: list[list[Any]] = []

    def add(self, image: NDArray[np.uint8], target: FaceTarget, source: int) -> None:
        """One face of ``image``, BGR (h, w, 3)."""
        matrix, _ = face_crop(five_of(target.points), target.rotation, target.box)
        side = float(np.hypot(*matrix[:, 0]))
        wide = matrix * [SHARE, SHARE, 1]
        self.crops.append(sample_crop(image, wide, SIDE))
        nothing = np.full((68, 2), np.nan)
        taught = {k: carried(v, matrix) for k, v in target.taught.items()}
        upright = np.eye(3)
        upright[:2, :2] = matrix[:, :2].T / side
        self.rows.append([
            carried(target.points, matrix), target.depth / side, target.visible, target.weight, target.state,
            upright @ target.rotation, target.box[3] - target.box[1], target.drawn, source,
            taught.get("tddfa", nothing), taught.get("mesh", nothing),
        ])  # fmt: skip

    def write(self, folder: Path) -> int:
        """Returns how many faces there are. Raises ValueError for none."""
        if not self.crops:
            raise ValueError("there must be a face to pack, but got none")
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "crops.npy") as part, part.open("wb") as f:
            np.save(f, np.stack(self.crops))
        columns = [np.array(column, np.float32) for column in zip(*self.rows, strict=True)]
        save_targets(folder, Targets(*columns))
        return len(self.crops)


def save_targets(folder: Path, targets: Targets) -> None:
    with replacing(folder / "targets.npz") as part, part.open("wb") as f:
        np.savez(f, **vars(targets))


def load(folder: Path) -> tuple[NDArray[np.uint8], Targets]:
    """Crops (n, SIDE, SIDE, 3) RGB, read-only, and their targets."""
    with np.load(folder / "targets.npz") as stored:
        targets = Targets(*(stored[f.name] for f in fields(Targets)))
    return np.load(folder / "crops.npy", mmap_mode="r"), targets
