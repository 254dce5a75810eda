"""What cameras do to pictures: light, colour, blur, noise, low resolution, JPEG. All on RGB uint8 (h, w, 3), seeded by
the caller.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from quantize.config import CameraOptions

Image = NDArray[np.uint8]


def relight(image: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Gain, offset, gamma and a colour cast by one look-up table a channel."""
    x = np.arange(256, dtype=np.float32) / 255
    gamma = float(np.exp(rng.normal(0, 0.25 * strength)))
    gain, offset = 1 + rng.normal(0, 0.2 * strength), rng.normal(0, 0.08 * strength)
    cast = 1 + rng.normal(0, 0.06 * strength, 3)
    lut = (np.clip(np.outer(x**gamma * gain + offset, cast), 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, lut[None]), np.uint8)


def grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def blur(image: Image, rng: np.random.Generator, most: float) -> Image:
    """Gaussian or straight motion blur of up to ``most`` pixels."""
    amount = float(rng.uniform(0.4, most))
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), amount), np.uint8)
    n = max(3, int(amount * 3) | 1)
    kernel = np.zeros((n, n), np.float32)
    a = rng.uniform(0, np.pi)
    c, d = n // 2, np.array([np.cos(a), np.sin(a)]) * (n // 2)
    cv2.line(kernel, tuple(round(c - v) for v in d), tuple(round(c + v) for v in d), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def noise(image: Image, rng: np.random.Generator, most: float) -> Image:
    h, w, _ = image.shape
    sigma = float(rng.uniform(2, most))
    n = np.empty((h, w, 3), np.int16)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(n, 0, sigma)  # type: ignore[call-overload]  # its stubs know no int16
    return np.clip(image + n, 0, 255).astype(np.uint8)


def jpeg(image: Image, rng: np.random.Generator, lowest: int) -> Image:
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(lowest, 90))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8) if ok else image


def low_resolution(image: Image, rng: np.random.Generator, most: float) -> Image:
    h, w, _ = image.shape
    f = float(rng.uniform(1.3, most))
    small = cv2.resize(image, (max(2, int(w / f)), max(2, int(h / f))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)


def darken(image: Image, rng: np.random.Generator) -> Image:
    """Low light: gain down to a tenth, then sensor noise."""
    out = (image * float(rng.uniform(0.1, 0.5))).astype(np.uint8)
    return noise(out, rng, 10)


def backlight(image: Image, rng: np.random.Generator) -> Image:
    """A bright side behind a dark subject: gain falls along a random direction, as against a window or a lamp."""
    h, w, _ = image.shape
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    ramp = (x * np.cos(angle) + y * np.sin(angle)) * float(rng.uniform(0.3, 0.9))
    gain = np.clip(float(rng.uniform(0.35, 0.9)) + ramp, 0.08, 2.2)[..., None]
    return np.clip(image * gain + float(rng.uniform(0, 12)), 0, 255).astype(np.uint8)


def coloured(image: Image, rng: np.random.Generator) -> Image:
    """The light of a stage, a screen or a street lamp: one gain a channel."""
    return np.clip(image * np.exp(rng.normal(0, 0.35, 3)).astype(np.float32), 0, 255).astype(np.uint8)


def camera(image: Image, rng: np.random.Generator, options: CameraOptions) -> Image:
    """A random mixture of all the above at training strength; ``options`` holds the probabilities."""
    if rng.random() < options.light:
        image = relight(image, rng)
    if rng.random() < options.grey:
        image = grey(image)
    elif rng.random() < options.backlight:
        image = coloured(image, rng)
    if rng.random() < options.backlight:
        image = backlight(image, rng)
    if rng.random() < options.dark:
        image = darken(image, rng)
    if rng.random() < options.blur:
        image = blur(image, rng, 2.0)
    if rng.random() < options.low_resolution:
        image = low_resolution(image, rng, 2.5)
    if rng.random() < options.noise:
        image = noise(image, rng, 15)
    if rng.random() < options.jpeg:
        image = jpeg(image, rng, 25)
    return image
