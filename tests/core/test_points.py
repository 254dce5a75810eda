"""The core's crop and decode for the per-face network against NumPy, and against values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core_strategies import Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeface import _core, reference_points
from edgeface.angles import angles_to_rotation
from edgeface.errors import InvalidInputError
from edgeface.turns import turn_matrix, turn_points

MEAN = _core.mean_face().astype(np.float64)
FIVE = np.array([MEAN[36:42].mean(0), MEAN[42:48].mean(0), MEAN[30], MEAN[48], MEAN[54]])
MARGIN = 1.7
WIDTH = 2 * MEAN[16, 0]


def seen(rotation: NDArray[Any], scale: float, at: tuple[float, float]) -> dict[str, NDArray[Any]]:
    """A face of `scale` pixels a metre by weak perspective, its eyes' middle `at`; its box as detectors give it."""
    points = MEAN @ rotation.T * scale + [*at, 0]
    centre = (points.min(0) + points.max(0))[:2] / 2
    half = np.array([0.9, 1.2]) * 1.05 * WIDTH * scale / 2 / np.sqrt(0.9 * 1.2)
    return {
        "landmarks": FIVE @ rotation.T[:, :2] * scale + at,
        "rotation": rotation,
        "box": np.concatenate([centre - half, centre + half]),
        "points": points,
    }


def crop_of(face: dict[str, NDArray[Any]], margin: float = MARGIN) -> tuple[NDArray[np.float64], float]:
    matrices, widths = _core.face_crop(
        face["landmarks"][None], face["rotation"][None], face["box"][None], margin=margin
    )
    return matrices[0], float(widths[0])


def in_crop(crop: NDArray[np.float64], points: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels of the frame in crop sides from the crop's centre."""
    return np.linalg.solve(crop[:, :2], (points[..., :2] - crop[:, 2]).T).T


def test_mean_face_is_in_the_heads_frame() -> None:
    assert MEAN.shape == (68, 3)
    right, left = MEAN[36:42].mean(0), MEAN[42:48].mean(0)
    np.testing.assert_allclose(left - right, [0.063, 0, 0], atol=2e-6)  # x to the person's left
    np.testing.assert_allclose((left + right) / 2, 0, atol=2e-6)
    assert MEAN[8, 1] > MEAN[57, 1] > MEAN[30, 1] > 0  # chin, lip and nose below the eyes
    assert MEAN[30, 2] == MEAN[:, 2].min()  # the nose is nearest to who is looked at
    mirror = MEAN * [-1, 1, 1]
    np.testing.assert_allclose(mirror[:17][::-1], MEAN[:17], atol=1e-6)
    np.testing.assert_allclose(mirror[[45, 44, 43, 42, 47, 46]], MEAN[36:42], atol=1e-6)


@pytest.mark.parametrize("yaw", [-90, -45, 0, 30, 90])
@pytest.mark.parametrize("pitch", [-30, 0, 25])
@pytest.mark.parametrize("roll", [-180, -90, -20, 0, 45, 180])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_crop_of_a_known_head(yaw: float, pitch: float, roll: float, rotation: int) -> None:
    """Whatever the head and the camera's turn do, the crop holds all points, upright, at the size that is known."""
    plain = seen(angles_to_rotation([yaw, pitch, 0]), 1500, (700, 500))
    upright = seen(angles_to_rotation([0, 0, roll]) @ plain["rotation"], 1500, (700, 500))
    back = -rotation % 360
    face = {
        "rotation": turn_matrix(back).astype(np.float64) @ upright["rotation"],
        "landmarks": turn_points(upright["landmarks"], (1400, 1000), back),
        "box": np.zeros(4),
        "points": np.zeros((68, 2)),
    }
    corners = turn_points(upright["box"].reshape(2, 2), (1400, 1000), back)
    face["box"] = np.concatenate([corners.min(0), corners.max(0)])
    face["points"] = turn_points(upright["points"], (1400, 1000), back)
    crop, width = crop_of(face)
    assert width == pytest.approx(WIDTH * 1500, rel=1e-5)
    assert np.hypot(crop[0, 0], crop[1, 0]) == pytest.approx(MARGIN * width, rel=1e-6)
    assert np.linalg.det(crop[:, :2]) > 0  # never mirrored
    inside = in_crop(crop, face["points"])
    assert np.abs(inside).max() < 0.45
    # the same as an upright head of that yaw and pitch gives: roll and the camera's turn are gone
    np.testing.assert_allclose(inside, in_crop(crop_of(plain)[0], plain["points"]), atol=1e-5)
    down = inside[8] - inside[27]  # from the eyes to the chin
    assert down[1] > 0.2


def test_crop_by_hand() -> None:
    crop, width = crop_of(seen(np.eye(3), 1000, (320, 240)))
    assert width == pytest.approx(153.316, abs=1e-3)
    # the centre is 55 mm below the eyes, 1 px a mm
    np.testing.assert_allclose(crop, [[260.6372, 0, 320], [0, 260.6372, 295]], atol=1e-3)


def test_scale_stays_near_the_box() -> None:
    face = seen(np.eye(3), 1000, (320, 240))
    for stretch, expected in ((0.1, 0.6), (0.8, 0.8), (1.4, 1.4), (9.0, 1.6), (-1.0, 0.6)):
        moved = face | {"landmarks": (face["landmarks"] - [320, 240]) * stretch + [320, 240]}
        assert crop_of(moved)[1] == pytest.approx(153.316 * expected, rel=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"box": np.array([10.0, 10, 10, 20])},
        {"box": np.array([0.0, 0, np.nan, 20])},
        {"box": np.array([0.0, 0, 2e6, 20])},
        {"landmarks": np.full((5, 2), np.inf)},
        {"landmarks": np.full((5, 2), -3e6)},
        {"rotation": np.full((3, 3), np.nan)},
    ],
)
def test_no_crop_of_what_is_no_face(change: dict[str, NDArray[Any]]) -> None:
    crop, width = crop_of(seen(np.eye(3), 1000, (320, 240)) | change)
    assert np.isnan(crop).all()
    assert np.isnan(width)


