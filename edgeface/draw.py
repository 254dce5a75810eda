"""Draw faces into a picture: boxes, landmarks, points, pose axes and labels, with lines that grow with the picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.errors import must_be
from edgeface.faces import Face, Faces
from edgeface.pictures import check_picture
from edgeface.turns import turn_picture

__all__ = ["draw_faces"]

# BGR
_BOX: Final = (80, 220, 80)
_INK: Final = (0, 0, 0)
_OUTLINE: Final = (255, 255, 255)
#: Right eye, left eye, nose tip, right and left mouth corner: the person's right in warm colours, the left in cold
#: ones.
_POINTS: Final = ((60, 60, 255), (255, 160, 40), (60, 230, 255), (0, 140, 255), (255, 220, 60))
#: Of the 68 points: which are joined by lines, whether the last is joined with the first, and the colour.
_CONTOURS: Final = (
    (range(17), False, (220, 220, 220)),
    (range(17, 22), False, (140, 220, 255)),
    (range(22, 27), False, (255, 220, 140)),
    (range(27, 31), False, (120, 255, 120)),
    (range(31, 36), False, (120, 255, 120)),
    (range(36, 42), True, (60, 140, 255)),
    (range(42, 48), True, (255, 160, 40)),
    (range(48, 60), True, (180, 120, 255)),
    (range(60, 68), True, (140, 80, 255)),
)
#: Of the head: x to the person's left, y down, and the way that the nose points.
_AXES: Final = ((60, 60, 230), (60, 200, 60), (230, 110, 40))


def draw_faces(
    image: NDArray[np.uint8],
    faces: Faces,
    *,
    boxes: bool = True,
    landmarks: bool = True,
    axes: bool = True,
    labels: bool = True,
    points: bool = True,
    inplace: bool = False,
) -> NDArray[np.uint8]:
    """Draw every face of one picture.

    The pose axes start between the eyes and the mouth: red to the person's left, green down, and a thicker blue one the
    way the nose points. Labels give the track id if there is one, the score, and the quality as q; those of small faces
    leave out what has no room. The 68 points of
    described faces are joined along brows, eyes, nose, lips and jaw; lines leave out what is hidden, whose dots are
    hollow.

    Where `faces.rotation` tells that the picture is turned, labels read upright once the picture is turned upright. To
    draw into a picture that is upright already, give ``faces.upright()``.

    Args:
        image: (h, w, 3) uint8, BGR, as the frame was given.
        faces: in pixels of this picture.
        boxes: whether to draw the boxes.
        landmarks: whether to draw the five landmarks; never of faces whose 68 points are drawn.
        axes: whether to draw the head's axes.
        labels: whether to write track id, score and quality.
        points: whether to draw the 68 points.
        inplace: draw into `image`, which then has to be contiguous, instead of a copy.

    Returns:
        The picture with the drawing.

    Raises:
        InvalidInputError: not such a picture.
    """
    check_picture(image)
    if inplace and not (image.flags.c_contiguous and image.flags.writeable):
        raise must_be("image", "contiguous and writeable to be drawn into", f"strides {image.strides}")
    canvas = image if inplace else image.copy(order="C")
    if faces.rotation:
        shown = replace(faces, size=(image.shape[1], image.shape[0])).upright()
        parts = {"boxes": boxes, "landmarks": landmarks, "axes": axes, "labels": labels, "points": points}
        upright = draw_faces(turn_picture(canvas, faces.rotation), shown, **parts, inplace=True)
        canvas[:] = turn_picture(upright, -faces.rotation % 360)
        return canvas
    line = max(1, round(min(image.shape[:2]) / 400))
    for face in faces[::-1]:  # the best one last, on top
        if not np.isfinite(face.box).all():
            continue
        if boxes:
            _box(canvas, face, line)
        placed = bool(np.isfinite(face.landmarks).all())  # made by hand, they may not be
        if axes and placed and np.isfinite(face.rotation).all():
            _axes(canvas, face, line)
        if points and face.points68 is not None:
            _points(canvas, face, line)
        elif landmarks and placed:
            _landmarks(canvas, face, line)
        if labels:
            _label(canvas, face, line)
    return canvas


# Coordinates are given to OpenCV in 1/16 pixel. Its pixel (0, 0) has its CENTRE there, ours its corner: hence the half.
_SHIFT: Final = 4


def _fixed(x: float, y: float) -> tuple[int, int]:
    def one(value: float) -> int:
        limit = 1 << 20  # far outside any picture, and OpenCV's integers hold it
        return int(np.clip(round((value - 0.5) * (1 << _SHIFT)), -limit, limit))

    return one(x), one(y)


def _box(canvas: NDArray[np.uint8], face: Face, line: int) -> None:
    cv2 = opencv()

    x1, y1, x2, y2 = map(float, face.box)
    cv2.rectangle(canvas, _fixed(x1, y1), _fixed(x2, y2), _BOX, line, cv2.LINE_AA, _SHIFT)


def _landmarks(canvas: NDArray[np.uint8], face: Face, line: int) -> None:
    cv2 = opencv()

    # small faces get small points, or they would hide what they show
    radius = min(3.0 * line, max(1.0, face.width / 25))
    for (x, y), color in zip(face.landmarks, _POINTS, strict=True):
        centre = _fixed(float(x), float(y))
        for size, ink in ((radius * 1.4, _INK), (radius, color)):
            cv2.circle(canvas, centre, round(size * (1 << _SHIFT)), ink, -1, cv2.LINE_AA, _SHIFT)


def _points(canvas: NDArray[np.uint8], face: Face, line: int) -> None:
    cv2 = opencv()

    assert face.points68 is not None
    assert face.visibility is not None
    seen = face.visibility >= 0.5
    places = [_fixed(float(x), float(y)) for x, y in face.points68]
    radius = round(min(2.0 * line, max(0.8, face.width / 90)) * (1 << _SHIFT))
    for chosen, closed, color in _CONTOURS:
        indices = [*chosen, chosen[0]] if closed else list(chosen)
        for a, b in pairwise(indices):
            if seen[a] and seen[b]:
                cv2.line(canvas, places[a], places[b], color, max(1, line // 2), cv2.LINE_AA, _SHIFT)
        for i in chosen:
            cv2.circle(canvas, places[i], radius, color, -1 if seen[i] else 1, cv2.LINE_AA, _SHIFT)


def _axes(canvas: NDArray[np.uint8], face: Face, line: int) -> None:
    cv2 = opencv()

    origin = face.landmarks.mean(axis=0).astype(float)
    length = 0.5 * max(face.width, face.height)
    nose = -face.rotation[:, 2]
    ends: list[tuple[Any, tuple[int, int, int], int]] = [
        (face.rotation[:, 0], _AXES[0], line),
        (face.rotation[:, 1], _AXES[1], line),
        (nose, _AXES[2], line + 1),
    ]
    # the far ends first: an axis that points to the viewer lies on top
    for direction, color, width in sorted(ends, key=lambda end: -float(end[0][2])):
        x, y = origin + length * direction[:2]
        cv2.line(canvas, _fixed(*origin), _fixed(float(x), float(y)), color, width, cv2.LINE_AA, _SHIFT)


def _label(canvas: NDArray[np.uint8], face: Face, line: int) -> None:
    cv2 = opencv()

    height, width = canvas.shape[:2]
    side = min(height, width)
    # the second: what can still be read on a phone that shows the whole picture
    scale = max(0.34, min(face.width / 60, 0.0011 * side), min(face.width / 130, 0.0016 * side))
    weight = max(1, round(scale))
    quality, score = f"q{face.quality:.2f}", f"{face.score:.2f}"
    texts = [f"{score} {quality}", score]
    if face.track_id is not None:
        texts = [f"#{face.track_id} {score} {quality}", f"#{face.track_id} {quality}", f"#{face.track_id}"]
    for text in texts:  # less of a small face, so that labels of a crowd do not hide each other
        (text_width, text_height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
        if text_width <= 1.5 * face.width:
            break
    x, y = (int(np.clip(v, -1e6, 1e6)) for v in face.box[:2])
    x = max(0, min(x, width - text_width))
    top = y - text_height - below - line
    if top < 0:  # no room above the face: inside its box
        top = max(0, y + line)
    cv2.rectangle(canvas, (x, top), (x + text_width, min(height, top + text_height + below)), _OUTLINE, -1)
    cv2.putText(canvas, text, (x, top + text_height), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, weight, cv2.LINE_AA)
