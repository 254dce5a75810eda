"""``ros2 launch edgeface_ros faces.launch.py image:=/camera/image_raw rotation:=90``."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "image": ("/camera/image_raw", "image topic"),
    "faces": ("/faces", "topic to publish"),
    "rotation": ("0", "degrees clockwise that make the picture upright"),
    "orientation": ("upright", "of heads: in the upright picture, or camera: in the camera's frame, for tf"),
    "detect_every": ("1", "detect in every Nth image"),
    "threads": ("1", "threads that compute one inference"),
    "min_score": ("0.5", "least score"),
}
TYPES = {"rotation": int, "orientation": str, "detect_every": int, "threads": int, "min_score": float}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    parameters = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in TYPES.items()}
    node = Node(
        package="edgeface_ros",
        executable="face_node",
        parameters=[parameters],
        remappings=[("image", LaunchConfiguration("image")), ("faces", LaunchConfiguration("faces"))],
    )
    return LaunchDescription([*declared, node])
