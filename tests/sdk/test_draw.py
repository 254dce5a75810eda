from dataclasses import replace

import numpy as np
import pytest
from support.heads import faces_of

from edgeface.angles import angles_to_rotation
from edgeface.draw import draw_faces
from edgeface.errors import InvalidInputError
from edgeface.faces import Faces
from edgeface.positions import camera_matrix


def one_face(box: list[float], angles: tuple[float, float, float] = (0, 0, 0)) -> Faces:
    x1, y1, x2, y2 = box
    unit = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Faces(
        boxes=np.array([box], np.float32),
        scores=np.array([0.9], np.float32),
        landmarks=(np.array([x1, y1]) + unit * np.array([x2 - x1, y2 - y1]))[None].astype(np.float32),
        rotations=angles_to_rotation([angles]).astype(np.float32),
        quality=np.array([0.5], np.float32),
    )


def test_draws_into_a_copy_or_in_place() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    drawn = draw_faces(image, one_face([50, 50, 150, 150]))
    assert not image.any()
    assert drawn.any()
    assert draw_faces(image, one_face([50, 50, 150, 150]), inplace=True) is image
    np.testing.assert_array_equal(image, drawn)


def test_each_part_can_be_left_out() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    faces = one_face([50, 50, 150, 150], (30, 10, 5))
    off = dict.fromkeys(("boxes", "landmarks", "axes", "labels"), False)
    assert not draw_faces(image, faces, **off).any()
    for part in off:
        assert draw_faces(image, faces, **(off | {part: True})).any(), part


def test_the_box_is_drawn_on_its_edge() -> None:
    drawn = draw_faces(np.zeros((200, 300, 3), np.uint8), one_face([50, 60, 150, 160]), landmarks=False, axes=False)
    rows, columns = np.nonzero(drawn[100:159, :, 1] > 100)
    assert set(columns.tolist()) <= {49, 50, 149, 150}
    assert {49, 149} & set(columns.tolist())
    assert rows.size


def test_the_nose_axis_points_where_the_nose_does() -> None:
    parts = {"boxes": False, "landmarks": False, "labels": False}
    for angles, axis, sign in (((40, 0, 0), 1, -1), ((-40, 0, 0), 1, 1), ((0, 40, 0), 0, -1), ((0, -40, 0), 0, 1)):
        drawn = draw_faces(np.zeros((200, 200, 3), np.uint8), one_face([50, 50, 150, 150], angles), **parts)
        blue = np.argwhere((drawn[..., 0] > 150) & (drawn[..., 2] < 100))
        offset = (blue.mean(axis=0) - np.array([110.0, 100.0]))[axis]  # the mean of the landmarks is (100, 110)
        assert np.sign(offset) == sign
        assert abs(offset) > 10


def test_lines_grow_with_the_picture() -> None:
    small = draw_faces(np.zeros((200, 200, 3), np.uint8), one_face([50, 50, 150, 150]), labels=False)
    large = draw_faces(np.zeros((2000, 2000, 3), np.uint8), one_face([500, 500, 1500, 1500]), labels=False)
    assert (large[1000, 400:600, 1] > 100).sum() >= 3 * (small[100, 40:60, 1] > 100).sum()


@pytest.mark.parametrize(
    "box", [[-500, -500, 5000, 5000], [0, 0, 0, 0], [190, 190, 230, 230], [1e30, 0, 1e31, 5], [float("nan")] * 4]
)
def test_boxes_outside_the_picture(box: list[float]) -> None:
    with np.errstate(all="ignore"):
        drawn = draw_faces(np.zeros((200, 200, 3), np.uint8), one_face(box))
    assert drawn.shape == (200, 200, 3)


def label_of(width: int, track: int | None = None) -> tuple[int, int]:
    """Width and height of the label of a face in a picture of 640x480 that a phone shows in 370 pixels."""
    faces = one_face([300, 200, 300 + width, 200 + width])
    faces = faces if track is None else replace(faces, track_ids=np.array([track]))
    drawn = draw_faces(np.zeros((480, 640, 3), np.uint8), faces, boxes=False, landmarks=False, axes=False)
    rows, columns = np.nonzero(drawn.any(axis=2))
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_labels_are_read_on_a_phone() -> None:
    """A label of 20 pixels has digits of 12, which are 7 of a phone's pixels high."""
    assert label_of(40)[1] >= 15
    assert label_of(150)[1] >= 22
    assert label_of(40, 7)[0] <= 1.5 * 40 < label_of(150, 7)[0], "what has no room is left out"


def test_pictures_of_every_size() -> None:
    for shape in ((1, 1, 3), (1, 300, 3), (300, 1, 3)):
        assert draw_faces(np.zeros(shape, np.uint8), one_face([0, 0, 1, 1])).shape == shape


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32), "picture"])
def test_bad_pictures(image: object) -> None:
    with pytest.raises(InvalidInputError, match="image must be a uint8 array of shape"):
        draw_faces(image, Faces.empty())  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="contiguous and writeable"):
        draw_faces(np.zeros((5, 5, 3), np.uint8)[:, ::-1], Faces.empty(), inplace=True)


def test_points_are_drawn_where_they_are() -> None:
    matrix = camera_matrix((320, 240), 60)
    for rotation in (0, 90):
        faces = faces_of(matrix, [(0, 0, 0.4)], [np.eye(3)], size=(320, 240), rotation=rotation)
        blank = np.zeros((240, 320, 3), np.uint8)
        shown = draw_faces(blank, faces, boxes=False, axes=False, labels=False)
        for x, y in faces.points68[0]:
            assert shown[int(y), int(x)].max() > 60
        ink = np.argwhere(shown.max(2) > 60)[:, ::-1] + 0.5
        nearest = np.linalg.norm(ink[:, None] - faces.points68[0], axis=2).min(1)
        assert nearest.max() < 25  # nothing far from the face
        assert not draw_faces(blank, faces, boxes=False, axes=False, labels=False, landmarks=False, points=False).any()
    hidden = replace(faces, visibility=np.zeros((1, 68)))
    assert (
        0 < np.count_nonzero(draw_faces(blank, hidden, boxes=False, axes=False, labels=False)) < np.count_nonzero(shown)
    )


def test_parts_that_are_not_finite_are_left_out() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    seen = one_face([50, 50, 150, 150])
    for change in ({"landmarks": seen.landmarks * np.nan}, {"rotations": seen.rotations * np.nan}):
        assert draw_faces(picture, replace(seen, **change)).any()
