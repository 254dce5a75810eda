"""Faces as ``vision_msgs/Detection2DArray`` (vision_msgs 4: ROS 2 Humble and newer)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from edgeface.errors import EdgeFaceError, must_be
from edgeface.faces import Face, Faces

__all__ = ["CLASS_ID", "detections", "fill", "quaternion", "to_detection_array"]

#: Of every hypothesis.
CLASS_ID: Final = "face"
_ORIENTATIONS: Final = ("upright", "camera")


def quaternion(rotation: ArrayLike) -> tuple[float, float, float, float]:
    """Unit quaternion of a rotation matrix.

    The component that is largest is computed first (Shepperd, J. Guidance and Control 1978): exact for every angle.

    Args:
        rotation: (3, 3).

    Returns:
        x, y, z, w (the order of ``geometry_msgs/Quaternion``), with w >= 0.

    Raises:
        InvalidInputError: not a finite (3, 3) array.

    Examples:
        >>> quaternion(np.eye(3))
        (0.0, 0.0, 0.0, 1.0)
    """
    r = np.asarray(rotation, np.float64)
    if r.shape != (3, 3) or not np.isfinite(r).all():
        raise must_be("rotation", "a finite array of shape (3, 3)", r.shape)
    squares = np.array([1 + 2 * r[i, i] - np.trace(r) for i in range(3)] + [1 + np.trace(r)])
    i = int(squares.argmax())
    q = np.zeros(4)
    q[i] = squares[i]
    if i == 3:
        q[:3] = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[j], q[k], q[3] = r[i, j] + r[j, i], r[i, k] + r[k, i], r[k, j] - r[j, k]
    q /= np.linalg.norm(q)
    x, y, z, w = (q if q[3] >= 0 else -q).tolist()
    return x, y, z, w


def detections(faces: Faces, *, stamp: tuple[int, int], frame_id: str, orientation: str = "upright") -> dict[str, Any]:
    """A ``vision_msgs/Detection2DArray`` as nested dicts, field by field.

    - ``header`` of the array and of each detection: those of the image, so that messages can be matched with it.
      `frame_id` has to be the camera's optical frame (REP 103: x right, y down, z forward; by custom
      ``…_optical_frame`` or ``…_optical``).
    - ``bbox``: in pixels of the image as given.
    - ``results[0].hypothesis``: class "face" and the score.
    - ``results[0].pose.pose.orientation``: of the head; the identity for an upright face that looks into the lens.
      Where the frame's rotation was told, "upright" gives it in the upright picture, like all angles of edgeface;
      "camera" gives it in the optical frame of the camera as it is mounted, which is what tf transforms. Without a
      rotation both are the same. The position is unknown, hence 0, with a variance of infinity.
    - ``id``: the track id as text, empty without tracking.

    Args:
        faces: of one frame.
        stamp: (seconds, nanoseconds) of the image's header.
        frame_id: of the image's header.
        orientation: "upright" or "camera".

    Returns:
        Dicts, lists, numbers and strings only.

    Raises:
        InvalidInputError: another orientation.

    Examples:
        >>> detections(Faces.empty(), stamp=(1, 2), frame_id="camera_optical_frame")
        {'header': {'stamp': {'sec': 1, 'nanosec': 2}, 'frame_id': 'camera_optical_frame'}, 'detections': []}
    """
    if orientation not in _ORIENTATIONS:
        raise must_be("orientation", " or ".join(_ORIENTATIONS), repr(orientation))
    seconds, nanoseconds = stamp
    header = {"stamp": {"sec": int(seconds), "nanosec": int(nanoseconds)}, "frame_id": frame_id}
    return {"header": header, "detections": [_detection(face, header, orientation) for face in faces]}


def to_detection_array(faces: Faces, header: Any, *, orientation: str = "upright") -> Any:
    """A ``vision_msgs.msg.Detection2DArray`` for publishing.

    Args:
        faces: of one frame.
        header: the ``std_msgs.msg.Header`` of the image they were found in.
        orientation: as of `detections`: "camera" where the header's frame is turned by tf.

    Raises:
        EdgeFaceError: vision_msgs cannot be imported.
        InvalidInputError: another orientation.

    Examples:
        >>> publisher.publish(to_detection_array(faces, image.header))      # doctest: +SKIP
    """
    try:
        messages = importlib.import_module("vision_msgs.msg")
    except ImportError as error:
        raise EdgeFaceError(
            f"vision_msgs must be importable, but got {error} (apt install ros-$ROS_DISTRO-vision-msgs, and source ROS)"
        ) from None
    stamp = (header.stamp.sec, header.stamp.nanosec)
    message = messages.Detection2DArray()
    fill(message, detections(faces, stamp=stamp, frame_id=header.frame_id, orientation=orientation))
    return message


def fill(message: Any, values: Mapping[str, Any]) -> None:
    """Set a ROS message's fields from nested dicts. Lists of dicts become lists of the field's message type.

    Raises:
        InvalidInputError: a field that the message does not have.
    """
    types: Mapping[str, str] = message.get_fields_and_field_types()
    for name, value in values.items():
        if name not in types:
            raise must_be(f"fields of {type(message).__name__}", f"among {', '.join(types)}", name)
        if isinstance(value, Mapping):
            fill(getattr(message, name), value)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            package, kind = types[name].removeprefix("sequence<").removesuffix(">").split("/")
            element = getattr(importlib.import_module(f"{package}.msg"), kind)
            items = []
            for entry in value:
                items.append(element())
                fill(items[-1], entry)
            setattr(message, name, items)
        else:
            setattr(message, name, value)


def _detection(face: Face, header: dict[str, Any], orientation: str) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in face.box)
    x, y, z, w = quaternion(face.rotation if orientation == "upright" else face.camera_rotation)
    covariance = np.zeros((6, 6))
    covariance[range(3), range(3)] = np.inf
    return {
        "header": header,
        "results": [
            {
                "hypothesis": {"class_id": CLASS_ID, "score": face.score},
                "pose": {
                    "pose": {
                        "position": {"x": 0.0, "y": 0.0, "z": 0.0},
                        "orientation": {"x": x, "y": y, "z": z, "w": w},
                    },
                    "covariance": covariance.ravel().tolist(),
                },
            }
        ],
        "bbox": {
            "center": {"position": {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2}, "theta": 0.0},
            "size_x": x2 - x1,
            "size_y": y2 - y1,
        },
        "id": "" if face.track_id is None else str(face.track_id),
    }
