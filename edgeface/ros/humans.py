"""Faces as ROS4HRI has them (REP-155, hri_msgs): one namespace a face, and tf frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.faces import Face, Faces
from edgeface.ros.heads import Head
from edgeface.ros.quaternions import quaternion

__all__ = ["face_id", "facial_landmarks", "ids_list", "normalized_roi", "transforms"]

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

    Five of its 70 points are known: both pupils, the tip of the nose, the corners of the mouth. They have the face's
    score as ``c``; the others, and points outside the image, have 0.

    Args:
        face: in pixels of the image.
        header: of the image, as nested dicts.
        size: (width, height) of the image.
    """
    points = [{"x": 0.0, "y": 0.0, "c": 0.0} for _ in range(_POINTS)]
    for index, (x, y) in zip(_INDICES, face.landmarks / np.array(size), strict=True):
        if 0 <= x <= 1 and 0 <= y <= 1:
            points[index] = {"x": float(x), "y": float(y), "c": face.score}
    return {"header": header, "landmarks": points, "height": size[1], "width": size[0]}


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
