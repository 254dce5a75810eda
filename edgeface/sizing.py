"""Which input size finds the faces that are wanted, and no larger: ``FaceEngine(size="auto")``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgeface.errors import must_be

__all__ = ["SMALLEST_IN_TENSOR", "choose_size"]

#: Height in pixels of the network's input from which the bundled networks find most faces: `benchmarks/sizing.py`
#: prints how many of each height they find (docs: "Small faces in large frames").
SMALLEST_IN_TENSOR: Final = 24


def choose_size(
    sizes: Sequence[tuple[int, int]],
    frame_size: tuple[int, int],
    min_face: float,
    *,
    smallest: float = SMALLEST_IN_TENSOR,
) -> tuple[int, int]:
    """The cheapest input size in which a face is still large enough to be found.

    A frame is shrunk to fit: a face of `min_face` pixels becomes ``min_face * min(W / w, H / h)``, which has to be at
    least `smallest`. Frames are never enlarged for it: a size larger than the frame brings nothing.

    Args:
        sizes: (width, height) to choose from.
        frame_size: (width, height) of the frames, or of the region of interest, upright.
        min_face: height in pixels of the frame of the smallest face that is wanted.
        smallest: height that a face needs in the network's input.

    Returns:
        The size of the least area that suffices; the one with the largest scale if none does.

    Raises:
        InvalidInputError: no sizes, or a number out of range.

    Examples:
        >>> choose_size([(320, 240), (640, 480)], (1280, 720), min_face=120)
        (320, 240)
        >>> choose_size([(320, 240), (640, 480)], (1280, 720), min_face=60)
        (640, 480)
    """
    if not sizes:
        raise must_be("sizes", "at least one", "none")
    if not (isinstance(frame_size, (tuple, list)) and len(frame_size) == 2 and all(side > 0 for side in frame_size)):
        raise must_be("frame_size", "(width, height) in pixels, which size='auto' needs", frame_size)
    if not min_face > 0:
        raise must_be("min_face", "above 0 pixels, which size='auto' needs", min_face)

    def scale(size: tuple[int, int]) -> float:
        return min(size[0] / frame_size[0], size[1] / frame_size[1])

    enough = [size for size in sizes if min_face * scale(size) >= smallest]
    if enough:
        return min(enough, key=lambda size: size[0] * size[1])
    return max(sizes, key=lambda size: (scale(size), -size[0] * size[1]))
