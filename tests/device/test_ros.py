import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.angles import angles_to_rotation
from edgeface.errors import EdgeFaceError, ImageError, InvalidInputError
from edgeface.faces import Faces
from edgeface.ros import detections, frame_from_compressed, frame_from_image, quaternion, to_detection_array

pytest.importorskip("rosbags", reason="message definitions come with in a checkout pip install '.[ros]'")
from support import ros_messages
from support.moving import Person, faces

TWO = faces([Person(100, 120, 40, yaw=30), Person(300, 200, 60, score=0.8)], track_ids=[7, 9])


def header(sec: int = 3, nanosec: int = 5, frame_id: str = "camera_optical_frame") -> SimpleNamespace:
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id)


angle = st.floats(-180, 180)


@given(angle, angle, angle)
def test_quaternions_turn_as_the_matrix_does(yaw: float, pitch: float, roll: float) -> None:
    rotation = angles_to_rotation([yaw, pitch, roll])
    x, y, z, w = quaternion(rotation)
    assert x * x + y * y + z * z + w * w == pytest.approx(1)
    assert w >= 0
    again = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    np.testing.assert_allclose(again, rotation, atol=1e-9)


def test_a_quaternion_that_can_be_checked_by_hand() -> None:
    """The person turns to image-left: a positive turn about y, which points down, takes z (forward) to x (right)."""
    assert quaternion(angles_to_rotation([90, 0, 0])) == pytest.approx((0, np.sqrt(0.5), 0, np.sqrt(0.5)))
    assert quaternion(angles_to_rotation([0, 0, 180]))[2] == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.eye(4), np.full((3, 3), np.nan)])
def test_what_is_no_rotation_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="rotation must be"):
        quaternion(bad)


def test_every_field_of_the_definitions_is_given_and_survives_the_wire() -> None:
    store = ros_messages.typestore()
    values = detections(TWO, stamp=(3, 5), frame_id="camera_optical_frame")
    message = ros_messages.built(store, "vision_msgs/msg/Detection2DArray", values)
    wire = store.serialize_cdr(message, "vision_msgs/msg/Detection2DArray")
    back = store.deserialize_cdr(wire, "vision_msgs/msg/Detection2DArray")
    assert back.header.frame_id == "camera_optical_frame"
    assert (back.header.stamp.sec, back.header.stamp.nanosec) == (3, 5)
    assert [d.id for d in back.detections] == ["7", "9"]
    first = back.detections[0]
    assert first.header.frame_id == "camera_optical_frame"
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (100, 120)
    assert (first.bbox.size_x, first.bbox.size_y) == (40, 40)
    assert first.results[0].hypothesis.class_id == "face"
    assert first.results[0].hypothesis.score == pytest.approx(0.9)
    orientation = first.results[0].pose.pose.orientation
    assert orientation.y == pytest.approx(np.sin(np.radians(15)))
    assert orientation.w == pytest.approx(np.cos(np.radians(15)))
    assert np.isinf(first.results[0].pose.covariance[[0, 7, 14]]).all()
    assert len(first.results) == 1


def test_messages_for_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins are as strict as rosidl's classes: a wrong name or type would be an error."""
    ros_messages.install(monkeypatch)
    message = to_detection_array(TWO, header())
    assert type(message).__name__ == "Detection2DArray"
    assert [d.id for d in message.detections] == ["7", "9"]
    assert message.detections[1].results[0].hypothesis.score == pytest.approx(0.8)
    assert message.header.stamp.sec == 3
    assert to_detection_array(Faces.empty(), header()).detections == []


def test_without_tracking_the_id_is_empty() -> None:
    values = detections(faces([Person(1, 1, 5)]), stamp=(0, 0), frame_id="")
    assert values["detections"][0]["id"] == ""


def test_without_ros_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    with pytest.raises(EdgeFaceError, match="vision_msgs must be importable"):
        to_detection_array(TWO, header())


def test_an_old_message_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """vision_msgs of Foxy has no id in Detection2D."""
    monkeypatch.setitem(ros_messages.VISION_MSGS, "Detection2D", "std_msgs/Header header\nBoundingBox2D bbox")
    ros_messages.install(monkeypatch)
    with pytest.raises(InvalidInputError, match="fields of Detection2D must be among header, bbox, but got results"):
        to_detection_array(TWO, header())


def image(encoding: str, data: np.ndarray, step: int, size: tuple[int, int]) -> Any:
    return SimpleNamespace(
        header=header(), encoding=encoding, width=size[0], height=size[1], step=step, data=data.tobytes()
    )


