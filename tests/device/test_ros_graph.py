"""The ROS 2 package in a graph that runs: rclpy, DDS and rosidl's messages are the real ones (from PyPI)."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ros_packages, tiny

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "ros2" / "edgeface_ros"

rclpy = pytest.importorskip("rclpy", reason="no ROS here (pip install -r examples/ros2/requirements-test.txt)")


@pytest.fixture(scope="module")
def ros() -> Iterator[types.ModuleType]:
    """The node's module, with messages and a context."""
    # on this machine alone, and among nobody else's nodes
    os.environ |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(10 + os.getpid() % 80)}
    ros_packages.install(ROOT / "build" / "ros-messages")
    sys.path.insert(0, str(PACKAGE))
    from edgeface_ros import face_node

    rclpy.init()
    yield face_node
    rclpy.shutdown()
    sys.path.remove(str(PACKAGE))


class Graph:
    """The node, somebody who publishes images, and somebody who listens."""

    def __init__(self, module: types.ModuleType, bundle: Path, **parameters: Any) -> None:
        from hri_msgs.msg import FacialLandmarks, IdsList, NormalizedRegionOfInterest2D
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image
        from std_msgs.msg import Float32
        from tf2_msgs.msg import TFMessage
        from vision_msgs.msg import Detection2DArray

        given = {"model": str(bundle)} | parameters
        self.node = module.FaceNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
        self.other = rclpy.create_node("other")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.executor.add_node(self.other)
        self.heard: dict[str, list[Any]] = {}
        face = "/humans/faces/f1"
        for kind, topic in (
            (Detection2DArray, "/faces"),
            (TFMessage, "/tf"),
            (IdsList, "/humans/faces/tracked"),
            (NormalizedRegionOfInterest2D, f"{face}/roi"),
            (FacialLandmarks, f"{face}/landmarks"),
            (Float32, f"{face}/quality"),
            (Image, f"{face}/cropped"),
        ):
            self.heard[topic] = []
            self.other.create_subscription(kind, topic, self.heard[topic].append, 10)  # reliable, as libhri's are
        self.images = self.other.create_publisher(Image, "image", 10)
        self.compressed = self.other.create_publisher(CompressedImage, "image/compressed", 10)
        self.infos = self.other.create_publisher(CameraInfo, "camera_info", 10)

    def until(self, what: Callable[[], Any], seconds: float = 60) -> None:
        """Let the graph run until something is true."""
        end = self.other.get_clock().now().nanoseconds + seconds * 1e9
        while not what():
            assert self.other.get_clock().now().nanoseconds < end, f"nothing came within {seconds:g} s"
            self.executor.spin_once(timeout_sec=0.05)

    def show(self, message: Any, publisher: Any = None) -> Any:
        """Publish an image and wait for its detections."""
        publisher = publisher or self.images
        self.until(lambda: publisher.get_subscription_count() > 0)
        before = len(self.heard["/faces"])
        publisher.publish(message)
        self.until(lambda: len(self.heard["/faces"]) > before)
        return self.heard["/faces"][-1]

    def calibrate(self) -> None:
        """Publish a calibration, and wait until the node has it."""
        from sensor_msgs.msg import CameraInfo

        self.until(lambda: self.infos.get_subscription_count() > 0)
        info = CameraInfo(width=64, height=64, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = [60.0, 0.0, 32.0, 0.0, 60.0, 32.0, 0.0, 0.0, 1.0]
        self.infos.publish(info)
        self.until(lambda: self.node._camera is not None)

    def close(self) -> None:
        """Take it apart."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.other.destroy_node()


@pytest.fixture
def graph(ros: types.ModuleType, tmp_path: Path) -> Iterator[Callable[..., Graph]]:
    bundle = tiny.write_bundle(tmp_path / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])
    made: list[Graph] = []

    def make(**parameters: Any) -> Graph:
        made.append(Graph(ros, bundle, **parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()


def image(sec: int, encoding: str = "bgr8") -> Any:
    """An image with one face at (12, 28)."""
    from sensor_msgs.msg import Image

    pixels = np.ascontiguousarray(tiny.red_squares((64, 64), [(8, 24)]))
    message = Image(width=64, height=64, step=192, encoding=encoding, data=pixels.tobytes())
    message.header.stamp.sec, message.header.frame_id = sec, "camera_optical_frame"
    return message


def start(graph: Graph) -> None:
    assert graph.node.trigger_configure().name == "SUCCESS"
    assert graph.node.trigger_activate().name == "SUCCESS"


def state(graph: Graph) -> str:
    return str(graph.node._state_machine.current_state[1])


def test_images_become_detections_topics_and_frames(graph: Callable[..., Graph]) -> None:
    g = graph()
    start(g)
    g.calibrate()
    counts = [len(g.show(image(sec)).detections) for sec in range(3)]
    assert counts == [0, 1, 1]  # reported from the second sighting on
    last = g.heard["/faces"][-1]
    assert (last.header.stamp.sec, last.header.frame_id) == (2, "camera_optical_frame")
    found = last.detections[0]
    assert found.id == "1"
    assert found.bbox.center.position.x == pytest.approx(12, abs=0.5)
    assert [result.hypothesis.class_id for result in found.results] == ["face", "face_quality"]
    assert found.results[1].hypothesis.score == pytest.approx(tiny.QUALITY, abs=0.02)
    pose = found.results[0].pose
    assert 0.1 < pose.pose.position.z < 2
    assert pose.pose.position.x < 0  # left of the middle
    assert np.isfinite(pose.covariance).all()

    g.until(lambda: len(g.heard["/tf"]) > 0)
    face, gaze = g.heard["/tf"][-1].transforms
    assert (face.child_frame_id, gaze.child_frame_id) == ("face_f1", "gaze_f1")
    assert face.transform.translation.z == pose.pose.position.z

    g.show(image(3))  # by now the listener knows the face's topics
    sec = iter(range(4, 60))
    g.until(lambda: g.show(image(next(sec))) and all(g.heard.values()))
    assert g.heard["/humans/faces/tracked"][-1].ids == ["f1"]
    roi = g.heard["/humans/faces/f1/roi"][-1]
    assert (roi.xmin + roi.xmax) / 2 == pytest.approx(12 / 64, abs=0.02)
    assert sum(point.c > 0 for point in g.heard["/humans/faces/f1/landmarks"][-1].landmarks) == 5
    assert g.heard["/humans/faces/f1/quality"][-1].data == pytest.approx(tiny.QUALITY, abs=0.02)
    cropped = g.heard["/humans/faces/f1/cropped"][-1]
    assert (cropped.width, cropped.height, cropped.encoding) == (128, 128, "bgr8")
    assert cropped.header.frame_id == "camera_optical_frame"
    blue, green, red = np.frombuffer(cropped.data, np.uint8).reshape(128, 128, 3)[64, 64].tolist()
    assert red > 100 > max(blue, green)  # the face is a red square


def test_a_described_face_has_all_its_landmarks(graph: Callable[..., Graph]) -> None:
    """With the two bundles that ship, on a photo: what comes over the wire is what the engine says by itself."""
    from sensor_msgs.msg import Image

    import edgeface
    from edgeface.images import read_image

    photo = read_image(ROOT / "examples" / "astronaut.jpg")
    height, width = photo.shape[:2]
    with edgeface.FaceEngine("edgeface-s", points="edgeface-points") as engine:
        face = engine.detect(photo, color="bgr")[0]
    assert face.points68 is not None and face.visibility is not None

    g = graph(model="edgeface-s", points="edgeface-points")
    start(g)
    sec = iter(range(60))

    def seen() -> Any:
        message = Image(width=width, height=height, step=3 * width, encoding="bgr8", data=photo.tobytes())
        message.header.stamp.sec = next(sec)
        g.show(message)
        return g.heard["/humans/faces/f1/landmarks"]

    g.until(seen)
    landmarks = g.heard["/humans/faces/f1/landmarks"][-1].landmarks
    points = np.array([(point.x * width, point.y * height) for point in landmarks[:68]])
    np.testing.assert_allclose(points, face.points68, atol=1)
    np.testing.assert_allclose([point.c for point in landmarks[:68]], face.visibility, atol=0.02)
    assert all(point.c > 0 for point in landmarks)  # and both pupils


def test_without_a_calibration_the_place_is_unknown(graph: Callable[..., Graph]) -> None:
    g = graph()
    start(g)
    for sec in range(3):
        last = g.show(image(sec))
    assert np.isinf(last.detections[0].results[0].pose.covariance[0])
    assert g.heard["/tf"] == []


def test_a_calibration_of_another_size_is_not_used(graph: Callable[..., Graph]) -> None:
    from sensor_msgs.msg import CameraInfo

    g = graph()
    start(g)
    g.until(lambda: g.infos.get_subscription_count() > 0)
    g.infos.publish(CameraInfo(width=640, height=480, k=[600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]))
    g.until(lambda: g.node._camera is not None)
    for sec in range(3):
        last = g.show(image(sec))
    assert np.isinf(last.detections[0].results[0].pose.covariance[0])


def test_a_face_that_leaves_takes_its_topics_along(graph: Callable[..., Graph]) -> None:
    g = graph()
    start(g)
    for sec in range(2):
        g.show(image(sec))
    topic = "/humans/faces/f1/roi"
    assert g.node.count_publishers(topic) == 1
    empty = image(60)  # long after a track ends
    empty.data = bytes(64 * 64 * 3)
    assert g.show(empty).detections == []
    g.until(lambda: g.node.count_publishers(topic) == 0)


def test_the_life_of_the_node(graph: Callable[..., Graph]) -> None:
    g = graph()
    assert state(g) == "unconfigured"
    assert g.node.count_publishers("/faces") == 0
    assert g.node.trigger_configure().name == "SUCCESS"
    assert state(g) == "inactive"
    assert g.images.get_subscription_count() == 0  # no image costs anything while it is inactive
    for _ in range(2):
        assert g.node.trigger_activate().name == "SUCCESS"
        g.show(image(1))
        assert g.node.trigger_deactivate().name == "SUCCESS"
        g.until(lambda: g.images.get_subscription_count() == 0)
        assert g.node.count_publishers("/humans/faces/tracked") == 0
    assert g.node.trigger_cleanup().name == "SUCCESS"
    assert (state(g), g.node._engine) == ("unconfigured", None)
    start(g)
    g.show(image(2))
    assert g.node.trigger_shutdown().name == "SUCCESS"
    assert state(g) == "finalized"


def test_a_bad_model_leaves_the_node_unconfigured(graph: Callable[..., Graph], tmp_path: Path) -> None:
    g = graph(model=str(tmp_path / "none.efm"))
    assert g.node.trigger_configure().name == "FAILURE"
    assert state(g) == "unconfigured"
    assert g.node.count_publishers("/faces") == 0


@pytest.mark.parametrize(
    ("name", "value"), [("transport", "theora"), ("id_prefix", "7"), ("id_prefix", "a/b"), ("output_reliability", "")]
)
def test_words_that_are_no_choice(graph: Callable[..., Graph], name: str, value: str) -> None:
    assert graph(**{name: value}).node.trigger_configure().name == "FAILURE"


def test_parameters_have_ranges_and_words(graph: Callable[..., Graph]) -> None:
    from edgeface_ros.parameters import PARAMETERS
    from rclpy.parameter import Parameter

    g = graph()
    for name in PARAMETERS:
        assert len(g.node.describe_parameter(name).description) > 10
    for name, bad in (("threads", 0), ("min_score", 1.5), ("rotation", 45), ("image_depth", 0)):
        assert not g.node.set_parameters([Parameter(name, value=bad)])[0].successful, name
    assert g.node.set_parameters([Parameter("rotation", value=90)])[0].successful
    g.node.trigger_configure()
    answer = g.node.set_parameters([Parameter("threads", value=2)])[0]
    assert not answer.successful
    assert "threads must be set before configure" in answer.reason


def test_qos_can_be_chosen(graph: Callable[..., Graph]) -> None:
    g = graph(image_reliability="reliable", image_depth=3, output_reliability="best_effort")
    start(g)
    taken = next(one for one in g.node.subscriptions if one.topic_name == "/image").qos_profile
    assert (taken.reliability.name, taken.history.name, taken.depth) == ("RELIABLE", "KEEP_LAST", 3)
    assert g.node.get_subscriptions_info_by_topic("/image")[0].qos_profile.reliability.name == "RELIABLE"
    assert g.node.get_publishers_info_by_topic("/faces")[0].qos_profile.reliability.name == "BEST_EFFORT"


def test_only_the_newest_image_waits_and_subscribers_of_both_kinds_hear(graph: Callable[..., Graph]) -> None:
    g = graph()
    start(g)
    taken = next(one for one in g.node.subscriptions if one.topic_name == "/image").qos_profile
    assert (taken.reliability.name, taken.history.name, taken.depth) == ("BEST_EFFORT", "KEEP_LAST", 1)
    assert g.node.get_publishers_info_by_topic("/faces")[0].qos_profile.reliability.name == "RELIABLE"


def test_compressed_images(graph: Callable[..., Graph]) -> None:
    import cv2
    from sensor_msgs.msg import CompressedImage

    g = graph(transport="compressed")
    start(g)
    data = cv2.imencode(".png", tiny.red_squares((64, 64), [(8, 24)]))[1].tobytes()
    for sec in range(3):
        message = CompressedImage(format="png", data=data)
        message.header.stamp.sec = sec
        last = g.show(message, g.compressed)
    assert last.detections[0].bbox.center.position.x == pytest.approx(12, abs=0.5)


def test_what_cannot_be_used_is_logged_and_the_node_lives_on(graph: Callable[..., Graph]) -> None:
    g = graph()
    start(g)
    g.show(image(5))
    g.images.publish(image(6, "32FC1"))
    g.show(image(7))
    g.images.publish(image(1))  # a bag that begins again
    seen = g.show(image(2))
    assert [len(message.detections) for message in g.heard["/faces"]][:2] == [0, 0]
    assert len(seen.detections) <= 1
    assert len(g.show(image(3)).detections) == 1


def test_the_executable_starts_itself_and_ends_cleanly(ros: types.ModuleType, tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])
    script = (
        f"import sys; sys.path.insert(0, {str(PACKAGE)!r})\n{MESSAGES}from edgeface_ros.face_node import main; main()"
    )
    starts_and_ends([sys.executable, "-c", script], bundle)


def test_colcon_builds_it_and_what_it_built_runs(ros: types.ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("colcon_ros", reason="no colcon here (pip install -r examples/ros2/requirements-test.txt)")
    bundle = tiny.write_bundle(tmp_path / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])
    workspace = tmp_path / "ws"
    shutil.copytree(PACKAGE, workspace / "src" / "edgeface_ros", ignore=shutil.ignore_patterns("__pycache__"))
    colcon = [str(Path(sys.executable).with_name("colcon")), "build", "--packages-select", "edgeface_ros"]
    subprocess.run(colcon, cwd=workspace, check=True, timeout=600)
    executable = workspace / "install" / "edgeface_ros" / "lib" / "edgeface_ros" / "face_node"
    script = f"{MESSAGES}import runpy; runpy.run_path({str(executable)!r}, run_name='__main__')"
    sourced = 'source install/setup.bash && exec "$0" -c "$@"'
    starts_and_ends(["bash", "-c", sourced, sys.executable, script], bundle, cwd=workspace)


#: Of a process of its own: the messages that the wheels lack.
MESSAGES = (
    f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); from pathlib import Path\n"
    f"from support import ros_packages; ros_packages.install(Path({str(ROOT / 'build' / 'ros-messages')!r}))\n"
)


def starts_and_ends(command: list[str], bundle: Path, cwd: Path | None = None) -> None:
    """The executable activates itself, hears the topic that it was told, and ends at SIGTERM without a complaint."""
    options = ["--ros-args", "-p", "autostart:=true", "-p", f"model:={bundle}", "-r", "image:=/cam/image"]
    other = rclpy.create_node("watcher")
    with subprocess.Popen([*command, *options], cwd=cwd, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 90
        while other.count_subscribers("/cam/image") == 0:
            assert run.poll() is None, run.stderr and run.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert other.count_publishers("/humans/faces/tracked") == 1
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0
        assert run.stderr is not None
        assert "Traceback" not in run.stderr.read()
    other.destroy_node()


def test_the_package_names_what_is_there() -> None:
    manifest = ElementTree.parse(PACKAGE / "package.xml").getroot()
    assert manifest.findtext("name") == "edgeface_ros"
    assert manifest.findtext("export/build_type") == "ament_python"
    needed = {entry.text for entry in manifest.findall("exec_depend")}
    imported = set()
    for path in (PACKAGE / "edgeface_ros").glob("*.py"):
        for entry in ast.walk(ast.parse(path.read_text())):
            if isinstance(entry, ast.ImportFrom) and entry.module:
                imported.add(entry.module.split(".")[0])
    assert {name for name in imported if name.endswith("_msgs")} | {"rclpy", "rcl_interfaces"} <= needed
    assert {"vision_msgs", "hri_msgs", "tf2_msgs"} <= needed
    setup = (PACKAGE / "setup.py").read_text()
    assert "face_node = edgeface_ros.face_node:main" in setup
    assert (PACKAGE / "resource" / "edgeface_ros").exists()


def test_it_installs_where_ros_looks_for_it(tmp_path: Path) -> None:
    """As colcon's ament_python does, with setuptools."""
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(tmp_path / "at"), str(source)], check=True, timeout=300)
    share = tmp_path / "at" / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "edgeface_ros").exists()
    assert (share / "edgeface_ros" / "package.xml").exists()
    launch = {path.name for path in (share / "edgeface_ros" / "launch").glob("*.py")}
    assert launch == {"faces.launch.py", "pipeline.launch.py"}
    assert (share / "edgeface_ros" / "config" / "faces.yaml").exists()
    assert (tmp_path / "at" / "edgeface_ros" / "face_node.py").exists()
