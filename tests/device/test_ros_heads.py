"""Where heads are: against a pinhole camera that sees the mean face."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.heads import FIVE

from edgeface.angles import angles_to_rotation
from edgeface.errors import InvalidInputError
from edgeface.faces import Faces
from edgeface.positions import rotation_spread
from edgeface.ros import Camera, head_positions

SIZE = (640, 480)
MATRIX = np.array([[600.0, 0, 330], [0, 610, 235], [0, 0, 1]])
D = {"plumb_bob": (-0.3, 0.1, 0.001, -0.002, 0.0), "equidistant": (0.05, -0.02, 0.004, 0.0)}
PLACES = [
    ((0.0, 0.0, 1.0), (0, 0, 0)),
    ((0.4, -0.25, 1.2), (30, 10, 5)),
    ((-1.0, 0.3, 2.0), (-70, 0, 0)),
    ((0.1, 0.1, 0.4), (0, -20, 80)),
]


def aimed(place: np.ndarray) -> np.ndarray:
    """(3, 3): the shortest turn of the optical axis to the middle of a face."""
    axis = np.cross([0, 0, 1], place / np.linalg.norm(place))
    angle = np.arcsin(np.linalg.norm(axis))
    return np.eye(3) if angle == 0 else cv2.Rodrigues(axis / np.linalg.norm(axis) * angle)[0]


def seen(
    place: Any,
    angles: Any,
    *,
    size: float = 1.0,
    distortion: tuple[float, ...] = (),
    fisheye: bool = False,
    noise: Any = 0.0,
    turn: Any = None,
) -> Faces:
    """A face of `size` times the mean one, which looks as `angles` say to who looks at it."""
    place = np.asarray(place, float)
    looks = (np.eye(3) if turn is None else turn) @ angles_to_rotation(angles)
    model = size * FIVE
    aim = aimed(place + aimed(place) @ angles_to_rotation(angles) @ model.mean(axis=0))
    points = model @ (aim @ angles_to_rotation(angles)).T + place
    given, zero = np.array(distortion or (0.0,) * 4), np.zeros(3)
    project = cv2.fisheye.projectPoints if fisheye else cv2.projectPoints
    arguments = (points.reshape(-1, 1, 3), zero, zero, MATRIX, given)
    pixels = project(*arguments)[0].reshape(5, 2) + 0.5  # OpenCV counts from a pixel's centre
    side = 0.15 * size * 600 / np.linalg.norm(place)
    pixels = pixels + noise * side
    middle = pixels.mean(axis=0)
    return Faces(
        boxes=[[*(middle - side / 2), *(middle + side / 2)]],
        scores=[0.9],
        landmarks=[pixels],
        rotations=[looks],
        quality=[0.5],
        size=SIZE,
    )


@pytest.mark.parametrize(("place", "angles"), PLACES)
@pytest.mark.parametrize("model", ["none", *D])
def test_a_mean_face_is_where_it_is(place: Any, angles: Any, model: str) -> None:
    distortion = D.get(model, ())
    camera = Camera(MATRIX, distortion, "plumb_bob" if model == "none" else model, SIZE)
    found = head_positions(seen(place, angles, distortion=distortion, fisheye=model == "equidistant"), camera)[0]
    assert found is not None
    np.testing.assert_allclose(found.position, place, rtol=0.01, atol=0.004)
    direction = place / np.linalg.norm(place)
    off = np.degrees(np.arccos(np.clip(found.position @ direction / np.linalg.norm(found.position), -1, 1)))
    assert off < 0.3


def test_distortion_matters() -> None:
    """So that the test above cannot pass without undoing it."""
    place = (0.5, -0.3, 1.0)
    faces = seen(place, (0, 0, 0), distortion=D["plumb_bob"])
    with_it = head_positions(faces, Camera(MATRIX, D["plumb_bob"], "plumb_bob", SIZE))[0]
    without = head_positions(faces, Camera(MATRIX, size=SIZE))[0]
    assert with_it is not None
    assert without is not None
    assert np.linalg.norm(without.position - with_it.position) > 0.03


def test_who_looks_into_the_lens_from_the_edge_looks_along_the_line_of_sight() -> None:
    place = np.array([0.8, 0.0, 1.0])
    found = head_positions(seen(place, (0, 0, 0)), Camera(MATRIX, size=SIZE))[0]
    assert found is not None
    assert np.degrees(np.arccos(found.rotation[:, 2] @ place / np.linalg.norm(place))) < 2.5


def test_the_covariance_is_that_of_the_errors() -> None:
    """Heads of people's sizes, landmarks and rotations as inaccurate as the model card says: the mean of the squared
    error in standard deviations is 3, one for each direction."""
    random = np.random.default_rng(3)
    camera = Camera(MATRIX, size=SIZE)
    for place, angles in PLACES[:3]:
        squares, along = [], []
        spread = rotation_spread(seen(place, angles)[0].yaw)
        for _ in range(400):
            faces = seen(
                place,
                angles,
                size=random.normal(1, 0.059),
                noise=random.normal(0, 0.028, (5, 2)),
                turn=cv2.Rodrigues(random.normal(0, spread, 3))[0],
            )
            found = head_positions(faces, camera)[0]
            assert found is not None
            error = found.position - place
            squares.append(error @ np.linalg.inv(found.covariance) @ error)
            along.append(np.linalg.norm(found.position) / np.linalg.norm(place))
        assert 2.2 < np.mean(squares) < 4
        assert 0.06 < np.std(along) < 0.1


def test_a_turned_camera_has_positions_in_its_own_frame() -> None:
    """The frame is turned by 90 degrees: what the picture shows upright lies on its side in the camera's frame."""
    upright = seen((0.2, -0.1, 1.0), (20, 5, 0))
    width, height = SIZE
    corners = upright.boxes.reshape(-1, 2)
    # of the upright picture back to the frame as given: x' = y, y' = height of the given frame - x
    given = np.stack([corners[:, 1], width - corners[:, 0]], -1)
    turned = Faces(
        boxes=[[*given.min(axis=0), *given.max(axis=0)]],
        scores=[0.9],
        landmarks=np.stack([upright.landmarks[..., 1], width - upright.landmarks[..., 0]], -1),
        rotations=upright.rotations,
        quality=[0.5],
        size=(height, width),
        rotation=90,
    )
    matrix = np.array([[610, 0, 235.0], [0, 600, width - 1 - 330.0], [0, 0, 1]])
    first = head_positions(upright, Camera(MATRIX, size=SIZE))[0]
    second = head_positions(turned, Camera(matrix, size=(height, width)))[0]
    assert first is not None
    assert second is not None
    x, y, z = first.position
    np.testing.assert_allclose(second.position, [y, -x, z], atol=1e-4)
    np.testing.assert_allclose(
        second.rotation, np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ first.rotation, atol=1e-4
    )


