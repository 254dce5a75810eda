"""The topics of ROS4HRI: ``/humans/faces/tracked`` and four for each face that is tracked."""

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Float32

from edgeface import Faces, Frame
from edgeface.pixels import to_bgr
from edgeface.ros import cropped, face_id, facial_landmarks, ids_list, message_class, normalized_roi, to_message

ROOT = "/humans/faces"


class HumanTopics:
    """Publishers that come and go with the faces."""

    def __init__(self, node: Node, profile: QoSProfile, prefix: str, size: tuple[int, int]) -> None:
        """``size``: (width, height) of cropped pictures."""
        self._node, self._profile, self._prefix, self._size = node, profile, prefix, size
        self._kinds = {
            "roi": message_class("hri_msgs/NormalizedRegionOfInterest2D"),
            "landmarks": message_class("hri_msgs/FacialLandmarks"),
            "quality": Float32,
            "cropped": Image,
        }
        self._tracked = node.create_publisher(message_class("hri_msgs/IdsList"), f"{ROOT}/tracked", profile)
        self._faces: dict[str, dict[str, Any]] = {}

    def publish(self, faces: Faces, frame: Frame, header: dict[str, Any]) -> None:
        """Publish the faces of one image, whose header is given as nested dicts."""
        image = None
        seen = {face_id(face.track_id, self._prefix): face for face in faces}
        for gone in self._faces.keys() - seen.keys():
            self._end(gone)
        for name, face in seen.items():
            publishers = self._faces.get(name) or self._begin(name)
            publishers["roi"].publish(
                to_message("hri_msgs/NormalizedRegionOfInterest2D", normalized_roi(face, header, faces.size))
            )
            publishers["landmarks"].publish(
                to_message("hri_msgs/FacialLandmarks", facial_landmarks(face, header, faces.size))
            )
            publishers["quality"].publish(Float32(data=face.quality))
            if publishers["cropped"].get_subscription_count():  # costs something, and few nodes look
                image = to_bgr(frame) if image is None else image
                publishers["cropped"].publish(to_message("sensor_msgs/Image", cropped(face, image, header, self._size)))
        # last, so that whoever hears of a new face finds its topics
        self._tracked.publish(to_message("hri_msgs/IdsList", ids_list(faces, header, prefix=self._prefix)))

    def close(self) -> None:
        """End all topics."""
        for name in list(self._faces):
            self._end(name)
        self._node.destroy_publisher(self._tracked)

    def _begin(self, name: str) -> dict[str, Any]:
        self._faces[name] = {
            part: self._node.create_publisher(kind, f"{ROOT}/{name}/{part}", self._profile)
            for part, kind in self._kinds.items()
        }
        return self._faces[name]

    def _end(self, name: str) -> None:
        for publisher in self._faces.pop(name).values():
            self._node.destroy_publisher(publisher)
