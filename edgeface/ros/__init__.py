"""ROS 2 messages out of faces, and frames out of ROS 2 images. Nothing here needs ROS until a message is made."""

from edgeface.ros.camera import Camera
from edgeface.ros.convert import detections, to_detection_array
from edgeface.ros.heads import Head, head_positions
from edgeface.ros.humans import cropped, face_id, facial_landmarks, ids_list, normalized_roi, transforms
from edgeface.ros.images import frame_from_compressed, frame_from_image
from edgeface.ros.messages import fill, header_of, message_class, to_message
from edgeface.ros.quaternions import quaternion

__all__ = [
    "Camera",
    "Head",
    "cropped",
    "detections",
    "face_id",
    "facial_landmarks",
    "fill",
    "frame_from_compressed",
    "frame_from_image",
    "head_positions",
    "header_of",
    "ids_list",
    "message_class",
    "normalized_roi",
    "quaternion",
    "to_detection_array",
    "to_message",
    "transforms",
]
