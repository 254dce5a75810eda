import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.tracking.camera import camera_motion, lone_motion, travelled
from edgeface.tracking.jerk import common_shift


def test_a_single_face_shows_the_cameras_motion_if_it_is_wholly_seen() -> None:
    box = np.array([100, 100, 160, 180], np.float32)
    motion = lone_motion(box, box + 9)
    assert motion is not None
    assert motion.at(0, 0) == pytest.approx((9, 9))
    assert lone_motion(box, box * 1.1) is not None  # came nearer
    assert lone_motion(box, box + np.float32([12, 0, 0, 0])) is None  # its left is hidden
    assert travelled(motion, box[None]) == pytest.approx(9 * 2**0.5 / 80)


def test_a_common_shift_is_what_most_predictions_lack() -> None:
    boxes = np.array([[0, 0, 20, 20], [60, 0, 80, 20], [120, 0, 140, 20], [300, 60, 340, 100]], np.float32)
    assert common_shift(boxes, boxes[[3, 1, 0, 2]] + 60) == pytest.approx([60, 60])
    more = np.concatenate([boxes + 60, boxes[:2] + np.float32([9, 200, 9, 200])])
    assert common_shift(boxes, more) == pytest.approx([60, 60])
    assert not common_shift(boxes, boxes + 2).any()  # the predictions hold
    assert not common_shift(boxes, boxes[:3] + 2).any()
    another = boxes[2:3] + np.float32([120, 0, 120, 0])
    assert not common_shift(boxes[[0, 2]], np.concatenate([boxes[2:3], another])).any()  # one holds, one is not found
    assert not common_shift(boxes, boxes * 4 + 60).any()  # of another size
    apart = boxes + np.array([[60], [-60], [200], [0]], np.float32)  # each goes a way of its own
    assert not common_shift(boxes, apart).any()
    assert not common_shift(boxes[:1], boxes[:1] + 60).any()
    assert not common_shift(boxes[:0], boxes).any()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=12, unique=True),
    st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    st.randoms(use_true_random=False),
)
def test_a_common_shift_explains_two_thirds(places: list[tuple[int, int]], way: tuple[float, float], rng) -> None:
    corners = np.array(places, np.float32) * 60
    boxes = np.concatenate([corners, corners + 30], axis=1)
    found = (boxes + np.tile(np.float32(way), 2))[rng.sample(range(len(boxes)), len(boxes))]

    def explained(shift: np.ndarray) -> float:
        moved = boxes[:, :2] + shift
        return float((np.linalg.norm(moved[:, None] - found[None, :, :2], axis=2).min(1) < 9.1).mean())

    assert explained(common_shift(boxes, found)) >= 2 / 3 or explained(np.zeros(2)) > 0.25


def test_camera_motion_is_what_most_faces_do() -> None:
    boxes = np.array([[0, 0, 20, 20], [200, 50, 230, 80], [400, 300, 440, 340], [100, 200, 120, 220]], np.float32)
    moved = boxes * 1.1 + 12
    motion = camera_motion(boxes, moved)
    assert motion is not None
    assert motion.scale == pytest.approx(1.1)
    assert motion.at(100, 50) == pytest.approx((22, 17))
    moved[3] += 60  # one of four walks
    assert camera_motion(boxes, moved).scale == pytest.approx(1.1)
    moved[2] -= 60  # two of four: nobody knows
    assert camera_motion(boxes, moved) is None
    assert camera_motion(boxes[:1], boxes[:1]) is None
