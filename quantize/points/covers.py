"""Covers drawn over a face that carry their own labels: patches, hands, masks, glasses and sunglasses.

All on RGB uint8 (h, w, 3), in place; points are (68, 2) pixels of the picture. Each returns the opaque area it covers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.points.config import CoverOptions
from quantize.points.state import STATE

Image = NDArray[np.uint8]
Area = NDArray[np.bool_]

PARTS = {"cover_eyes": slice(36, 48), "cover_nose": slice(27, 36), "cover_mouth": slice(48, 68)}
COVERED, DOUBTFUL = 0.6, 0.25
"""Share of a part's points under a cover from which the part counts as covered, and below which it does not."""
LOSSLESS = 16
"""Fractions of a pixel that OpenCV draws with, 4 bits of them."""


def _fill(area: NDArray[np.uint8], polygon: NDArray[Any]) -> None:
    cv2.fillPoly(area, [np.rint(np.asarray(polygon) * LOSSLESS).astype(np.int32)], 255, cv2.LINE_AA, 4)


@dataclass(frozen=True)
class Shade:
    """A colour (3,) under a light that falls off along a direction."""

    colour: NDArray[Any]
    angle: float
    strength: float

    @staticmethod
    def of(rng: np.random.Generator, colour: NDArray[Any]) -> Shade:
        return Shade(colour, rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35))

    def within(self, x: int, y: int, w: int, h: int, side: int) -> NDArray[np.float32]:
        """(h, w, 3) of the part at ``x``, ``y`` of a picture of ``side``."""
        across = (np.arange(x, x + w, dtype=np.float32) * (2 / side) - 1) * np.float32(np.cos(self.angle))
        down = (np.arange(y, y + h, dtype=np.float32) * (2 / side) - 1) * np.float32(np.sin(self.angle))
        light = 1 + np.float32(self.strength) * (across[None] + down[:, None])
        return np.asarray(light[..., None] * np.asarray(self.colour, np.float32))


def _paint(image: Image, area: NDArray[np.uint8], what: Shade | NDArray[Any], opacity: float = 1.0) -> Area:
    """Blends a shade or a picture (h, w, 3) into ``image`` where ``area`` (h, w) is above 0."""
    x, y, w, h = cv2.boundingRect(area)
    if w and h:
        part = np.s_[y : y + h, x : x + w]
        new = what.within(x, y, w, h, image.shape[1]) if isinstance(what, Shade) else what[part]
        alpha = (area[part].astype(np.float32) * np.float32(opacity / 255))[..., None]
        image[part] = (image[part] + (new - image[part].astype(np.float32)) * alpha).clip(0, 255).astype(np.uint8)
    return np.asarray(area > 127)


def patch(image: Image, points: NDArray[Any], rng: np.random.Generator, texture: Image) -> Area:
    """A piece of another picture, or one colour, as an ellipse or a crooked quadrangle over some point."""
    h, w = image.shape[:2]
    area = np.zeros((h, w), np.uint8)
    centre, size = points[rng.integers(68)] + rng.normal(0, 4, 2), rng.uniform(0.08, 0.26, 2) * w
    angle = rng.uniform(0, np.pi)
    corners = np.linspace(0, 2 * np.pi, 5 if rng.random() < 0.5 else 24)[:-1] + rng.uniform(0, 0.4)
    ring = np.stack([np.cos(corners), np.sin(corners)], 1) * size * rng.uniform(0.8, 1.2, (len(corners), 1))
    c, s = np.cos(angle), np.sin(angle)
    _fill(area, centre + ring @ [[c, s], [-s, c]])
    what = texture if rng.random() < 0.6 else Shade.of(rng, rng.uniform(0, 255, 3))
    return _paint(image, area, what)