finite = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=200, deadline=None)
@given(st.lists(finite, min_size=10, max_size=10), st.lists(st.floats(-1, 1), min_size=9, max_size=9), st.data())
def test_crop_equals_reference(points: list[float], turn: list[float], data: st.DataObject) -> None:
    landmarks, rotation = np.reshape(points, (5, 2)).astype(np.float32), np.reshape(turn, (3, 3)).astype(np.float32)
    x, y, w, h = (data.draw(st.floats(low, 5e3, width=32)) for low in (-5e3, -5e3, 1, 1))
    box = np.array([x, y, x + w, y + h], np.float32)
    if not (box[2] > box[0] and box[3] > box[1]):
        return
    margin = data.draw(st.floats(0.5, 8, width=32))
    down = np.hypot(rotation[0, 1], rotation[1, 1])
    if abs(down - 0.25) < 1e-6 or (down < 0.25 and np.hypot(rotation[0, 0], rotation[1, 0]) < 1e-5):
        return
    expected, expected_width = reference_points.face_crop(landmarks, rotation, box, margin)
    crops, widths = _core.face_crop(landmarks[None], rotation[None], box[None], margin=margin)
    np.testing.assert_allclose(crops[0], expected, rtol=1e-6, atol=1e-3)
    assert float(widths[0]) == pytest.approx(expected_width, rel=1e-5)


@st.composite
def turned_crops(draw: st.DrawFn, case: Case) -> NDArray[np.float64]:
    """Any square, inside the frame, over its border or far from it."""
    side = draw(st.sampled_from([1.0, 20.0, 2.0 * case.tensor[0], 4.0 * case.tensor[0] + 1e-9, 300.0, 3000.0]))
    side *= draw(st.sampled_from([1.0, 0.37]))
    angle = draw(st.sampled_from([0.0, np.pi / 2, np.pi, 0.3, -2.0]))
    centre = [draw(st.sampled_from([0.5, 0.0, 1.0, 0.3])) * case.width, draw(st.floats(-0.5, 1.5)) * case.height]
    turn = side * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, centre])


