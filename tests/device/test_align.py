import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.align import ALIGNED_POINTS, align_transform, aligned_crop, face_crop
from edgeface.errors import InvalidInputError
from edgeface.faces import Face
from edgeface.frame import Frame
from edgeface.pixels import to_bgr


@given(st.floats(0.1, 10), st.floats(-3.1, 3.1), st.floats(-500, 500), st.floats(-500, 500))
def test_any_similarity_is_undone(scale: float, turn: float, x: float, y: float) -> None:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    seen = ALIGNED_POINTS @ np.array([[c, -s], [s, c]]).T + [x, y]
    back = align_transform(seen)
    np.testing.assert_allclose(seen @ back[:, :2].T + back[:, 2], ALIGNED_POINTS, atol=1e-6)


def test_other_sizes_scale_along() -> None:
    np.testing.assert_allclose(align_transform(ALIGNED_POINTS, 224), [[2, 0, 0], [0, 2, 0]], atol=1e-9)


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.full((5, 2), np.nan), np.ones((5, 2))])
def test_unusable_landmarks_are_refused(points: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="landmarks must be"):
        align_transform(points)


def picture(size: int = 300) -> np.ndarray:
    """Smooth in x, y and colour, so that a shift of half a pixel shows."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.stack([x / size * 255, y / size * 255, (x + y) / size * 127], -1).round().astype(np.uint8)


def test_the_crop_is_the_picture_at_the_right_place_to_a_fraction_of_a_pixel() -> None:
    image = picture()
    np.testing.assert_array_equal(
        aligned_crop(Frame.from_array(image, "bgr"), ALIGNED_POINTS + np.array([50, 80])), image[80:192, 50:162]
    )


@pytest.mark.parametrize("scale", [0.5, 1.7, 2.5])
def test_the_crop_is_right_when_it_is_scaled_too(scale: float) -> None:
    size, corner = 112 * scale, 10.0
    crop = aligned_crop(Frame.from_array(picture(), "bgr"), ALIGNED_POINTS * scale + corner)
    wanted = (corner + (np.arange(112) + 0.5) * size / 112) / 300 * 255
    inner = slice(2, 110)
    np.testing.assert_allclose(crop[56, inner, 0], wanted[inner], atol=1.6)
    np.testing.assert_allclose(crop[inner, 56, 1], wanted[inner], atol=1.6)


def test_outside_the_frame_it_is_black() -> None:
    frame = Frame.from_array(np.full((100, 100, 3), 200, np.uint8), "bgr")
    crop = aligned_crop(frame, ALIGNED_POINTS + np.array([50, 0]))
    assert (crop[:98, :48] == 200).all()
    assert (crop[:, 52:] == 0).all()
    assert (aligned_crop(frame, ALIGNED_POINTS + np.array([500, 0])) == 0).all()


def test_formats_give_the_same_crop() -> None:
    grey = np.tile(np.linspace(40, 200, 300).astype(np.uint8), (300, 1))
    nv12 = np.concatenate([grey, np.full((150, 300), 128, np.uint8)])
    points = ALIGNED_POINTS * 1.5 + np.array([60, 40])
    a = aligned_crop(Frame.from_array(grey, "gray"), points)
    b = aligned_crop(Frame.from_array(nv12, "nv12", range="full"), points)
    np.testing.assert_allclose(a.astype(int), b, atol=2)


def face(box: list[float]) -> Face:
    return Face(np.array(box, np.float32), 0.9, np.zeros((5, 2), np.float32), np.eye(3, dtype=np.float32), 0.5)


def test_plain_crops_have_a_margin_and_stay_inside() -> None:
    frame = Frame.from_array(picture(), "bgr")
    assert face_crop(frame, face([100, 100, 200, 150]), margin=0.1).shape == (60, 120, 3)
    assert face_crop(frame, face([-50, -50, 50, 50]), margin=0).shape == (50, 50, 3)
    assert face_crop(frame, face([100, 100, 200, 200]), margin=0, max_side=40).shape == (40, 40, 3)
    assert face_crop(frame, face([400, 400, 500, 500])).shape == (0, 0, 3)
    assert face_crop(frame, face([np.nan, 0, 5, 5])).shape == (0, 0, 3)
    np.testing.assert_array_equal(
        face_crop(frame, face([100, 100, 200, 150]), margin=0), frame.planes[0][100:150, 100:200]
    )


def test_a_frame_becomes_a_picture_of_the_wanted_size() -> None:
    frame = Frame.from_array(picture(), "bgr")
    np.testing.assert_array_equal(to_bgr(frame), frame.planes[0])
    assert to_bgr(frame, size=(30, 20)).shape == (20, 30, 3)
    rgb = Frame.from_array(picture()[..., ::-1], "rgb")
    np.testing.assert_array_equal(to_bgr(rgb), frame.planes[0])
    with pytest.raises(InvalidInputError, match="roi must be"):
        to_bgr(frame, roi=(0, 0, 400, 10))
    with pytest.raises(InvalidInputError, match="size must be"):
        to_bgr(frame, size=(0, 10))


def test_points_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="places too far apart"):
        align_transform(ALIGNED_POINTS * 1e200)
