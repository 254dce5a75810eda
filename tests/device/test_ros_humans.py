"""ROS4HRI: topics' messages and frames, with the definitions of hri_msgs and over the wire."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeface.angles import angles_to_rotation
from edgeface.errors import EdgeFaceError, InvalidInputError
from edgeface.positions import rotation_spread
from edgeface.ros import (
    Head,
    cropped,
    detections,
    face_id,
    facial_landmarks,
    ids_list,
    message_class,
    normalized_roi,
    quaternion,
    to_message,
    transforms,
)

pytest.importorskip("rosbags", reason="message definitions come with in a checkout pip install '.[ros]'")
from support import ros_messages
from support.heads import faces_of
from support.moving import Person, faces

HEADER = {"stamp": {"sec": 3, "nanosec": 5}, "frame_id": "camera_optical_frame"}
TWO = faces([Person(100, 120, 40, yaw=30), Person(630, 200, 60, score=0.8)], track_ids=[7, 9])


def head(yaw: float = 0.0) -> Head:
    covariance = np.diag([0.01, 0.02, 0.03])
    return Head(np.array([0.1, 0.2, 1.5]), covariance, angles_to_rotation([yaw, 0, 0]), 0.1)


def sent(name: str, values: dict[str, Any]) -> Any:
    """A message that went over the wire, of rosbags' own classes; every field has to be given."""
    store = ros_messages.typestore()
    full = name.replace("/", "/msg/")
    return store.deserialize_cdr(store.serialize_cdr(ros_messages.built(store, full, values), full), full)


def test_ids_may_stand_in_topics() -> None:
    message = sent("hri_msgs/IdsList", ids_list(TWO, HEADER, prefix="left_"))
    assert message.ids == ["left_7", "left_9"]
    assert message.header.stamp.sec == 3
    assert face_id(7)[0].isalpha()
    with pytest.raises(InvalidInputError, match="faces must be tracked"):
        ids_list(faces([Person(1, 1, 5)]), HEADER)


def test_regions_are_shares_of_the_image_and_inside_it() -> None:
    first = sent("hri_msgs/NormalizedRegionOfInterest2D", normalized_roi(TWO[0], HEADER, (640, 480)))
    assert (first.xmin, first.ymin, first.xmax, first.ymax) == pytest.approx(
        (80 / 640, 100 / 480, 120 / 640, 140 / 480)
    )
    assert first.c == pytest.approx(0.9)
    second = sent("hri_msgs/NormalizedRegionOfInterest2D", normalized_roi(TWO[1], HEADER, (640, 480)))
    assert (second.xmin, second.xmax) == pytest.approx((600 / 640, 1))  # the box reaches beyond


def test_five_of_seventy_landmarks() -> None:
    message = sent("hri_msgs/FacialLandmarks", facial_landmarks(TWO[0], HEADER, (640, 480)))
    assert (len(message.landmarks), message.width, message.height) == (70, 640, 480)
    known = [i for i, point in enumerate(message.landmarks) if point.c > 0]
    # hri_msgs: NOSE, MOUTH_OUTER_RIGHT, MOUTH_OUTER_LEFT, RIGHT_PUPIL, LEFT_PUPIL
    assert known == [30, 48, 54, 68, 69]
    for index, row in zip([68, 69, 30, 48, 54], TWO[0].landmarks, strict=True):
        point = message.landmarks[index]
        assert (point.x * 640, point.y * 480) == pytest.approx(tuple(row), abs=1e-3)
    outside = facial_landmarks(faces([Person(640, 200, 60)], track_ids=[1])[0], HEADER, (640, 480))
    assert 0 < sum(point["c"] > 0 for point in outside["landmarks"]) < 5


def test_seventy_landmarks_of_a_described_face() -> None:
    matrix = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    face = faces_of(matrix, (0, 0, 1), np.eye(3), size=(640, 480))[0]
    message = sent("hri_msgs/FacialLandmarks", facial_landmarks(face, HEADER, (640, 480)))
    assert face.points68 is not None and face.visibility is not None
    for i in range(68):
        point = message.landmarks[i]
        assert (point.x * 640, point.y * 480) == pytest.approx(tuple(face.points68[i]), abs=1e-3)
        assert point.c == pytest.approx(face.visibility[i])
    pupil = message.landmarks[68]
    assert (pupil.x * 640, pupil.y * 480) == pytest.approx(tuple(face.landmarks[0]), abs=1e-3)
    # RIGHT_EAR, MENTON, LEFT_EAR: image-left, lowest, image-right of somebody who looks into the lens
    xs, ys = ([getattr(message.landmarks[i], axis) for i in (0, 8, 16)] for axis in "xy")
    assert xs[0] < xs[1] < xs[2] and max(ys) == ys[1]


