"""A USB camera, rectified in one container without copies, and the face node on its rectified image.

``ros2 launch edgeface_ros pipeline.launch.py device:=/dev/video0 camera_info_url:=file:///home/me/camera.yaml``

The face node is Python, which a component container cannot load: it runs beside the container.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import ComposableNodeContainer
from launch_ros.descriptions import ComposableNode
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "camera": ("camera", "namespace of the camera's topics"),
    "device": ("/dev/video0", "of the camera"),
    "camera_info_url": (None, "calibration, as camera_calibration writes it; nothing can be rectified without"),
}
ZERO_COPY = [{"use_intra_process_comms": True}]


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    namespace = LaunchConfiguration("camera")
    driver = ComposableNode(
        package="v4l2_camera",
        plugin="v4l2_camera::V4L2Camera",
        name="driver",
        namespace=namespace,
        parameters=[
            {
                "video_device": LaunchConfiguration("device"),
                "camera_info_url": LaunchConfiguration("camera_info_url"),
            }
        ],
        extra_arguments=ZERO_COPY,
    )
    rectify = ComposableNode(
        package="image_proc",
        plugin="image_proc::RectifyNode",
        name="rectify",
        namespace=namespace,
        remappings=[("image", "image_raw")],
        extra_arguments=ZERO_COPY,
    )
    container = ComposableNodeContainer(
        name="camera_container",
        namespace=namespace,
        package="rclcpp_components",
        executable="component_container",
        composable_node_descriptions=[driver, rectify],
        output="screen",
    )
    topics = {name: ["/", namespace, f"/{name}"] for name in ("image_rect", "camera_info")}
    faces = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("edgeface_ros"), "launch", "faces.launch.py"])
        ),
        launch_arguments={
            "image": topics["image_rect"],
            "camera_info": topics["camera_info"],
            "rectified": "true",
        }.items(),
    )
    return LaunchDescription([*declared, container, faces])
