"""Training views of packed faces: cut out as inexactly as the first network would, mirrored, covered, photographed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from quantize.data.photometric import camera
from quantize.points.config import PointsViewOptions
from quantize.points.covers import covered
from quantize.points.labels import yaw_of
from quantize.points.lids import lowered
from quantize.points.mean_face import MIRROR
from quantize.points.model import SIZE
from quantize.points.pack import SHARE, SIDE, load
from quantize.points.shapes import smooth_points

MIRROR_STATE = [1, 0, 2, 3, 4, 5, 6, 7, 8]
"""Which of the states each is in a mirror."""

PROFILE = (30.0, 60.0)
"""Degrees of yaw between which crops become as inexact as those of profiles are."""
OPEN = 0.4
"""Openness from which an eye can be shut."""
LEVELS = (0.2, 0.4, 0.6, 0.8)
"""Openness between the levels that are balanced."""
MOST = 8.0
"""How much more often a rare level is drawn at most."""


def balanced(openness: NDArray[Any], share: float) -> NDArray[np.float64]:
    """(n,) factors of chance: how rare each face's level is, of ``openness`` (n, 3), to the power of ``share``.

    Eyes count by the one that is less open, the mouth by itself, and the larger factor of both. NaN has factor 1.
    """
    out = np.ones(len(openness))
    for values in (np.where(np.isnan(openness[:, :2]), np.inf, openness[:, :2]).min(1), openness[:, 2]):
        known = np.isfinite(values)
        level = np.searchsorted(LEVELS, np.where(known, values, 0))
        counts = np.bincount(level[known], minlength=len(LEVELS) + 1)
        rarity = np.minimum((counts.max() / np.maximum(counts, 1)) ** share, MOST)
        out = np.maximum(out, np.where(known, rarity[level], 1))
    return out


@dataclass
class Batch:
    """Targets of n views as tensors: ``points`` (n, 68, 2), ``depth``, ``visible``, ``weight`` (n, 68), ``state``
    (n, 9), NaN where unknown.
    """

    points: torch.Tensor
    depth: torch.Tensor
    visible: torch.Tensor
    weight: torch.Tensor
    state: torch.Tensor


@dataclass(frozen=True)
class Jitter:
    """One crop's error: ``shift`` (2,) in crop sides, ``scale`` a factor of its side, ``turn`` in radians."""

    shift: NDArray[np.float64]
    scale: float
    turn: float

    def moved(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """``points`` (n, 2) of the exact crop as the inexact one has them."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return (np.asarray(points, float) - self.shift) @ [[c, s], [-s, c]] / self.scale


NONE = Jitter(np.zeros(2), 1.0, 0.0)


def cut(face: NDArray[np.uint8], jitter: Jitter, mirror: bool = False) -> NDArray[np.uint8]:
    """The network's input (112, 112, 3) of a packed face; the jitter is that of the mirrored one."""
    c, s = np.cos(jitter.turn), np.sin(jitter.turn)
    side = SIDE / SHARE
    m = SIZE / (side * jitter.scale) * np.array([[c, -s], [s, c]])
    t = SIZE / 2 - m @ (SIDE / 2 + jitter.shift * side)
    if mirror:
        t = t + m @ [SIDE, 0]
        m = m @ np.diag([-1.0, 1])
    t = t + m @ [0.5, 0.5] - 0.5  # OpenCV counts from pixel centres
    view = cv2.warpAffine(face, np.c_[m, t], (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
    return np.asarray(view, np.uint8)


class FaceViews:
    """Draws views: a seed and a number give a view, always the same one. ``folder``: of `quantize.points.pack`.

    ``points_variance`` above 0 replaces all points by what a shape model says of them (KD-Loss's tolerant teacher).
    """

    def __init__(self, folder: Path, options: PointsViewOptions, points_variance: float = 0.0) -> None:
        self.crops, self.targets = load(folder)
        self.options = options
        if points_variance:
            self.targets.points = smooth_points(self.targets.points, self.targets.drawn > 0, points_variance)
        yaw = self.yaw = np.array([abs(yaw_of(r)) for r in self.targets.rotation])
        chances = (1 + options.turned_boost * np.minimum(1, yaw / 60)) * (1 + options.drawn_boost * self.targets.drawn)
        chances *= balanced(self.targets.state[:, :3], options.balance)
        self.cumulated = np.cumsum(chances)

    def draw(self, rng: np.random.Generator) -> int:
        """The number of a face."""
        at = int(np.searchsorted(self.cumulated, rng.random() * self.cumulated[-1], side="right"))
        return min(at, len(self.cumulated) - 1)

    def jitter(self, rng: np.random.Generator, face: int) -> Jitter:
        """An error as the options have it, for the face of that number."""
        o = self.options.jitter
        turned = float(np.clip((self.yaw[face] - PROFILE[0]) / (PROFILE[1] - PROFILE[0]), 0, 1))
        wild = rng.random() < o.wild + turned * (o.profile_wild - o.wild)
        k = (o.wilder if wild else 1.0) * (1 + turned * (o.profile - 1))
        shift, scale, turn = rng.normal(0, k * o.shift, 2), rng.normal(0, k * o.scale), rng.normal(0, k * o.turn)
        return Jitter(shift, float(np.exp(scale)), float(np.radians(turn)))

    def view(self, seed: int, number: int) -> tuple[NDArray[np.uint8], tuple[NDArray[np.float32], ...]]:
        """RGB (112, 112, 3) and the values of a `Batch`'s row."""
        rng = np.random.default_rng([seed, number])
        i, t = self.draw(rng), self.targets
        jitter, mirror = self.jitter(rng, i), bool(rng.random() < 0.5)
        points, depth, visible, weight, state = (a[i].copy() for a in (t.points, t.depth, t.visible, t.weight, t.state))
        if mirror:
            points = points[list(MIRROR)] * np.array([-1, 1], np.float32)
            depth, visible, weight = (a[list(MIRROR)] for a in (depth, visible, weight))
            state = state[MIRROR_STATE]
        points = jitter.moved(points)
        image = cut(self.crops[i], jitter, mirror)
        if t.drawn[i] and self.yaw[i] < PROFILE[0] and rng.random() < self.options.lids.share:
            points, state = self._shut(image, points, state, rng)
        visible, state = covered(
            image, (points + 0.5) * SIZE, visible, state, self.options.covers, rng, lambda: self._texture(rng)
        )
        if rng.random() < self.options.camera:
            image = camera(image, rng, self.options.photometric)
        row = (points, depth / jitter.scale, visible, weight, state)
        return image, tuple(np.asarray(a, np.float32) for a in row)

    def _shut(
        self, image: NDArray[np.uint8], points: NDArray[Any], state: NDArray[Any], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Shuts the open eyes of a view, in place, one or both of them. Returns its points and state then."""
        o, out, state = self.options.lids, (points + 0.5) * SIZE, state.copy()
        share = 1.0 if rng.random() < o.whole else float(rng.uniform(0.2, 0.9))
        below, wink = float(rng.uniform(0.2, 0.8)), rng.random() < o.wink
        for eye in (int(rng.integers(2)),) if wink else (0, 1):
            if state[eye] > OPEN:
                before, out = out, lowered(image, out, eye, share, below)
                if (out != before).any():  # eyes of a few pixels stay as they are
                    state[eye] *= 1 - share
        return out / SIZE - 0.5, state

    def _texture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A piece of another face, turned on its head half of the time."""
        face = self.crops[int(rng.integers(len(self.crops)))]
        y, x = rng.integers(0, SIDE - SIZE, 2)
        piece = face[y : y + SIZE, x : x + SIZE]
        return np.ascontiguousarray(piece[::-1] if rng.random() < 0.5 else piece)

    def batch(self, seed: int, start: int, count: int) -> tuple[torch.Tensor, Batch]:
        """uint8 (n, 3, 112, 112) in channels-last memory, and the targets of views ``start`` and the following."""
        views = [self.view(seed, start + k) for k in range(count)]
        columns = zip(*(row for _, row in views), strict=True)
        x = torch.from_numpy(np.stack([image for image, _ in views])).permute(0, 3, 1, 2)
        return x, Batch(*(torch.from_numpy(np.stack(column)) for column in columns))


def as_input(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 pixels to the float32 numbers that the network takes."""
    return pixels.to(torch.float32).sub_(128).div_(128)
