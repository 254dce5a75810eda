"""Videos whose truth is known, out of labelled photos: a virtual camera pans and zooms over each, bars walk through.

Used by `benchmarks/tracking.py`. Photos come from ``../shared/data/{train,val}/wider``, where every face has a box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
#: What is tuned is tuned on "train"; "val" is for reporting only.
SETS = {"train": DATA / "train" / "wider", "val": DATA / "val" / "wider"}
WINDOW = (640, 480)
FPS = 30
FRAMES = 90
#: Faces that are lower than this in the window are not asked for.
SMALLEST = 28
#: Largest speeds in pixels a frame: with a lens of 60 degrees 20 and 56 degrees a second.
PAN, FAST_PAN = 7.0, 20.0
#: Standard deviation in grey levels of the noise that each frame of "still" gets: a small sensor indoors.
NOISE = 4.0
MOTIONS = ("still", "pan", "fast pan", "zoom", "occlusion")


@dataclass
class Photo:
    """A photo with all its faces.

    Attributes:
        image: (h, w, 3) BGR.
        boxes: (n, 4).
    """

    image: np.ndarray
    boxes: np.ndarray


class Truth(NamedTuple):
    """One frame's truth.

    Attributes:
        boxes: (n, 4) in the window, one for each face of the photo.
        wanted: (n,) visible, large enough, not hidden: has to be found.
        known: (n,) visible at least in part: may be found, counts as no false alarm.
        velocity: (n, 2) pixels a frame of the centres.
    """

    boxes: np.ndarray
    wanted: np.ndarray
    known: np.ndarray
    velocity: np.ndarray


@dataclass
class Video:
    """One photo under one motion."""

    photo: Photo
    motion: str
    seed: int

    def frames(self) -> Iterator[tuple[np.ndarray, Truth]]:
        """(480, 640, 3) BGR pictures with their truth."""
        rng = np.random.default_rng(self.seed)
        turn = rng.uniform(0, 2 * np.pi)
        last = None
        for i in range(FRAMES):
            matrix = self._camera(i, turn)
            image = cv2.warpAffine(
                self.photo.image, matrix, WINDOW, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            )
            corners = self.photo.boxes.reshape(-1, 2)
            boxes = (corners @ matrix[:, :2].T + matrix[:, 2]).reshape(-1, 4)
            hidden = np.zeros(len(boxes))
            if self.motion == "occlusion":
                x1, x2 = self._bar(i)
                image[:, max(0, x1) : max(0, x2)] = (90, 100, 110)
                covered = np.clip(np.minimum(boxes[:, 2], x2) - np.maximum(boxes[:, 0], x1), 0, None)
                hidden = covered / (boxes[:, 2] - boxes[:, 0])
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            velocity = np.zeros_like(centres) if last is None else centres - last
            last = centres
            if self.motion == "still":
                noisy = image + rng.normal(0, NOISE, image.shape).astype(np.float32)
                image = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
            yield image, _truth(boxes, hidden, velocity)

    def _camera(self, i: int, turn: float) -> np.ndarray:
        """Photo to window: the photo covers the window with room to move."""
        height, width = self.photo.image.shape[:2]
        base = 1.35 * max(WINDOW[0] / width, WINDOW[1] / height)
        phase = 2 * np.pi * i / FRAMES
        zoom, shift = 1.0, np.zeros(2)
        room = (np.array([width, height]) * base - WINDOW) / 2
        if self.motion == "pan":
            shift = _swing(PAN, phase, turn, room)
        elif self.motion == "fast pan":
            shift = _swing(FAST_PAN, 3 * phase, turn, room)
        elif self.motion == "zoom":
            zoom = 1 + 0.3 * np.sin(2 * phase)
        elif self.motion == "occlusion":
            shift = _swing(PAN / 3, phase, turn, room)
        scale = base * zoom
        centre = np.array([width, height]) / 2
        offset = np.array(WINDOW) / 2 + shift - scale * centre
        return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])

    def _bar(self, i: int) -> tuple[int, int]:
        """A pole of a sixth of the window's width that walks through it in the video's time."""
        width = WINDOW[0] // 6
        left = round(-width + (WINDOW[0] + width) * i / FRAMES)
        return left, left + width


def _swing(speed: float, phase: float, turn: float, room: np.ndarray) -> np.ndarray:
    """To and fro, slightly bent, at most so fast, and no farther than there is room."""
    periods = 3 if speed == FAST_PAN else 1
    reach = np.minimum(speed * FRAMES / (2 * np.pi * periods), room)
    return reach * [np.sin(phase + turn), 0.3 * np.cos(phase + turn)]


def _truth(boxes: np.ndarray, hidden: np.ndarray, velocity: np.ndarray) -> Truth:
    inside = np.clip(np.minimum(boxes[:, 2:], WINDOW) - np.maximum(boxes[:, :2], 0), 0, None).prod(1)
    share = inside / (boxes[:, 2:] - boxes[:, :2]).prod(1)
    tall = boxes[:, 3] - boxes[:, 1]
    wanted = (share > 0.9) & (tall >= SMALLEST) & (hidden < 0.3)
    return Truth(boxes, wanted, share > 0.05, velocity)


def labelled_photos(folder: Path, count: int) -> list[Photo]:
    """Photos of two to ten faces that are large enough in the window, in the order of their names."""
    photos = []
    for line in (folder / "labels.jsonl").read_text().splitlines():
        entry = json.loads(line)
        faces = [face for face in entry["faces"] if face.get("box")]
        boxes = np.array([face["box"] for face in faces if not face.get("ignore")], float).reshape(-1, 4)
        scale = 1.35 * max(WINDOW[0] / entry["width"], WINDOW[1] / entry["height"])
        large = (boxes[:, 3] - boxes[:, 1]) * scale >= SMALLEST
        if len(faces) != len(boxes) or not 2 <= large.sum() <= 10 or len(boxes) > 14:
            continue
        photos.append(Photo(cv2.imread(str(folder / entry["file"])), boxes))
        if len(photos) == count:
            break
    return photos