def skin(image: Image, points: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
    """The colour (3,) of the cheeks, as another light would show it."""
    h, w = image.shape[:2]
    cheeks = np.stack([(points[31] + points[2]) / 2, (points[35] + points[14]) / 2])
    at = np.rint(cheeks).astype(int).clip(1, [w - 2, h - 2])
    colours = np.stack([image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(0) for x, y in at])
    return np.asarray((colours[rng.integers(2)] * rng.uniform(0.65, 1.3) + rng.normal(0, 6, 3)).clip(0, 255))


def hand(image: Image, points: NDArray[Any], rng: np.random.Generator, texture: Image) -> Area:
    """Four fingers and a palm in skin colour, over the mouth, the nose or an eye."""
    h, w = image.shape[:2]
    target = points[48:].mean(0) if rng.random() < 0.5 else points[rng.integers(17, 68)]
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.16, 0.3) * w
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    thick = length * rng.uniform(0.22, 0.3)
    colour = skin(image, points, rng)
    covered = np.zeros((h, w), bool)
    palm = np.zeros((h, w), np.uint8)
    axes = tuple(int(v) for v in (length * 0.8, thick * 2.1))
    middle = target + along * length * 1.1
    cv2.ellipse(palm, tuple(int(v) for v in middle), axes, float(np.degrees(angle)), 0, 360, 255, -1, cv2.LINE_AA)
    covered |= _paint(image, palm, Shade.of(rng, colour))
    for k in range(4):
        finger = np.zeros((h, w), np.uint8)
        at = target + across * (k - 1.5) * thick * 1.02 - along * rng.uniform(0, 0.25) * length
        size = (int(length * rng.uniform(0.7, 0.9)), max(2, int(thick * 0.55)))
        tilt = float(np.degrees(angle) + (k - 1.5) * rng.uniform(-6, 6))
        cv2.ellipse(finger, tuple(int(v) for v in at), size, tilt, 0, 360, 255, -1, cv2.LINE_AA)
        covered |= _paint(image, finger, Shade.of(rng, colour * rng.uniform(0.9, 1.08)))
        cv2.ellipse(image, tuple(int(v) for v in at), size, tilt, 0, 360, tuple(colour * 0.7), 1, cv2.LINE_AA)
    return covered


def mask(image: Image, points: NDArray[Any], rng: np.random.Generator, texture: Image) -> Area:
    """A face mask from the nose's ridge to under the chin, with folds and straps."""
    h, w = image.shape[:2]
    top = points[28] + (points[29] - points[28]) * rng.uniform(-0.4, 0.9)
    first, last = (int(k) for k in (rng.integers(2, 4), rng.integers(13, 15)))
    jaw = points[first : last + 1]
    down = (points[8] - points[27]) * rng.uniform(0, 0.06)
    right = (points[31] + points[1]) / 2 + (top - points[31]) * 0.35
    left = (points[35] + points[15]) / 2 + (top - points[35]) * 0.35
    area = np.zeros((h, w), np.uint8)
    _fill(area, np.concatenate([jaw + down, [left, top, right]]))
    light = rng.random() < 0.75
    colour = rng.uniform(150, 255, 3) if light else rng.uniform(0, 130, 3)
    if rng.random() < 0.4:  # surgical: blue or green
        colour = np.array([rng.uniform(90, 180), rng.uniform(150, 215), rng.uniform(180, 240)])
    fabric = (
        texture * np.float32(0.4) + colour.astype(np.float32) * np.float32(0.6)
        if rng.random() < 0.2
        else Shade.of(rng, colour)
    )
    covered = _paint(image, area, fabric)
    if rng.random() < 0.6:
        for t in rng.uniform(0.15, 0.9, int(rng.integers(1, 4))):
            a, b = jaw[0] + (right - jaw[0]) * (1 - t), jaw[-1] + (left - jaw[-1]) * (1 - t)
            middle = top + (points[8] - top) * t
            line = np.rint(np.stack([a, middle, b]) * LOSSLESS).astype(np.int32)
            cv2.polylines(image, [line], False, tuple(colour * rng.uniform(0.75, 0.92)), 1, cv2.LINE_AA, 4)
    for end, side in ((0, right), (16, left)):
        if rng.random() < 0.7:
            a, b = (tuple(int(v) for v in np.rint(p * LOSSLESS)) for p in (side, points[end]))
            cv2.line(image, a, b, tuple(colour * 0.9), 1, cv2.LINE_AA, 4)
    return covered


