"""Subscribes to ``image``, publishes ``faces`` (vision_msgs/Detection2DArray) with track ids and head orientations."""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

import edgeface
from edgeface.ros import frame_from_image, to_detection_array

# As sensors publish: a lost image is not sent again, and only the newest one waits. With a longer queue a slow board
# would work on ever older images.
NEWEST = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class FaceNode(Node):
    """One camera, one tracker."""

    def __init__(self) -> None:
        super().__init__("edgeface")
        defaults = {"model": "edgeface-s", "threads": 1, "min_score": 0.5, "rotation": 0, "detect_every": 1}
        defaults["orientation"] = "upright"  # "camera": in the optical frame of a turned camera, for tf
        value = {name: self.declare_parameter(name, default).value for name, default in defaults.items()}
        self.engine = edgeface.FaceEngine(value["model"], threads=value["threads"], min_score=value["min_score"])
        self.tracker = edgeface.Tracker(detect_every=value["detect_every"])
        self.rotation, self.orientation = value["rotation"], value["orientation"]
        self.publisher = self.create_publisher(Detection2DArray, "faces", NEWEST)
        self.create_subscription(Image, "image", self.on_image, NEWEST)
        self.get_logger().info(f"{self.engine}")

    def on_image(self, message: Image) -> None:
        try:
            faces = self.engine.track(frame_from_image(message, rotation=self.rotation), tracker=self.tracker)
        except edgeface.errors.InvalidInputError as error:
            # an encoding that is not supported, or images out of order
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            self.tracker.reset()
            return
        self.publisher.publish(to_detection_array(faces, message.header, orientation=self.orientation))


def main() -> None:
    rclpy.init()
    node = FaceNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.engine.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