@pytest.mark.parametrize(
    ("encoding", "color", "pixel"),
    [
        ("bgr8", "bgr", 3),
        ("8UC3", "bgr", 3),
        ("rgb8", "rgb", 3),
        ("mono8", "gray", 1),
        ("8UC1", "gray", 1),
        ("yuv422", "uyvy", 2),
        ("uyvy", "uyvy", 2),
        ("yuv422_yuy2", "yuyv", 2),
        ("yuyv", "yuyv", 2),
        ("bgra8", "bgr", 4),
        ("rgba8", "rgb", 4),
    ],
)
def test_images_of_every_encoding_and_any_step(encoding: str, color: str, pixel: int) -> None:
    width, height, step = 6, 4, 6 * pixel + 5
    rows = np.random.default_rng(0).integers(0, 256, (height, step), dtype=np.uint8)
    frame = frame_from_image(image(encoding, rows, step, (width, height)), rotation=90)
    assert (frame.color, frame.size, frame.rotation) == (color, (width, height), 90)
    assert frame.timestamp_ns == 3_000_000_005
    wanted = rows[:, : width * pixel].reshape(height, width, pixel)[..., : 3 if pixel == 4 else pixel]
    np.testing.assert_array_equal(frame.planes[0].reshape(wanted.shape), wanted)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_planar_images(encoding: str) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
    frame = frame_from_image(image(encoding, rows, 8, (6, 4)))
    np.testing.assert_array_equal(frame.planes[0], rows[:4, :6])
    np.testing.assert_array_equal(frame.planes[1].reshape(2, 6), rows[4:, :6])


@pytest.mark.parametrize("encoding", ["bayer_rggb16", "16UC1", "32FC1", ""])
def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(InvalidInputError, match="image encoding must be one of bgr8"):
        frame_from_image(image(encoding, np.zeros(96, np.uint8), 24, (6, 4)))


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "bayer_grbg8"])
def test_too_little_data_is_refused(encoding: str) -> None:
    with pytest.raises(InvalidInputError, match=r"must be .*, but got"):
        frame_from_image(image(encoding, np.zeros(20, np.uint8), 24, (6, 4)))


#: (y, x) of the first red pixel in its square of 2x2, and of the first blue one.
PATTERNS = {
    "bayer_rggb8": ((0, 0), (1, 1)),
    "bayer_bggr8": ((1, 1), (0, 0)),
    "bayer_gbrg8": ((1, 0), (0, 1)),
    "bayer_grbg8": ((0, 1), (1, 0)),
}


def smooth() -> np.ndarray:
    """(40, 60, 3) BGR whose three colours rise in three directions: whoever mixes two of them up is far off."""
    y, x = np.mgrid[:40, :60]
    return np.stack([20 + 3 * x, 40 + 2 * y, 230 - 3 * x], -1).astype(np.uint8)


def mosaic(picture: np.ndarray, encoding: str) -> np.ndarray:
    """What a sensor with this pattern gives of a picture."""
    red, blue = PATTERNS[encoding]
    out = picture[..., 1].copy()
    out[red[0] :: 2, red[1] :: 2] = picture[red[0] :: 2, red[1] :: 2, 2]
    out[blue[0] :: 2, blue[1] :: 2] = picture[blue[0] :: 2, blue[1] :: 2, 0]
    return out


@pytest.mark.parametrize("encoding", PATTERNS)
def test_raw_mosaics_of_all_patterns(encoding: str) -> None:
    picture = smooth()
    rows = np.full((40, 67), 255, np.uint8)  # padded
    rows[:, :60] = mosaic(picture, encoding)
    frame = frame_from_image(image(encoding, rows, 67, (60, 40)))
    assert (frame.color, frame.size) == ("bgr", (60, 40))
    inner = np.s_[2:-2, 2:-2]
    difference = frame.planes[0].reshape(40, 60, 3)[inner].astype(int) - picture[inner]
    assert np.abs(difference).max() <= 2
    for other in set(PATTERNS) - {encoding}:  # the test can tell patterns apart
        wrong = frame_from_image(image(other, rows, 67, (60, 40))).planes[0].reshape(40, 60, 3)
        assert np.abs(wrong[inner].astype(int) - picture[inner]).max() > 30


@pytest.mark.parametrize("encoding", PATTERNS)
def test_compressed_mosaics(encoding: str) -> None:
    """image_transport compresses a mosaic as a grey picture; a driver may have made a colour picture of it first."""
    picture = smooth()
    data = cv2.imencode(".png", mosaic(picture, encoding))[1].tobytes()
    message = SimpleNamespace(header=header(), format=f"{encoding}; png compressed ", data=data)
    inner = np.s_[2:-2, 2:-2]
    seen = frame_from_compressed(message).planes[0].reshape(40, 60, 3)
    assert np.abs(seen[inner].astype(int) - picture[inner]).max() <= 2
    message.data = cv2.imencode(".png", picture)[1].tobytes()
    message.format = f"{encoding}; png compressed bgr8"
    np.testing.assert_array_equal(frame_from_compressed(message).planes[0].reshape(40, 60, 3), picture)


def test_depth_is_no_picture() -> None:
    message = SimpleNamespace(header=header(), format="16UC1; compressedDepth png", data=b"")
    with pytest.raises(InvalidInputError, match="compressed image must be a picture"):
        frame_from_compressed(message)


def test_compressed_images() -> None:
    picture = np.full((8, 12, 3), (10, 20, 200), np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    frame = frame_from_compressed(SimpleNamespace(header=header(), format="png", data=data))
    np.testing.assert_array_equal(frame.planes[0], picture)
    assert frame.timestamp_ns == 3_000_000_005
    with pytest.raises(ImageError):
        frame_from_compressed(SimpleNamespace(header=header(), format="jpeg", data=b"\xff\xd8damage"))