@settings(max_examples=300, deadline=None)
@given(cases(), st.data())
def test_pixels_equal_reference(case: Case, data: st.DataObject) -> None:
    crop = data.draw(turned_crops(case))
    side = min(case.tensor[0], 40)
    shape = (1, 3, side, side) if case.options["layout"] == "NCHW" else (1, side, side, 3)
    expected, got = np.full(shape, 77, case.dtype), np.full(shape, 77, case.dtype)
    options = {k: v for k, v in case.options.items() if k not in ("fit", "rotation", "crop", "filter")}
    affine = reference_points.preprocess_face(*case.arguments(expected), crop, **options)
    result = _core.preprocess_face(*case.arguments(got), crop, **options)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(result, affine, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("color", ["rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy"])
@pytest.mark.parametrize("full", [False, True])
def test_beyond_the_frame_is_grey(color: str, full: bool) -> None:
    from core_strategies import plane_shapes

    planes = [np.full(shape, 200, np.uint8) for shape in plane_shapes(color, 8, 8)]
    out = np.zeros((16, 16, 3), np.uint8)
    crop = np.array([[40.0, 0, 500], [0, 40, 4]])
    options = {"layout": "NHWC", "color": "rgb", "range": "full" if full else "limited", "zero_point": 128}
    _core.preprocess_face(planes, color, 8, 8, out, crop, **options)
    assert (out == 128).all()


def test_a_turned_crop_puts_pixels_where_they_belong() -> None:
    """A frame whose red is x and whose green is y: each pixel of the crop says where it was taken."""
    x, y = np.meshgrid(np.arange(200), np.arange(150))
    frame = np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)
    crop = np.array([[0.0, -60, 100], [60, 0, 70]])  # a quarter turn: right in the crop is down in the frame
    out = np.zeros((30, 30, 3), np.uint8)
    options: dict[str, Any] = {"layout": "NHWC", "color": "rgb", "zero_point": 128}
    affine = _core.preprocess_face([frame], "rgb", 200, 150, out, crop, **options)
    u, v = np.meshgrid(np.arange(30) + 0.5, np.arange(30) + 0.5)
    places = np.stack([u, v, np.ones_like(u)], -1) @ affine.T
    np.testing.assert_allclose(out[..., :2], places - 0.5, atol=0.51)  # pixel x has its centre at x + .5


@pytest.mark.parametrize("change", [np.nan, 1e9, "sheared", "mirrored", "nothing"])
def test_refused_crops(change: Any) -> None:
    crop = np.array([[10.0, 0, 5], [0, 10, 5]])
    if change == "sheared":
        crop[0, 1] = 3
    elif change == "mirrored":
        crop[0, 0] = -10
    elif change == "nothing":
        crop[:, :2] = 0
    else:
        crop[1, 2] = change
    with pytest.raises(InvalidInputError, match="crop must be a turn"):
        _core.preprocess_face(
            [np.zeros((8, 8), np.uint8)], "gray", 8, 8, np.zeros((4, 4, 3), np.uint8), crop, layout="NHWC", color="rgb"
        )
    with pytest.raises(InvalidInputError, match="out must be a square"):
        _core.preprocess_face(
            [np.zeros((8, 8), np.uint8)], "gray", 8, 8, np.zeros((4, 5, 3), np.uint8), crop, layout="NHWC", color="rgb"
        )


