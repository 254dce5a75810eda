"""Degradations for quality: a photo of a face made worse on purpose, by kind and strength 0–1. RGB uint8 (h, w, 3)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.data.photometric import Image, noise

KINDS = (
    "none",
    "defocus",
    "motion",
    "noise",
    "low_resolution",
    "jpeg",
    "dark",
    "bright",
    "contrast",
    "occlusion",
    "crop",
)


def degrade(image: Image, kind: str, strength: float, points: NDArray[Any], rng: np.random.Generator) -> Image:
    """``points`` (5, 2) pixels say where the face is, and its scale. Raises ValueError for a kind that is not in
    ``KINDS``.
    """
    h, w, _ = image.shape
    eye = max(4.0, float(np.linalg.norm(points[1] - points[0])))
    out: NDArray[Any] = image
    if kind == "none":
        pass
    elif kind == "defocus":
        out = cv2.GaussianBlur(image, (0, 0), 0.2 + eye * 0.22 * strength)
    elif kind == "motion":
        n = max(3, int(eye * 0.9 * strength)) | 1
        kernel = np.zeros((n, n), np.float32)
        a, c = rng.uniform(0, np.pi), n // 2
        d = np.array([np.cos(a), np.sin(a)]) * c
        cv2.line(kernel, tuple(round(c - v) for v in d), tuple(round(c + v) for v in d), 1.0)
        out = cv2.filter2D(image, -1, kernel / kernel.sum())
    elif kind == "noise":
        out = noise(image, rng, 3 + 90 * strength)
    elif kind == "low_resolution":
        f = 1 + strength * max(0.5, eye / 5 - 1)
        small = cv2.resize(image, (max(2, int(w / f)), max(2, int(h / f))), interpolation=cv2.INTER_AREA)
        out = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)
    elif kind == "jpeg":
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, max(2, int(60 * (1 - strength)))])
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)) if ok else image
    elif kind == "dark":
        out = noise((image * (1 - 0.95 * strength)).astype(np.uint8), rng, 2.5 + 6 * strength)
    elif kind == "bright":
        out = np.clip(image.astype(np.float32) * (1 + 2 * strength) + 90 * strength, 0, 255).astype(np.uint8)
    elif kind == "contrast":
        out = (image.astype(np.float32) * (1 - 0.93 * strength) + rng.uniform(60, 190) * 0.93 * strength).astype(
            np.uint8
        )
    elif kind == "occlusion":
        out = image.copy()
        side = eye * (0.5 + 2.0 * strength)
        centre = points[int(rng.integers(5))] + rng.normal(0, eye * 0.3, 2)
        x, y = (centre - side / 2).astype(int)
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        shape = int(rng.integers(3))
        if shape == 0:
            cv2.rectangle(out, (x, y), (int(x + side * rng.uniform(0.6, 1.6)), int(y + side)), colour, -1)
        elif shape == 1:
            cv2.ellipse(
                out,
                (int(centre[0]), int(centre[1])),
                (int(side * 0.7), int(side * 0.5)),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                -1,
            )
        else:  # a piece of the photo itself: texture instead of a flat colour
            s = int(max(2, min(side, h // 2, w // 2)))
            sx, sy = int(rng.integers(0, w - s + 1)), int(rng.integers(0, h - s + 1))
            x, y = int(np.clip(x, 0, w - s)), int(np.clip(y, 0, h - s))
            out[y : y + s, x : x + s] = image[sy : sy + s, sx : sx + s][::-1]
    elif kind == "crop":  # the face runs out of the picture
        out = image.copy()
        amount = eye * 1.8 * strength
        edge = int(rng.integers(4))
        x1, y1 = points.min(0) - eye * 0.7
        x2, y2 = points.max(0) + eye * 0.7
        if edge == 0:
            out[:, : max(0, int(x1 + amount))] = 128
        elif edge == 1:
            out[:, max(0, int(x2 - amount)) :] = 128
        elif edge == 2:
            out[: max(0, int(y1 + amount))] = 128
        else:
            out[max(0, int(y2 - amount)) :] = 128
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}")
    return np.asarray(out, np.uint8)