def test_points_that_contradict_the_rotation_have_no_place() -> None:
    faces = seen((0, 0, 1.0), (0, 0, 0))
    mirrored = Faces(
        boxes=faces.boxes,
        scores=faces.scores,
        landmarks=2 * faces.landmarks.mean(axis=1, keepdims=True) - faces.landmarks,
        rotations=faces.rotations,
        quality=faces.quality,
        size=SIZE,
    )
    assert head_positions(mirrored, Camera(MATRIX, size=SIZE)) == [None]
    assert head_positions(Faces.empty(SIZE), Camera(MATRIX, size=SIZE)) == []


def info(**changes: Any) -> Any:
    """A ``sensor_msgs/CameraInfo``'s fields."""
    values = {
        "width": 1280,
        "height": 960,
        "distortion_model": "plumb_bob",
        "d": list(D["plumb_bob"]),
        "k": [1200.0, 0, 660, 0, 1220, 470, 0, 0, 1],
        "p": [1100.0, 0, 650, 0, 0, 1110, 480, 0, 0, 0, 1, 0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    }
    return SimpleNamespace(**(values | changes))


def test_camera_info() -> None:
    camera = Camera.from_info(info())
    assert camera.size == (1280, 960)
    assert camera.distortion == D["plumb_bob"]
    np.testing.assert_array_equal(camera.matrix, [[1200, 0, 660], [0, 1220, 470], [0, 0, 1]])
    rectified = Camera.from_info(info(), rectified=True)
    assert rectified.distortion == ()
    np.testing.assert_array_equal(rectified.matrix, [[1100, 0, 650], [0, 1110, 480], [0, 0, 1]])


def test_binning_and_region_of_the_sensor() -> None:
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=800, height=600)
    camera = Camera.from_info(info(binning_x=2, binning_y=2, roi=roi))
    assert camera.size == (400, 300)
    np.testing.assert_array_equal(camera.matrix, [[600, 0, 280], [0, 610, 205], [0, 0, 1]])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": [0.0] * 9}, "camera matrix must be of shape"),
        ({"distortion_model": "thin_prism"}, "distortion model must be one of plumb_bob"),
        ({"d": [0.1] * 3}, "distortion of plumb_bob must be 4 or 5 numbers, but got 3"),
    ],
)
def test_a_calibration_that_cannot_be_used(changes: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Camera.from_info(info(**changes))