ROLES = ("points", "depth", "spread", "visible", "state")
LENGTHS = {"points": 136, "depth": 68, "spread": 68, "visible": 68, "state": 9}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_decode_equals_reference(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    roles = data.draw(st.permutations(ROLES))
    outputs, scales, zero_points = [], [], []
    for role in roles:
        dtype = data.draw(st.sampled_from(["int8", "uint8", "float32"]))
        if dtype == "float32":
            q = rng.normal(0, 2, (1, LENGTHS[role])).astype(np.float32)
            if data.draw(st.integers(0, 3)) == 0:
                q[0, ::5] = data.draw(st.sampled_from([1e30, -1e30, 50, np.nan, -np.inf]))
        else:
            info = np.iinfo(dtype)
            q = rng.integers(info.min, info.max + 1, (1, LENGTHS[role])).astype(dtype)
        outputs.append(q)
        scales.append(1.0 if dtype == "float32" else data.draw(st.sampled_from([0.004, 0.05, 1.0])))
        zero_points.append(0 if dtype == "float32" else data.draw(st.integers(-10, 10)))
    crop = data.draw(turned_crops(Case([], "gray", 640, 480, (112, 112), "int8", {})))
    width = float(np.hypot(crop[0, 0], crop[1, 0])) / MARGIN
    expected = reference_points.decode_points(outputs, roles, scales, zero_points, crop, width)
    got = _core.decode_points(outputs, roles, scales, zero_points, crop, width)
    assert (got is None) == (expected is None)
    if got is not None and expected is not None:
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-4)
            assert np.isfinite(a).all()


def test_points_come_back_from_the_crop() -> None:
    """The mean face, seen by a known rotation and written as the network would, is read back."""
    rotation = angles_to_rotation([50, 10, 130])
    face = seen(rotation, 900, (300, 200))
    crop, width = crop_of(face)
    outputs = {
        "points": in_crop(crop, face["points"]).reshape(1, -1),
        "depth": (face["points"][:, 2] - face["points"][:, 2].mean())[None] / (MARGIN * width),
        "spread": np.full((1, 68), np.log(0.01)),
        "visible": np.zeros((1, 68)),
        "state": np.log([[3, 1, 1 / 3, 9, 1, 1, 1, 1, 1 / 9]]),
    }
    tensors = [outputs[role].astype(np.float32) for role in ROLES]
    answer = _core.decode_points(tensors, ROLES, [1.0] * 5, [0] * 5, crop, width)
    assert answer is not None
    points, space, spread, visible, eyes, mouth, cover = answer
    np.testing.assert_allclose(points, face["points"][:, :2], atol=1e-3)
    np.testing.assert_allclose(space, ((MEAN - MEAN.mean(0)) @ rotation.T) / WIDTH, atol=1e-5)
    np.testing.assert_allclose(spread, 0.01 * MARGIN * width, rtol=1e-5)
    np.testing.assert_allclose(visible, 0.5)
    np.testing.assert_allclose(eyes, [0.75, 0.5], rtol=1e-6)
    assert mouth == pytest.approx(0.25)
    np.testing.assert_allclose(cover, [0.9, 0.5, 0.5, 0.5, 0.5, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roles": ["points"] * 5}, "roles must be each once"),
        ({"roles": ["points", "depth", "spread", "visible", "mood"]}, "role must be one of points, depth"),
        ({"face_width": 0.0}, "face_width must be positive"),
        ({"scales": [0.0] * 5}, "scale must be positive"),
        ({"outputs": [np.zeros(3, np.float32)] * 5}, "output 0 must be 136"),
        ({"outputs": [np.zeros(n, np.float64) for n in LENGTHS.values()]}, "output 0 must be int8"),
        ({"outputs": []}, "must be 5 each"),
    ],
)
def test_refused_outputs(change: dict[str, Any], message: str) -> None:
    arguments = {
        "outputs": [np.zeros(n, np.float32) for n in LENGTHS.values()],
        "roles": list(ROLES),
        "scales": [1.0] * 5,
        "zero_points": [0] * 5,
        "crop": np.array([[10.0, 0, 5], [0, 10, 5]]),
        "face_width": 6.0,
    } | change
    with pytest.raises(InvalidInputError, match=message):
        _core.decode_points(**arguments)