def _lenses(points: NDArray[Any], rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Outlines (24, 2) of two lenses around the eyes, one form for both."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    apart = max(float(np.linalg.norm(across)), 1.0)
    along = across / apart
    down = np.array([-along[1], along[0]])
    tall, power = rng.uniform(0.26, 0.42), rng.choice([2.0, 3.0, 4.0])
    t = np.linspace(0, 2 * np.pi, 25)[:-1]
    c, s = np.cos(t), np.sin(t)
    ring = np.stack([np.sign(v) * np.abs(v) ** (2 / power) for v in (c, s)], 1)
    height = float(np.linalg.norm(points[8] - points[27])) * tall * 0.5
    lenses = []
    for eye in (slice(36, 42), slice(42, 48)):
        width = max(float(np.ptp(points[eye] @ along)) * rng.uniform(0.72, 0.8), 2.0)
        centre = points[eye].mean(0) + down * height * rng.uniform(0.05, 0.35)
        lenses.append(centre + ring[:, :1] * width * along + ring[:, 1:] * height * down)
    return lenses


def _frame(image: Image, points: NDArray[Any], lenses: list[NDArray[np.float64]], rng: np.random.Generator) -> None:
    """Rims, bridge and temples."""
    colour = tuple(rng.uniform(0, 90, 3)) if rng.random() < 0.75 else tuple(rng.uniform(60, 220, 3))
    width = int(rng.choice([1, 1, 1, 2, 2, 3]))
    rims = rng.random() < 0.85

    def line(*at: NDArray[Any]) -> None:
        cv2.polylines(image, [np.rint(np.stack(at) * LOSSLESS).astype(np.int32)], False, colour, width, cv2.LINE_AA, 4)

    for lens, end in zip(lenses, (0, 16), strict=True):
        if rims:
            line(*lens, lens[0])
        outer = lens[np.argmin(np.linalg.norm(lens - points[end], axis=1))]
        line(outer, points[end] + (points[27] - points[end]) * 0.03)
    nose = points[27]
    line(*(lens[np.argmin(np.linalg.norm(lens - nose, axis=1))] for lens in lenses))


def glasses(image: Image, points: NDArray[Any], rng: np.random.Generator, texture: Image) -> Area:
    """Clear glasses: they cover nothing."""
    lenses = _lenses(points, rng)
    area = np.zeros(image.shape[:2], np.uint8)
    for lens in lenses:
        _fill(area, lens)
    tint = Shade(rng.uniform(100, 255, 3), 0, 0)
    _paint(image, area, tint if rng.random() < 0.7 else texture, float(rng.uniform(0, 0.25)))
    _frame(image, points, lenses, rng)
    return np.zeros(image.shape[:2], bool)


def sunglasses(image: Image, points: NDArray[Any], rng: np.random.Generator, texture: Image) -> Area:
    """Dark glasses, with what they reflect."""
    lenses = _lenses(points, rng)
    area = np.zeros(image.shape[:2], np.uint8)
    for lens in lenses:
        _fill(area, lens)
    covered = _paint(image, area, Shade.of(rng, rng.uniform(0, 70, 3)), float(rng.uniform(0.85, 1)))
    if rng.random() < 0.4:
        _paint(image, area, texture, 0.2)
    _frame(image, points, lenses, rng)
    return covered


KINDS: dict[str, Callable[[Image, NDArray[Any], np.random.Generator, Image], Area]] = {
    "glasses": glasses,
    "sunglasses": sunglasses,
    "mask": mask,
    "patch": patch,
    "hand": hand,
}
"""In the order in which they are put on."""


def covered(
    image: Image,
    points: NDArray[Any],
    visible: NDArray[Any],
    state: NDArray[Any],
    options: CoverOptions,
    rng: np.random.Generator,
    texture: Callable[[], Image],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draws covers, each with its own probability.

    Args:
        image: changed in place.
        points: (68, 2) pixels.
        visible: (68,) without covers.
        state: (9,) as `STATE`, without covers.
        texture: gives another picture of the same size.

    Returns:
        ``visible`` (68,) and ``state`` (9,) with the covers.
    """
    hidden = np.zeros(image.shape[:2], bool)
    out = np.array(state, np.float32)
    for kind, draw in KINDS.items():
        if rng.random() >= getattr(options, kind):
            continue
        if kind == "glasses" and out[STATE.index("sunglasses")] == 1:
            continue
        hidden |= draw(image, points, rng, texture())
        if kind in STATE:
            out[STATE.index(kind)] = 1
        if kind == "sunglasses":
            out[STATE.index("glasses")] = np.nan
    if not hidden.any():
        return np.array(visible, np.float32), out
    at = np.rint(points).astype(int)
    inside = ((at >= 0) & (at < [image.shape[1], image.shape[0]])).all(1)
    under = np.zeros(68, bool)
    under[inside] = hidden[at[inside, 1], at[inside, 0]]
    return np.where(under, 0, visible).astype(np.float32), with_covered(out, under)


def with_covered(state: NDArray[np.float32], under: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``state`` (9,) of a face whose points ``under`` (68,) are covered: parts of which too little is left count as
    covered, those of which much is have no label, and what is covered has no openness.
    """
    out = state.copy()
    for name, part in PARTS.items():
        share = float(under[part].mean())
        if share >= COVERED:
            out[STATE.index(name)] = 1
        elif share >= DOUBTFUL and out[STATE.index(name)] == 0:
            out[STATE.index(name)] = np.nan
    for k, part in enumerate((slice(36, 42), slice(42, 48), slice(48, 68))):
        if under[part].mean() >= DOUBTFUL:
            out[k] = np.nan
    return out
