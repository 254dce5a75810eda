"""The face node on a camera that runs already.

``ros2 launch edgeface_ros faces.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info rotation:=90``
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "name": ("edgeface", "of the node; another one for each camera"),
    "namespace": ("", "of the node"),
    "image": ("/camera/image_raw", "image topic"),
    "camera_info": ("/camera/camera_info", "calibration that comes with the images"),
    "faces": ("faces", "topic of detections"),
    "params": (
        PathJoinSubstitution([FindPackageShare("edgeface_ros"), "config", "faces.yaml"]),
        "parameter file; the arguments below win over it",
    ),
    "rotation": ("0", "degrees clockwise that make the image upright"),
    "transport": ("raw", "raw or compressed"),
    "rectified": ("false", "whether the image is image_rect"),
    "id_prefix": ("f", "of face ids; another one for each camera"),
    "autostart": ("true", "whether the node configures and activates itself"),
}
TYPES = {"rotation": int, "transport": str, "rectified": bool, "id_prefix": str, "autostart": bool}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    given = {name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, kind in TYPES.items()}
    node = LifecycleNode(
        package="edgeface_ros",
        executable="face_node",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params"), given],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in ("image", "camera_info", "faces")],
        output="screen",
    )
    return LaunchDescription([*declared, node])
