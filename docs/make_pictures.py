"""Make the pictures of ``docs/images``: a drawn head turned each way, and an example with what the engine finds in it.

    python docs/make_pictures.py

Needs an installed edgeface. The head is ray-cast from two ellipsoids; `edgeface.angles` is the only source of signs,
so that picture and code cannot disagree.
"""

from pathlib import Path

import cv2
import numpy as np

from edgeface import FaceEngine, Faces, angles_to_rotation
from edgeface.draw import draw_faces
from edgeface.faces import LANDMARK_NAMES
from edgeface.images import read_image, write_image

HERE = Path(__file__).parent
TILE = 220
#: In units of the head's half height: x to the person's left, y down, z to the back of the head.
LANDMARKS = np.array(
    [[-0.3, -0.12, -0.82], [0.3, -0.12, -0.82], [0, 0.14, -1.08], [-0.24, 0.45, -0.74], [0.24, 0.45, -0.74]]
)
SKULL = (np.zeros(3), np.array([0.74, 1.0, 0.88]))
NOSE = (np.array([0, 0.08, -0.86]), np.array([0.13, 0.2, 0.24]))
SIGNS = [
    ("yaw +35: face to image-left", (35, 0, 0)),
    ("pitch +25: looks up", (0, 25, 0)),
    ("roll +25: left eye sinks", (0, 0, 25)),
    ("yaw -35: face to image-right", (-35, 0, 0)),
    ("pitch -25: looks down", (0, -25, 0)),
    ("roll -25: left eye rises", (0, 0, -25)),
]


def hit(rotation: np.ndarray, rays: np.ndarray, centre: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (inf where missed) and normal (camera frame) at which rays along z meet an ellipsoid of the head."""
    origin = (np.concatenate([rays, np.full((*rays.shape[:2], 1), -9.0)], axis=2) @ rotation - centre) / radii
    direction = rotation[2] / radii
    a = direction @ direction
    b = origin @ direction
    c = (origin**2).sum(axis=2) - 1
    under = b * b - a * c
    depth = np.where(under >= 0, (-b - np.sqrt(np.maximum(under, 0))) / a, np.inf)
    at = origin + np.where(np.isfinite(depth), depth, 0)[..., None] * direction
    normal = (at / radii) @ rotation.T
    return depth, normal / np.linalg.norm(normal, axis=2, keepdims=True)


def head(angles: tuple[float, float, float], size: int = TILE) -> tuple[np.ndarray, Faces]:
    """A picture of the head, and the face that a perfect engine would find in it."""
    rotation = angles_to_rotation(angles)
    scale = size * 0.36
    centre = np.array([size / 2, size * 0.53])
    grid = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1)
    rays = (grid - centre) / scale
    skull, skull_normal = hit(rotation, rays, *SKULL)
    nose, nose_normal = hit(rotation, rays, *NOSE)
    depth = np.minimum(skull, nose)
    normal = np.where((nose < skull)[..., None], nose_normal, skull_normal)
    point = np.concatenate([rays, np.where(np.isfinite(depth), depth - 9.0, 0)[..., None]], axis=2) @ rotation
    color = np.full((size, size, 3), (150, 185, 225), np.float64)
    x, y, z = np.moveaxis(point, -1, 0)
    color[(y < -0.5) | (z > 0.05)] = (50, 70, 95)
    front = z < -0.3
    color[front & (((np.abs(x) - 0.3) / 0.15) ** 2 + ((y + 0.12) / 0.08) ** 2 < 1)] = (250, 250, 250)
    color[front & (np.hypot(np.abs(x) - 0.3, y + 0.12) < 0.07)] = (60, 40, 30)
    color[front & ((x / 0.25) ** 2 + ((y - 0.45) / 0.06) ** 2 < 1)] = (90, 80, 190)
    light = 0.45 + 0.55 * np.clip(normal @ np.array([-0.4, -0.5, -0.77]), 0, 1)
    picture = np.where(np.isfinite(depth)[..., None], color * light[..., None], 245)
    landmarks = (LANDMARKS @ rotation.T)[:, :2] * scale + centre
    low, high = centre - np.array([0.75, 0.8]) * scale, centre + np.array([0.75, 1.0]) * scale
    faces = Faces(
        boxes=np.concatenate([low, high])[None].astype(np.float32),
        scores=np.ones(1, np.float32),
        landmarks=landmarks[None].astype(np.float32),
        rotations=rotation[None].astype(np.float32),
        quality=np.ones(1, np.float32),
        size=(size, size),
    )
    return picture.clip(0, 255).astype(np.uint8), faces


def write(canvas: np.ndarray, text: str, at: tuple[int, int], scale: float = 0.42) -> None:
    """Put a line of text."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)


def signs() -> np.ndarray:
    """Six tiles, one a sign."""
    tiles = []
    for text, angles in SIGNS:
        picture, faces = head(angles)
        tile = draw_faces(picture, faces, boxes=False, landmarks=False, labels=False)
        write(tile, text, (8, 18))
        tiles.append(tile)
    return np.concatenate([np.concatenate(tiles[:3], axis=1), np.concatenate(tiles[3:], axis=1)])


def landmarks() -> np.ndarray:
    """The numbered landmarks, and their names."""
    picture, faces = head((0, 0, 0), 2 * TILE)
    canvas = draw_faces(picture, faces, labels=False)
    canvas = np.concatenate([canvas, np.full((2 * TILE, 260, 3), 255, np.uint8)], axis=1)
    for number, (name, (x, y)) in enumerate(zip(LANDMARK_NAMES, faces.landmarks[0], strict=True)):
        write(canvas, str(number), (int(x) + 8, int(y) - 8), 0.6)
        write(canvas, f"{number}  {name}", (2 * TILE + 20, 60 + 30 * number), 0.5)
    for row, text in enumerate(
        ("left and right are the person's", "red: to the person's left", "green: down", "blue: the nose")
    ):
        write(canvas, text, (2 * TILE + 20, 250 + 26 * row))
    return canvas


def main() -> None:
    """Write all of them."""
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    write_image(folder / "signs.png", signs())
    write_image(folder / "landmarks.png", landmarks())
    with FaceEngine(size=(640, 480)) as engine:
        photo = read_image(HERE.parent / "examples" / "collage.jpg")
        write_image(folder / "collage.jpg", draw_faces(photo, engine.detect(photo, color="bgr")))


if __name__ == "__main__":
    main()
