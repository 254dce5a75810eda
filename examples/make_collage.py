"""Make ``collage.jpg`` of ``portraits.jpg``: six people near and far, tilted, both ways round, to try settings on.

    python examples/make_collage.py

Needs OpenCV and NumPy only. What it draws is fixed, so that the picture can be made again.
"""

from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
SIZE = (960, 640)
#: Sides of a head in ``portraits.jpg``.
SIDE = 224
#: Who goes where: number of the head, centre x, y, size relative to the original, tilt clockwise in degrees, mirrored.
PLACES = [
    (0, 150, 150, 1.1, 0, False),
    (1, 425, 140, 0.95, -15, False),
    (2, 690, 150, 0.95, 0, False),
    (5, 875, 110, 0.6, 12, True),
    (3, 165, 460, 1.0, 20, False),
    (4, 425, 450, 0.9, -35, True),
    (1, 640, 400, 0.45, 0, True),
    (0, 765, 360, 0.35, 15, True),
    (4, 860, 330, 0.28, 0, False),
    (3, 930, 320, 0.2, -10, True),
    (2, 630, 550, 0.6, 60, True),
    (5, 840, 510, 0.75, -50, False),
]


def collage(portraits: np.ndarray) -> np.ndarray:
    """Paste the heads onto a plain gradient, with soft edges."""
    width, height = SIZE
    shade = np.linspace(150, 90, height, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(shade * np.array([1.0, 0.95, 0.9], np.float32), (height, width, 3)).copy()
    middle = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(columns - middle[0], rows - middle[1]) / (SIDE / 2)
    mask = np.clip((1 - distance) / 0.12, 0, 1).astype(np.float32)
    for number, x, y, scale, tilt, mirrored in PLACES:
        head = portraits[:, number * SIDE : (number + 1) * SIDE]
        head = head[:, ::-1] if mirrored else head
        # getRotationMatrix2D turns counter-clockwise
        matrix = cv2.getRotationMatrix2D(middle, -tilt, scale)
        matrix[:, 2] += np.array([x, y]) - middle
        # blurred first, or small copies would alias
        sharpness = 0.4 * (1 / scale - 1)
        soft = cv2.GaussianBlur(head, (0, 0), sharpness) if sharpness > 0.05 else head
        pasted = cv2.warpAffine(soft.astype(np.float32), matrix, SIZE, flags=cv2.INTER_LINEAR)
        alpha = cv2.warpAffine(mask, matrix, SIZE, flags=cv2.INTER_LINEAR)[..., None]
        canvas = canvas * (1 - alpha) + pasted * alpha
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    portraits = cv2.imread(str(HERE / "portraits.jpg"))
    cv2.imwrite(str(HERE / "collage.jpg"), collage(portraits), [cv2.IMWRITE_JPEG_QUALITY, 90])
