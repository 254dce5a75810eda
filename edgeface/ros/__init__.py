"""ROS 2 messages out of faces, and frames out of ROS 2 images. Nothing here needs ROS until a message is made."""

from edgeface.ros.convert import detections, fill, quaternion, to_detection_array
from edgeface.ros.images import frame_from_compressed, frame_from_image

__all__ = ["detections", "fill", "frame_from_compressed", "frame_from_image", "quaternion", "to_detection_array"]
