"""Make ``collage.jpg`` of ``astronaut.jpg``: one face at many sizes, tilts and both ways round, to try settings on.

    python examples/make_collage.py

Needs OpenCV and NumPy only. What it draws is fixed, so that the picture can be made again.
"""

from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
SIZE = (960, 640)
#: Of the head in ``astronaut.jpg``: centre x, y, and the radius of what is cut out.
HEAD = (222, 130)
RADIUS = 118
#: Where copies go: centre x, y, size of the copy relative to the original, tilt clockwise in degrees, mirrored.
COPIES = [
    (150, 170, 1.15, 0, False),
    (420, 150, 0.9, -20, True),
    (640, 140, 0.7, 25, False),
    (800, 110, 0.5, 0, True),
    (905, 100, 0.35, 15, False),
    (160, 470, 0.9, 35, True),
    (360, 420, 0.6, -35, False),
    (520, 400, 0.45, 0, False),
    (640, 380, 0.35, -15, True),
    (730, 360, 0.28, 10, False),
    (810, 350, 0.22, 0, True),
    (880, 345, 0.18, 0, False),
    (420, 565, 0.5, 60, False),
    (600, 540, 0.5, -60, True),
    (780, 530, 0.7, 90, False),
]


def collage(photo: np.ndarray) -> np.ndarray:
    """Paste the copies onto a plain gradient, with soft edges."""
    width, height = SIZE
    shade = np.linspace(150, 90, height, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(shade * np.array([1.0, 0.95, 0.9], np.float32), (height, width, 3)).copy()
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    distance = np.hypot(columns - HEAD[0], rows - HEAD[1]) / RADIUS
    mask = np.clip((1 - distance) / 0.12, 0, 1).astype(np.float32)
    for x, y, scale, tilt, mirrored in COPIES:
        # getRotationMatrix2D turns counter-clockwise
        matrix = cv2.getRotationMatrix2D(HEAD, -tilt, scale)
        if mirrored:
            flip = np.array([[-1, 0, 2 * HEAD[0]], [0, 1, 0], [0, 0, 1]], np.float64)
            matrix = matrix @ flip
        matrix[:, 2] += np.array([x, y]) - HEAD
        # blurred first, or small copies would alias
        sharpness = max(0.01, 0.4 * (1 / scale - 1)) if scale < 1 else 0.01
        soft = cv2.GaussianBlur(photo, (0, 0), sharpness) if sharpness > 0.05 else photo
        pasted = cv2.warpAffine(soft.astype(np.float32), matrix, SIZE, flags=cv2.INTER_LINEAR)
        alpha = cv2.warpAffine(mask, matrix, SIZE, flags=cv2.INTER_LINEAR)[..., None]
        canvas = canvas * (1 - alpha) + pasted * alpha
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    photo = cv2.imread(str(HERE / "astronaut.jpg"))
    cv2.imwrite(str(HERE / "collage.jpg"), collage(photo), [cv2.IMWRITE_JPEG_QUALITY, 90])
