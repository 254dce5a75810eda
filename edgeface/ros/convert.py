"""Faces as ``vision_msgs/Detection2DArray`` (vision_msgs 4: ROS 2 Humble and newer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import must_be
from edgeface.faces import Face, Faces
from edgeface.positions import rotation_spread
from edgeface.ros.heads import Head
from edgeface.ros.messages import to_message
from edgeface.ros.quaternions import quaternion

__all__ = ["CLASS_ID", "QUALITY_ID", "detections", "to_detection_array"]

#: Of the first hypothesis of each face.
CLASS_ID: Final = "face"
#: Of the second one, whose score is the quality.
QUALITY_ID: Final = "face_quality"
_ORIENTATIONS: Final = ("upright", "camera")


def detections(
    faces: Faces,
    *,
    stamp: tuple[int, int],
    frame_id: str,
    orientation: str = "upright",
    heads: Sequence[Head | None] | None = None,
    quality: bool = False,
) -> dict[str, Any]:
    """A ``vision_msgs/Detection2DArray`` as nested dicts, field by field.

    - ``header`` of the array and of each detection: those of the image, so that messages can be matched with it.
      `frame_id` has to be the camera's optical frame (REP 103: x right, y down, z forward; by custom
      ``…_optical_frame`` or ``…_optical``).
    - ``bbox``: in pixels of the image as given.
    - ``results[0].hypothesis``: class "face" and the score.
    - ``results[0].pose``: with `heads`, of the point midway between the eyes in `frame_id`, in metres, with its
      covariance. Without, the position is 0 with a variance of infinity, and the orientation is the identity for an
      upright face that looks into the lens, wherever it is in the picture.
    - ``results[1].hypothesis``, with `quality`: class "face_quality" and the quality; the pose is that of the first.
    - ``id``: the track id as text, empty without tracking.

    Args:
        faces: of one frame.
        stamp: (seconds, nanoseconds) of the image's header.
        frame_id: of the image's header.
        orientation: without heads, "upright": in the upright picture, like all angles of edgeface; "camera": in the
            optical frame of the camera as it is mounted, which is what tf transforms. Without a rotation both are the
            same.
        heads: of `head_positions`, one a face; None for those whose place is not known.
        quality: whether to add the second hypothesis.

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
    places = [None] * len(faces) if heads is None else heads
    if heads is not None:
        orientation = "camera"  # one frame for all poses of a message
    return {
        "header": header,
        "detections": [
            _detection(face, header, _pose(face, head, orientation), quality)
            for face, head in zip(faces, places, strict=True)
        ],
    }


def to_detection_array(
    faces: Faces,
    header: Any,
    *,
    orientation: str = "upright",
    heads: Sequence[Head | None] | None = None,
    quality: bool = False,
) -> Any:
    """A ``vision_msgs.msg.Detection2DArray`` for publishing.

    Args:
        faces: of one frame.
        header: the ``std_msgs.msg.Header`` of the image they were found in.
        orientation: as of `detections`: "camera" where the header's frame is turned by tf.
        heads: as of `detections`.
        quality: as of `detections`.

    Raises:
        EdgeFaceError: vision_msgs cannot be imported.
        InvalidInputError: another orientation.

    Examples:
        >>> publisher.publish(to_detection_array(faces, image.header))      # doctest: +SKIP
    """
    stamp = (header.stamp.sec, header.stamp.nanosec)
    values = detections(
        faces, stamp=stamp, frame_id=header.frame_id, orientation=orientation, heads=heads, quality=quality
    )
    return to_message("vision_msgs/Detection2DArray", values)


def _pose(face: Face, head: Head | None, orientation: str) -> dict[str, Any]:
    """A ``geometry_msgs/PoseWithCovariance``."""
    covariance = np.zeros((6, 6))
    position = np.zeros(3)
    if head is None:
        rotation: NDArray[Any] = face.rotation if orientation == "upright" else face.camera_rotation
        covariance[range(3), range(3)] = np.inf
    else:
        rotation, position = head.rotation, head.position
        covariance[:3, :3] = head.covariance
    covariance[range(3, 6), range(3, 6)] = rotation_spread(face.yaw) ** 2
    return {
        "pose": {
            "position": dict(zip("xyz", map(float, position), strict=True)),
            "orientation": dict(zip("xyzw", quaternion(rotation), strict=True)),
        },
        "covariance": covariance.ravel().tolist(),
    }


def _detection(face: Face, header: dict[str, Any], pose: dict[str, Any], quality: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in face.box)
    scores = {CLASS_ID: face.score} | ({QUALITY_ID: face.quality} if quality else {})
    return {
        "header": header,
        "results": [{"hypothesis": {"class_id": name, "score": score}, "pose": pose} for name, score in scores.items()],
        "bbox": {
            "center": {"position": {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2}, "theta": 0.0},
            "size_x": x2 - x1,
            "size_y": y2 - y1,
        },
        "id": "" if face.track_id is None else str(face.track_id),
    }
