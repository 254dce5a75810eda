"""The node's parameters: what each is for, what it may be, and the engine, tracker and QoS that they mean."""

import re
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy


@dataclass(frozen=True)
class Entry:
    """One parameter: a default, a line of help, and either a range (least, most, step) or the values allowed."""

    default: Any
    text: str
    span: tuple[float, float, float] | None = None
    choices: tuple[str, ...] = ()


RELIABILITIES = ("best_effort", "reliable")
PARAMETERS = {
    "model": Entry("edgeface-s", "bundled model, or path of a bundle"),
    "points": Entry("", "per-face network for all landmarks, edgeface-points or a path; five without"),
    "runtime": Entry("auto", "inference runtime", choices=("auto", "ncnn", "litert", "onnxruntime", "tflite")),
    "threads": Entry(1, "threads that compute one inference", (1, 64, 1)),
    "min_score": Entry(0.5, "least score of a face", (0.0, 1.0, 0.0)),
    "detect_every": Entry(1, "detect in every Nth image, follow the faces in between", (1, 100, 1)),
    "rotation": Entry(0, "degrees clockwise that make the image upright", (0, 270, 90)),
    "transport": Entry("raw", "raw: IMAGE (Image), compressed: IMAGE/compressed", choices=("raw", "compressed")),
    "rectified": Entry(False, "whether the image is rectified (image_rect), so that lines are straight"),
    "quality": Entry(True, "whether detections have the quality as a second hypothesis, face_quality"),
    "humans": Entry(True, "whether to publish ROS4HRI topics (needs hri_msgs)"),
    "face_width": Entry(128, "width of the pictures on /humans/faces/ID/cropped", (16, 1024, 1)),
    "face_height": Entry(128, "their height", (16, 1024, 1)),
    "tf": Entry(True, "whether to broadcast face_ID and gaze_ID (needs tf2_msgs and camera_info)"),
    "id_prefix": Entry("f", "of face ids in topics and frames; another one for each camera"),
    "image_reliability": Entry("best_effort", "QoS of the subscription to images", choices=RELIABILITIES),
    "image_depth": Entry(1, "images that may wait; more than 1 makes a slow board work on old ones", (1, 100, 1)),
    "output_reliability": Entry("reliable", "QoS of all that is published", choices=RELIABILITIES),
    "output_depth": Entry(5, "messages kept for each slow subscriber", (1, 1000, 1)),
    "autostart": Entry(False, "whether the node configures and activates itself"),
}


def declare(node: Node) -> None:
    """Declare all of them; ROS refuses what is out of range."""
    for name, entry in PARAMETERS.items():
        allowed = f"one of {', '.join(entry.choices)}" if entry.choices else ""
        descriptor = ParameterDescriptor(description=entry.text, additional_constraints=allowed)
        if entry.span is not None:
            least, most, step = entry.span
            if isinstance(entry.default, int):
                descriptor.integer_range = [IntegerRange(from_value=least, to_value=most, step=step)]
            else:
                descriptor.floating_point_range = [FloatingPointRange(from_value=least, to_value=most, step=step)]
        node.declare_parameter(name, entry.default, descriptor)


def values(node: Node) -> dict[str, Any]:
    """What they are now.

    Raises:
        ValueError: a word that is not among the choices, which ROS cannot check.
    """
    found = {name: node.get_parameter(name).value for name in PARAMETERS}
    for name, value in found.items():
        choices = PARAMETERS[name].choices
        if choices and value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, but got {value!r}")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", found["id_prefix"]):  # it begins a part of a topic's name
        raise ValueError(f"id_prefix must be a letter, then letters, digits or _, but got {found['id_prefix']!r}")
    return found


def qos(reliability: str, depth: int) -> QoSProfile:
    """A profile that keeps the last messages."""
    policy = ReliabilityPolicy.RELIABLE if reliability == "reliable" else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=policy)
