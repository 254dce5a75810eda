"""A lifecycle node: images in, faces out as vision_msgs, ROS4HRI topics and tf. Its page is docs/guides/ros2.md."""

from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

import edgeface
from edgeface.errors import EdgeFaceError
from edgeface.ros import (
    Camera,
    Head,
    frame_from_compressed,
    frame_from_image,
    head_positions,
    header_of,
    message_class,
    to_detection_array,
    to_message,
    transforms,
)
from edgeface_ros import parameters
from edgeface_ros.humans import HumanTopics

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# Of warnings that would come with every image.
SELDOM_S = 5.0


class FaceNode(LifecycleNode):
    """One camera, one tracker. The network is loaded by `configure`; images are taken between `activate` and
    `deactivate`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("edgeface", **options)
        parameters.declare(self)
        self._engine: edgeface.FaceEngine | None = None
        self._tracker: edgeface.Tracker | None = None
        self._camera: Camera | None = None
        self._humans: HumanTopics | None = None
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self.add_on_set_parameters_callback(self._refuse_while_configured)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._set = parameters.values(self)
            self._engine = edgeface.FaceEngine(
                self._set["model"],
                runtime=self._set["runtime"],
                threads=self._set["threads"],
                min_score=self._set["min_score"],
                points=self._set["points"] or None,
            )
            self._tracker = edgeface.Tracker(detect_every=self._set["detect_every"])
            profile = parameters.qos(self._set["output_reliability"], self._set["output_depth"])
            self._detections = self._output("vision_msgs/Detection2DArray", "faces", profile)
            # /tf is what tf2_ros's broadcaster publishes too; here it is silent while the node is inactive
            self._tf = self._output("tf2_msgs/TFMessage", "/tf", 100) if self._set["tf"] else None
            if self._set["humans"]:
                message_class("hri_msgs/IdsList")
        except (EdgeFaceError, ValueError) as error:
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return FAILURE
        self.get_logger().info(f"configured: {self._engine}")
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._set["humans"]:
            profile = parameters.qos(self._set["output_reliability"], self._set["output_depth"])
            self._humans = HumanTopics(
                self, profile, self._set["id_prefix"], (self._set["face_width"], self._set["face_height"])
            )
        profile = parameters.qos(self._set["image_reliability"], self._set["image_depth"])
        image = self.resolve_topic_name("image")
        if self._set["transport"] == "compressed":
            kind, topic = CompressedImage, f"{image}/compressed"  # where image_transport publishes it
        else:
            kind, topic = Image, image
        self._inputs = [
            self.create_subscription(CameraInfo, "camera_info", self._on_camera_info, profile),
            self.create_subscription(kind, topic, self._on_image, profile),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return SUCCESS

    def destroy_node(self) -> None:
        self._release()
        super().destroy_node()

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self._camera = Camera.from_info(message, rectified=self._set["rectified"])
        except EdgeFaceError as error:
            self._camera = None
            self.get_logger().warning(f"no positions: {error}", throttle_duration_sec=SELDOM_S)

    def _on_image(self, message: Any) -> None:
        assert self._engine is not None
        assert self._tracker is not None
        make = frame_from_compressed if self._set["transport"] == "compressed" else frame_from_image
        try:
            frame = make(message, rotation=self._set["rotation"])
            faces = self._engine.track(frame, tracker=self._tracker)
        except EdgeFaceError as error:
            # an encoding that is not supported, a damaged picture, or images out of order
            self.get_logger().warning(str(error), throttle_duration_sec=SELDOM_S)
            self._tracker.reset()
            return
        heads = self._heads(faces)
        header = header_of(message)
        self._detections.publish(
            to_detection_array(faces, message.header, orientation="camera", heads=heads, quality=self._set["quality"])
        )
        if self._humans is not None:
            self._humans.publish(faces, frame, header)
        if self._tf is not None and heads is not None:
            found = transforms(faces, heads, header, prefix=self._set["id_prefix"])
            if found["transforms"]:
                self._tf.publish(to_message("tf2_msgs/TFMessage", found))

    def _heads(self, faces: edgeface.Faces) -> list[Head | None] | None:
        """Where the heads are; None without a calibration of these images."""
        if self._camera is None:
            self.get_logger().warning(
                "no positions and no tf: nothing came on camera_info", throttle_duration_sec=SELDOM_S
            )
            return None
        if self._camera.size != faces.size:
            self.get_logger().warning(
                f"no positions: camera_info is of {self._camera.size} pixels, the images have {faces.size}",
                throttle_duration_sec=SELDOM_S,
            )
            return None
        return head_positions(faces, self._camera)

    def _output(self, kind: str, topic: str, profile: Any) -> Any:
        self._outputs.append(self.create_lifecycle_publisher(message_class(kind), topic, profile))
        return self._outputs[-1]

    def _refuse_while_configured(self, changes: list[Parameter]) -> SetParametersResult:
        ours = [change.name for change in changes if change.name in parameters.PARAMETERS]
        if ours and self._engine is not None:
            reason = f"{', '.join(ours)} must be set before configure, but got a configured node: clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def _stop(self) -> None:
        """Take no more images."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs = []
        if self._humans is not None:
            self._humans.close()
            self._humans = None
        self._camera = None
        if self._tracker is not None:
            self._tracker.reset()

    def _release(self) -> None:
        """Back to what there was before `configure`."""
        self._stop()
        for publisher in self._outputs:
            self.destroy_lifecycle_publisher(publisher)
        self._outputs = []
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def main() -> None:
    """The executable ``face_node``."""
    rclpy.init()
    node = FaceNode()
    try:
        if node.get_parameter("autostart").value:
            node.trigger_configure()
            node.trigger_activate()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
