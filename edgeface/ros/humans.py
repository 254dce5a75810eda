"""Faces as ROS4HRI has them (REP-155, hri_msgs): one namespace a face, and tf frames."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.errors import must_be
from edgeface.faces import Face, Faces
from edgeface.ros.heads import Head
from edgeface.ros.quaternions import quaternion

__all__ = ["cropped", "face_id", "facial_landmarks", "ids_list", "normalized_roi", "transforms"]

#: Index of each of the five points among the 70 of hri_msgs: pupils, nose, outer corners of the mouth.
_INDICES: Final = (68, 69, 30, 48, 54)
_POINTS: Final = 70
#: Axes of REP-155's face frame (x out of the face, y to the person's left, z up) in head coordinates, as columns.
_FACE_AXES: Final = np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]])
#: Of its gaze frame: z along the gaze, x to the person's right, y down.
_GAZE_AXES: Final = np.diag([-1, 1, -1])


def face_id(track_id: int, prefix: str = "f") -> str:
    """The name of a tracked face in topics and frames. A topic's parts must not begin with a digit, hence the prefix.

    Examples:
        >>> face_id(7)
        'f7'
    """
    return f"{prefix}{track_id}"


def ids_list(faces: Faces, header: dict[str, Any], *, prefix: str = "f") -> dict[str, Any]:
    """A ``hri_msgs/IdsList`` for ``/humans/faces/tracked`` as nested dicts.

    Raises:
        InvalidInputError: faces without track ids.
    """
    return {"header": header, "ids": [face_id(track, prefix) for track in _track_ids(faces)]}


def normalized_roi(face: Face, header: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A ``hri_msgs/NormalizedRegionOfInterest2D`` for ``/humans/faces/ID/roi``: the part of the box in the image.

    Args:
        face: in pixels of the image.
        header: of the image, as nested dicts.
        size: (width, height) of the image.
    """
    box = np.clip(face.box.reshape(2, 2) / np.array(size), 0, 1).ravel()
    return {
        "header": header,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, box), strict=True)),
        "c": face.score,
    }


def facial_landmarks(face: Face, header: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A ``hri_msgs/FacialLandmarks`` for ``/humans/faces/ID/landmarks``.

    The 68 points of a described face have their visibility as ``c``. Of other faces the tip of the nose and the corners
    of the mouth are known. These, and both pupils, have the face's score. The rest have 0, as points outside the image.

    Args:
        face: in pixels of the image.
        header: of the image, as nested dicts.
        size: (width, height) of the image.
    """
    points = [{"x": 0.0, "y": 0.0, "c": 0.0} for _ in range(_POINTS)]
    known: list[tuple[int, NDArray[np.float32], float]] = [
        (index, point, face.score) for index, point in zip(_INDICES, face.landmarks, strict=True)
    ]
    if face.points68 is not None and face.visibility is not None:
        # later entries win: what the second network says of the nose and the mouth
        known += [(i, face.points68[i], float(face.visibility[i])) for i in range(len(face.points68))]
    for index, point, confidence in known:
        x, y = point / np.array(size)
        inside = bool(0 <= x <= 1 and 0 <= y <= 1)
        points[index] = {"x": float(x), "y": float(y), "c": confidence} if inside else {"x": 0.0, "y": 0.0, "c": 0.0}
    return {"header": header, "landmarks": points, "height": size[1], "width": size[0]}


def cropped(face: Face, image: NDArray[np.uint8], header: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A ``sensor_msgs/Image`` for ``/humans/faces/ID/cropped``: the box, scaled to fit, in the middle of black.

    Args:
        face: in pixels of the image.
        image: (h, w, 3) uint8, BGR, as the frame was given.
        header: of the image, as nested dicts.
        size: (width, height) of the picture, the same for all faces (REP-155: ``/humans/faces/width`` and ``height``).

    Returns:
        Its fields, ``bgr8``; all black for a box that is outside the image.
    """
    cv2 = opencv()
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    limit = np.array([image.shape[1], image.shape[0]] * 2)
    x1, y1, x2, y2 = np.nan_to_num(face.box).clip(0, limit).round().astype(int).tolist()
    if x2 > x1 and y2 > y1:
        scale = min(width / (x2 - x1), height / (y2 - y1))
        fitted = min(width, max(1, round((x2 - x1) * scale))), min(height, max(1, round((y2 - y1) * scale)))
        left, top = (width - fitted[0]) // 2, (height - fitted[1]) // 2
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        part = cv2.resize(image[y1:y2, x1:x2], fitted, interpolation=how)
        picture[top : top + fitted[1], left : left + fitted[0]] = part
    return {
        "header": header,
        "height": height,
        "width": width,
        "encoding": "bgr8",
        "is_bigendian": 0,
        "step": 3 * width,
        "data": array("B", picture.tobytes()),
    }


def transforms(
    faces: Faces, heads: Sequence[Head | None], header: dict[str, Any], *, prefix: str = "f"
) -> dict[str, Any]:
    """A ``tf2_msgs/TFMessage`` with ``face_ID`` and ``gaze_ID`` below the camera's optical frame.

    ``face_ID`` lies midway between the eyes, x out of the face, z up. ``gaze_ID`` lies there too, with z where the head
    points, since gaze is not estimated.

    Args:
        faces: with track ids.
        heads: of `head_positions`, one a face; those that are None are left out.
        header: of the image, as nested dicts.
        prefix: of `face_id`.

    Raises:
        InvalidInputError: faces without track ids.
    """
    found = []
    for track, head in zip(_track_ids(faces), heads, strict=True):
        if head is not None:
            name = face_id(track, prefix)
            found.append(_transform(f"face_{name}", head, _FACE_AXES, header))
            found.append(_transform(f"gaze_{name}", head, _GAZE_AXES, header))
    return {"transforms": found}


def _transform(name: str, head: Head, axes: NDArray[Any], header: dict[str, Any]) -> dict[str, Any]:
    x, y, z = map(float, head.position)
    turn = dict(zip("xyzw", quaternion(head.rotation @ axes), strict=True))
    return {
        "header": header,
        "child_frame_id": name,
        "transform": {"translation": {"x": x, "y": y, "z": z}, "rotation": turn},
    }


def _track_ids(faces: Faces) -> list[int]:
    if faces.track_ids is None:
        raise must_be("faces", "tracked (FaceEngine.track)", "faces without track ids")
    return [int(track) for track in faces.track_ids]