@pytest.mark.parametrize(
    ("box", "size", "filled"),
    [
        ((10, 20, 50, 100), (80, 40), (30, 50, 0, 40)),  # high: 20 wide, in the middle
        ((10, 20, 50, 30), (20, 20), (0, 20, 8, 12)),  # 5 high; half of 15 is 7 or 8
        ((-40, 20, 20, 40), (16, 16), (0, 16, 0, 16)),  # half of it outside
        ((300, 300, 320, 320), (16, 16), None),
    ],
)
def test_cropped_faces_lie_in_the_middle_of_black(box: Any, size: Any, filled: Any) -> None:
    image = np.full((120, 160, 3), (50, 100, 150), np.uint8)
    one = faces([Person(1, 1, 5)], track_ids=[1])
    face = replace(one, boxes=np.array([box], np.float32))[0]
    values = cropped(face, image, HEADER, size)
    message = sent("sensor_msgs/Image", values | {"data": np.frombuffer(values["data"], np.uint8)})
    assert (message.width, message.height, message.encoding, message.step) == (*size, "bgr8", 3 * size[0])
    picture = np.asarray(message.data).reshape(size[1], size[0], 3)
    if filled is None:
        assert not picture.any()
        return
    rows, columns = np.nonzero(picture.any(axis=2))
    found = (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1)
    np.testing.assert_allclose(found, filled, atol=1)
    assert (picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == (50, 100, 150)).all()


def turned(rotation: Any) -> np.ndarray:
    """(3, 3) of a quaternion message."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_frames_have_the_axes_of_rep_155() -> None:
    """Somebody looks straight into the lens: their face's x comes towards the camera (-z of the optical frame), z is up
    (-y); the gaze's z comes towards the camera, y is down."""
    message = sent("tf2_msgs/TFMessage", transforms(TWO, [head(), None], HEADER))
    face, gaze = message.transforms
    assert [face.child_frame_id, gaze.child_frame_id] == ["face_f7", "gaze_f7"]
    assert face.header.frame_id == "camera_optical_frame"
    assert (face.transform.translation.x, face.transform.translation.z) == (0.1, 1.5)
    axes = turned(face.transform.rotation)
    np.testing.assert_allclose(axes[:, 0], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(axes[:, 1], [1, 0, 0], atol=1e-9)  # to the person's left, image-right
    np.testing.assert_allclose(axes[:, 2], [0, -1, 0], atol=1e-9)
    axes = turned(gaze.transform.rotation)
    np.testing.assert_allclose(axes[:, 2], [0, 0, -1], atol=1e-9)
    np.testing.assert_allclose(axes[:, 1], [0, 1, 0], atol=1e-9)


def test_the_gaze_follows_the_head() -> None:
    """Positive yaw is to image-left, -x."""
    message = sent("tf2_msgs/TFMessage", transforms(TWO, [head(90), None], HEADER))
    np.testing.assert_allclose(turned(message.transforms[1].transform.rotation)[:, 2], [-1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(turned(message.transforms[0].transform.rotation)[:, 0], [-1, 0, 0], atol=1e-9)


def test_detections_with_positions_and_quality() -> None:
    values = detections(TWO, stamp=(3, 5), frame_id="camera", heads=[head(), None], quality=True)
    message = sent("vision_msgs/Detection2DArray", values)
    first, second = message.detections
    assert [h.hypothesis.class_id for h in first.results] == ["face", "face_quality"]
    assert first.results[1].hypothesis.score == pytest.approx(0.5)
    pose = first.results[0].pose
    assert (pose.pose.position.x, pose.pose.position.y, pose.pose.position.z) == (0.1, 0.2, 1.5)
    assert pose.pose.orientation.w == 1
    turn = rotation_spread(TWO[0].yaw) ** 2
    np.testing.assert_allclose(np.diag(pose.covariance.reshape(6, 6)), [0.01, 0.02, 0.03, turn, turn, turn])
    assert np.isinf(second.results[0].pose.covariance[0])


def test_messages_for_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    ros_messages.install(monkeypatch)
    message = to_message("hri_msgs/FacialLandmarks", facial_landmarks(TWO[0], HEADER, (640, 480)))
    assert message.landmarks[68].c == pytest.approx(0.9)
    assert message.landmarks[0].c == 0
    assert len(to_message("tf2_msgs/TFMessage", transforms(TWO, [head(), head()], HEADER)).transforms) == 4


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(EdgeFaceError, match=r"nothing_msgs must be importable.*ros-\$ROS_DISTRO-nothing-msgs"):
        message_class("nothing_msgs/IdsList")
    assert quaternion(np.eye(3)) == (0, 0, 0, 1)
