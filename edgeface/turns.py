"""Quarter turns between the frame as a turned camera gives it and the upright picture.

`rotation` is the degrees clockwise (0, 90, 180, 270) that make the frame upright, as everywhere in edgeface.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be

__all__ = ["ROTATIONS", "checked_rotation", "turn_matrix", "turn_picture", "turn_points"]

ROTATIONS: Final = (0, 90, 180, 270)

_COSINE: Final = {0: 1, 90: 0, 180: -1, 270: 0}
_SINE: Final = {0: 0, 90: 1, 180: 0, 270: -1}


def checked_rotation(rotation: object, name: str = "rotation") -> int:
    """The rotation as an int.

    Raises:
        InvalidInputError: not 0, 90, 180 or 270.
    """
    if isinstance(rotation, (bool, np.bool_)) or not isinstance(rotation, (int, np.integer)):
        raise must_be(name, f"one of {', '.join(map(str, ROTATIONS))}", repr(rotation))
    if rotation not in ROTATIONS:
        raise must_be(name, f"one of {', '.join(map(str, ROTATIONS))}", rotation)
    return int(rotation)


def turn_matrix(rotation: int) -> NDArray[np.float32]:
    """(3, 3) float32: the camera's optical frame to that of the upright picture; its transpose goes back.

    Examples:
        >>> (turn_matrix(90) @ [1, 0, 0]).tolist()  # what points right in the frame points down when it is upright
        [0.0, 1.0, 0.0]
    """
    cosine, sine = _COSINE[rotation], _SINE[rotation]
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)


def turn_points(points: NDArray[Any], size: tuple[int, int], rotation: int) -> NDArray[Any]:
    """(..., 2) pixels of a frame of (width, height) to pixels of the upright picture.

    Examples:
        >>> turn_points(np.array([[0.0, 0.0]]), (640, 480), 90).tolist()  # the top left corner comes to the top right
        [[480.0, 0.0]]
    """
    width, height = size
    x, y = points[..., 0], points[..., 1]
    upright = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}
    return np.stack(upright[rotation], -1)


def turn_picture(picture: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """(h, w, …) uint8, turned clockwise by `rotation`; contiguous, the same array for 0."""
    return picture if rotation == 0 else np.ascontiguousarray(np.rot90(picture, -rotation // 90))
