"""The example node, with stand-ins for rclpy: what it subscribes to, and what it makes of an image."""

import ast
import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny

pytest.importorskip("rosbags", reason="message definitions come with in a checkout pip install '.[ros]'")
from support import ros_messages

PACKAGE = Path(__file__).parents[2] / "examples" / "ros2" / "edgeface_ros"


class FakeNode:
    """Records what a node asks of rclpy."""

    parameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, name: str) -> None:
        self.name = name
        self.published: list[Any] = []
        self.warnings: list[str] = []
        self.subscriptions: dict[str, Any] = {}

    def declare_parameter(self, name: str, default: Any) -> Any:
        return SimpleNamespace(value=self.parameters.get(name, default))

    def create_publisher(self, kind: type, topic: str, qos: Any) -> Any:
        self.publisher_qos = qos
        return SimpleNamespace(publish=self.published.append)

    def create_subscription(self, kind: type, topic: str, callback: Any, qos: Any) -> None:
        self.subscriptions[topic] = (kind, callback, qos)

    def get_logger(self) -> Any:
        return SimpleNamespace(info=lambda _: None, warning=lambda text, **_: self.warnings.append(text))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    ros_messages.install(monkeypatch)
    policies = SimpleNamespace(KEEP_LAST="keep last", BEST_EFFORT="best effort")
    parts = {
        "rclpy": {},
        "rclpy.node": {"Node": FakeNode},
        "rclpy.executors": {"ExternalShutdownException": type("ExternalShutdownException", (Exception,), {})},
        "rclpy.qos": {
            "QoSProfile": SimpleNamespace,
            "HistoryPolicy": policies,
            "ReliabilityPolicy": policies,
        },
    }
    for name, values in parts.items():
        fake = types.ModuleType(name)
        fake.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, fake)
    bundle = tiny.write_bundle(tmp_path / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])
    monkeypatch.setattr(FakeNode, "parameters", {"model": str(bundle)})
    spec = importlib.util.spec_from_file_location("face_node", PACKAGE / "edgeface_ros" / "face_node.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def image(sec: int, encoding: str = "bgr8") -> Any:
    pixels = tiny.red_squares((64, 64), [(8, 24)])
    message = ros_messages.Classes(ros_messages.typestore())["sensor_msgs/Image"]()
    message.header.stamp.sec, message.header.frame_id = sec, "camera_optical_frame"
    message.width, message.height, message.step, message.encoding = 64, 64, 192, encoding
    message.data = np.ascontiguousarray(pixels).tobytes()
    return message


def test_only_the_newest_image_waits_and_none_is_sent_again(module: Any) -> None:
    node = module.FaceNode()
    kind, _, qos = node.subscriptions["image"]
    assert kind.__name__ == "Image"
    assert (qos.history, qos.depth, qos.reliability) == ("keep last", 1, "best effort")
    node.engine.close()


def test_images_become_detections_with_ids(module: Any) -> None:
    node = module.FaceNode()
    callback = node.subscriptions["image"][1]
    for sec in range(3):
        callback(image(sec))
    assert [len(message.detections) for message in node.published] == [0, 1, 1]  # reported from the second sighting on
    last = node.published[-1]
    assert last.header.stamp.sec == 2
    assert last.header.frame_id == "camera_optical_frame"
    assert last.detections[0].id == "1"
    assert last.detections[0].bbox.center.position.x == pytest.approx(12, abs=0.5)
    node.engine.close()


def test_what_cannot_be_used_is_logged_and_the_node_lives_on(module: Any) -> None:
    node = module.FaceNode()
    callback = node.subscriptions["image"][1]
    callback(image(5))
    callback(image(6, "bayer_rggb8"))
    assert "image encoding must be one of" in node.warnings[0]
    callback(image(7))
    callback(image(1))  # a bag that begins again
    callback(image(2))
    assert len(node.warnings) == 1
    assert [message.detections for message in node.published[:3]] == [[], [], []]  # nobody goes on over either break
    assert node.published[3].detections[0].id == "1"
    node.engine.close()


def test_the_launch_file_and_the_package_name_what_is_there() -> None:
    launch = (PACKAGE / "launch" / "faces.launch.py").read_text()
    node = (PACKAGE / "edgeface_ros" / "face_node.py").read_text()
    ast.parse(launch)
    for name in ("rotation", "orientation", "detect_every", "threads", "min_score"):
        assert f'"{name}"' in launch
        assert f'"{name}"' in node
    setup = (PACKAGE / "setup.py").read_text()
    assert "face_node = edgeface_ros.face_node:main" in setup
    assert 'executable="face_node"' in launch
    assert "<name>edgeface_ros</name>" in (PACKAGE / "package.xml").read_text()
