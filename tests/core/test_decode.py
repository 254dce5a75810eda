"""The core's decode against the NumPy reference, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from core_strategies import Heads, heads
from hypothesis import given, settings

from edgeface import _core, reference
from edgeface.errors import InvalidInputError


@settings(max_examples=300, deadline=None)
@given(heads())
def test_equals_reference(case: Heads) -> None:
    expected = reference.decode(*case.arguments, **case.options)
    got = _core.decode(*case.arguments, **case.options)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-5)


@settings(max_examples=50, deadline=None)
@given(heads())
def test_strided_outputs_are_read_in_place(case: Heads) -> None:
    outputs, *rest = case.arguments
    wide = [np.repeat(o, 2, axis=-1)[..., ::2] for o in outputs]
    upside_down = [np.ascontiguousarray(o[..., ::-1])[..., ::-1] for o in outputs]
    for variant in (wide, upside_down):
        for a, b in zip(
            _core.decode(variant, *rest, **case.options), _core.decode(outputs, *rest, **case.options), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=100, deadline=None)
@given(heads())
def test_rotations_are_rotations(case: Heads) -> None:
    _, scores, _, rotations, quality = _core.decode(*case.arguments, **case.options)
    identity = np.broadcast_to(np.eye(3), rotations.shape)
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), identity, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), np.ones(len(rotations)), atol=1e-5)
    assert (scores >= np.float32(case.options["min_score"])).all()
    assert (np.diff(scores) <= 0).all()
    assert ((quality >= 0) & (quality <= 1)).all()


def one_face(**changes: Any) -> tuple[np.ndarray, ...]:
    """A single cell of stride 16 that holds a face, with some arguments changed."""
    head = np.zeros((1, 2, 2, 22), np.float32)
    head[..., 0] = -9
    head[0, 1, 0] = [3, 0, 0.5, 0, 0, np.log(2), *[0] * 10, 1, 0, 0, 0, 1, 0]
    arguments = {
        "outputs": [head],
        "strides": [16],
        "layouts": ["NHWC"],
        "scales": [1.0],
        "zero_points": [0],
        "channel_scales": [np.ones(22, np.float32)],
        "transform": np.array([[1.0, 0, 0], [0, 1.0, 0]]),
        "min_score": 0.5,
        "nms_iou": 0.5,
    }
    return _core.decode(**{**arguments, **changes})


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def agreed(own: float, *others: float) -> float:
    """The score of a face whose best cell says ``own``: its odds times the root of half the sum of all scores there."""
    odds = own / (1 - own) * np.sqrt((own + sum(others)) / 2)
    return float(odds / (1 + odds))


def test_one_face_by_hand() -> None:
    boxes, scores, landmarks, rotations, quality = one_face()
    # cell centre (8, 24); the box lies half a stride to the right, 16 wide and 32 high
    np.testing.assert_allclose(boxes, [[8, 8, 24, 40]])
    np.testing.assert_allclose(scores, [agreed(sigmoid(3))], rtol=1e-6)
    np.testing.assert_allclose(landmarks, np.full((1, 5, 2), [8, 24]))
    np.testing.assert_array_equal(rotations, [np.eye(3)])
    np.testing.assert_array_equal(quality, [0.5])


def two_cells(quality: float, away: float = 0.0) -> np.ndarray:
    """The head of `one_face` with a second cell, to the right, that says the same box but for ``away`` pixels, other
    landmarks (by 16 pixels, the cells' distance), a head turned by 90 degrees and a logit of ``quality``.
    """
    head = np.zeros((1, 2, 2, 22), np.float32)
    head[..., 0] = -9
    head[0, 1, 0] = [3, 0, 0.5, 0, 0, np.log(2), *[0] * 10, 1, 0, 0, 0, 1, 0]
    head[0, 1, 1] = [1, quality, -0.5 + away / 16, 0, 0, np.log(2), *[0] * 10, 0, 0, -1, 0, 1, 0]
    return head


def test_neighbours_that_say_the_same_box_have_a_say_in_the_rest() -> None:
    boxes, scores, landmarks, rotations, quality = one_face(outputs=[two_cells(quality=2.0)])
    best, other = sigmoid(3), sigmoid(1)
    weight = (other / best) ** 3
    share = weight / (1 + weight)
    np.testing.assert_allclose(boxes, [[8, 8, 24, 40]])
    np.testing.assert_allclose(scores, [agreed(best, other)], rtol=1e-6)
    np.testing.assert_allclose(landmarks, np.tile([8 + 16 * share, 24], (1, 5, 1)), rtol=1e-6)
    angle = np.arctan2(share, 1 - share)  # of the mean of (1, 0, 0) and (0, 0, -1)
    turned = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    np.testing.assert_allclose(rotations[0], turned, atol=1e-6)
    np.testing.assert_allclose(quality, [(1 - share) / 2 + share / (1 + np.exp(-2))], rtol=1e-6)


def test_near_boxes_have_a_say_in_the_box_alone() -> None:
    """Three of sixteen pixels apart the IoU is .68: above .6, not above .75."""
    boxes, scores, *rest = one_face(outputs=[two_cells(2.0, away=3)])
    share = sigmoid(1) / (sigmoid(3) + sigmoid(1))
    np.testing.assert_allclose(boxes, [[8 + 3 * share, 8, 24 + 3 * share, 40]], rtol=1e-6)
    np.testing.assert_allclose(scores, [agreed(sigmoid(3), sigmoid(1))], rtol=1e-6)
    for a, b in zip(rest, one_face()[2:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_cells_of_a_finer_stride_have_no_say_in_the_box() -> None:
    """One of stride 8, whose box of 15x30 pixels has an IoU of .88 with that of stride 16, has one in all else."""
    best = row_of(3.0)
    best[0, 0, 0, 4:6] = 0, np.log(2)
    finer = np.zeros((1, 1, 1, 22), np.float32)
    finer[0, 0, 0] = [1, 2.0, 0.5, 0.5, np.log(15 / 8), np.log(30 / 8), *[0] * 10, 1, 0, 0, 0, 1, 0]
    both = {"strides": [16, 8], "layouts": ["NHWC"] * 2, "scales": [1.0] * 2, "zero_points": [0] * 2}
    both["channel_scales"] = [np.ones(22, np.float32)] * 2
    boxes, scores, _, _, quality = one_face(outputs=[best, finer], **both)
    np.testing.assert_allclose(boxes, [[0, -8, 16, 24]])
    np.testing.assert_allclose(scores, [agreed(sigmoid(3), sigmoid(1))], rtol=1e-6)
    assert quality[0] > 0.5

    best[..., 0], finer[..., 0] = 1, 3  # the other way round the coarser cell has its say
    boxes, *_ = one_face(outputs=[best, finer], **both)
    share = sigmoid(1) / (sigmoid(3) + sigmoid(1))
    small, large = np.array([[0.5, -7, 15.5, 23]]), np.array([[0, -8, 16, 24]])
    np.testing.assert_allclose(boxes, small + (large - small) * share, rtol=1e-6)


def test_what_goes_next_is_told_by_the_mean_box() -> None:
    """Boxes at 0, 3 and 7 of 16 pixels: the last has an IoU of .39 with the first, of .49 with their mean."""
    head = row_of(2.0, 1.9, 1.8)
    head[0, 0, :, 2] += [0, 3 / 16, 7 / 16]
    assert len(one_face(outputs=[head[:, :, [0, 2]]], nms_iou=0.45)[0]) == 2
    boxes, scores, *_ = one_face(outputs=[head], nms_iou=0.45)
    a, b, c = (sigmoid(v) for v in (2.0, 1.9, 1.8))
    np.testing.assert_allclose(scores, [agreed(a, b, c)], rtol=1e-6)
    np.testing.assert_allclose(boxes[:, 0], [3 * b / (a + b)], rtol=1e-5)


def test_boxes_that_only_overlap_have_no_say() -> None:
    """Six of sixteen pixels apart the IoU is .45: suppressed at .4, but another face's box; at .5 a face of its own."""
    alone = one_face()
    together = one_face(outputs=[two_cells(2.0, away=6)], nms_iou=0.4)
    for i, (a, b) in enumerate(zip(together, alone, strict=True)):
        if i != 1:
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(together[1], [agreed(sigmoid(3), sigmoid(1))], rtol=1e-6)  # but it is a face's
    assert len(one_face(outputs=[two_cells(2.0, away=6)])[0]) == 2


def row_of(*logits: float) -> np.ndarray:
    """A row of cells of stride 16 that all say the same box, in the middle of the first."""
    head = np.zeros((1, 1, len(logits), 22), np.float32)
    head[0, 0, :, 0] = logits
    head[0, 0, :, 2] = -np.arange(len(logits))
    head[0, 0, :, 16], head[0, 0, :, 20] = 1, 1
    return head


def test_a_face_that_many_cells_see_comes_before_one_that_a_single_cell_is_surer_of() -> None:
    many = row_of(1.0, 0.9, 0.8, 0.7)
    single = np.zeros((1, 1, 1, 22), np.float32)
    single[..., [0, 2, 16, 20]] = 1.2, 9.0, 1, 1
    both = {"strides": [16, 32], "layouts": ["NHWC"] * 2, "scales": [1.0] * 2, "zero_points": [0] * 2}
    both["channel_scales"] = [np.ones(22, np.float32)] * 2
    boxes, scores, *_ = one_face(outputs=[many, single], **both)
    wanted = [agreed(*(sigmoid(v) for v in (1.0, 0.9, 0.8, 0.7))), agreed(sigmoid(1.2))]
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)
    assert scores[0] > scores[1]
    assert boxes[0, 0] < boxes[1, 0]


@pytest.mark.parametrize("min_score", [0.02, 0.5])
def test_what_hardly_any_cell_says_counts_for_nothing(min_score: float) -> None:
    """At .05 another cell is no support, also where it would be a face; at .2 it is, though it could never be one."""
    unheard, heard = (float(np.log(p / (1 - p))) for p in (0.05, 0.2))
    scores = [one_face(outputs=[row_of(2.0, v)], min_score=min_score)[1] for v in (unheard, heard)]
    np.testing.assert_allclose(scores[0], [agreed(sigmoid(2))], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [agreed(sigmoid(2), 0.2)], rtol=1e-6)


def test_the_threshold_is_for_what_all_cells_say() -> None:
    lone = sigmoid(0.3)  # .574 by itself
    assert agreed(lone) < 0.5 < agreed(lone, lone, lone)
    assert len(one_face(outputs=[row_of(0.3)])[1]) == 0
    assert len(one_face(outputs=[row_of(0.3, 0.3, 0.3)])[1]) == 1
    assert len(one_face(outputs=[row_of(*[-0.1] * 6)])[1]) == 1  # none of them is .5


@settings(max_examples=100, deadline=None)
@given(heads())
def test_with_room_for_fewer_faces_those_are_as_they_were(case: Heads) -> None:
    """What a neighbour says of a face counts whether or not there is room for the faces in between."""
    all_faces = _core.decode(*case.arguments, **{**case.options, "max_faces": 2000})
    few = _core.decode(*case.arguments, **case.options)
    assert len(few[0]) <= min(len(all_faces[0]), case.options["max_faces"])

    def rows(faces: Any) -> list[bytes]:
        return [b"".join(part[i].tobytes() for part in faces) for i in range(len(faces[0]))]

    known = rows(all_faces)
    assert all(row in known for row in rows(few))


MANY = {
    "as large as their cells": lambda a, rng: None,
    "larger than their cells": lambda a, rng: a[..., 4:6].fill(np.log(3)),
    "of all sizes": lambda a, rng: a.__setitem__(
        (..., slice(2, 6)), rng.normal([0, 0, -1, -1], [5, 5, 1.5, 1.5], (*a.shape[:2], 4))
    ),
    "far away": lambda a, rng: a.__setitem__((..., slice(2, 4)), rng.normal(0, 1000, (*a.shape[:2], 2))),
    "much smaller than their cells": lambda a, rng: a[..., 4:6].fill(-6),
    "without area": lambda a, rng: a[..., 4:6].fill(-80),
    "one of them huge": lambda a, rng: a[0, 0].__setitem__([0, 4, 5], [9, 6, 6]),
    "the last the best": lambda a, rng: a[-1, -1].__setitem__(0, 8),
    "in groups": lambda a, rng: a.__setitem__(
        (..., slice(2, 4)), np.mgrid[: a.shape[0], : a.shape[1]].T[..., ::1] % 3 * -0.9
    ),
}


def crowd(cells: int, kind: str) -> np.ndarray:
    """(1, cells, cells, 22): a face in every cell."""
    head, rng = np.zeros((1, cells, cells, 22), np.float32), np.random.default_rng(0)
    head[..., [16, 20]] = 1
    head[..., 0] = 3 if kind in ("as large as their cells", "the last the best") else rng.normal(3, 1, head.shape[:3])
    MANY[kind](head[0], rng)
    return head


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("nms_iou", [0.0, 0.05, 0.45, 0.9, 1.0])
def test_many_faces_equal_the_reference(kind: str, nms_iou: float) -> None:
    """More than are looked through one by one: found by where they are."""
    head, scales = crowd(24, kind), [np.ones(22, np.float32)]
    options = {"min_score": 0.3, "nms_iou": nms_iou, "max_faces": 65536}
    arguments = ([head], [8], ["NHWC"], [1.0], [0], scales, np.array([[1.5, 0, 3], [0, 2.0, -1]]))
    expected, got = reference.decode(*arguments, **options), _core.decode(*arguments, **options)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3)
    assert len(got[0]) > 70 or kind == "without area" or nms_iou < 0.5


@pytest.mark.parametrize("kind", MANY)
@pytest.mark.parametrize("nms_iou", [0.0, 0.45, 1.0])
def test_the_time_of_suppression_is_not_quadratic(kind: str, nms_iou: float) -> None:
    """65,536 faces, which took 9 s and more."""
    head = crowd(256, kind)
    started = time.process_time()
    one_face(outputs=[head], strides=[8], min_score=0.3, nms_iou=nms_iou, max_faces=65536)
    assert time.process_time() - started < 4


HUGE = [3e38, -3e38, 1e38, float("inf"), float("-inf"), float("nan"), 1e30, -1e30]


@pytest.mark.parametrize("channel", range(22))
@pytest.mark.parametrize("value", HUGE)
def test_what_leaves_is_finite(channel: int, value: float) -> None:
    head = np.zeros((1, 4, 4, 22), np.float32)
    head[..., [16, 20]] = 1
    head[..., 0] = -9
    head[0, 1, 1, 0] = head[0, 3, 3, 0] = 3
    head[0, 1, 1, channel] = value
    for transform in ([[2, 0, 1], [0, 2, 1]], [[0, 1e30, 0], [-1e30, 0, 0]]):
        faces = one_face(outputs=[head], strides=[8], transform=np.array(transform, float), min_score=0.3)
        expected = reference.decode(
            [head],
            [8],
            ["NHWC"],
            [1.0],
            [0],
            [np.ones(22, np.float32)],
            np.array(transform, float),
            min_score=0.3,
            nms_iou=0.5,
        )
        for part, wanted in zip(faces, expected, strict=True):
            assert np.isfinite(part).all()
            np.testing.assert_allclose(part, wanted, rtol=1e-5, atol=1e-3)
        assert len(faces[0]) in (1, 2)


@pytest.mark.parametrize("scale", [1e37, 1e38, 1e300])
def test_what_the_transform_leads_out_of_range_is_no_face(scale: float) -> None:
    faces = one_face(transform=np.array([[scale, 0, 0], [0, scale, 0]]))
    assert len(faces[0]) == 0


def test_steps_that_lead_out_of_memory_are_refused() -> None:
    head = np.zeros((1, 4, 4, 22), np.float32)
    strange = np.lib.stride_tricks.as_strided(head, head.shape, (0, 2**62, 88, 4))
    with pytest.raises(InvalidInputError, match="strides must be such that all of the array lies in memory"):
        one_face(outputs=[strange])
    frame = np.lib.stride_tricks.as_strided(np.zeros((4, 4), np.uint8), (4, 4), (2**62, 1))
    with pytest.raises(InvalidInputError, match="strides must be such that all of the array lies in memory"):
        _core.preprocess([frame], "gray", 4, 4, np.zeros((4, 4, 3), np.uint8), layout="NHWC", color="rgb")


@pytest.mark.parametrize("name", ["foo", "neon" if "avx2" in _core.available_isas() else "avx2", "SCALAR"])
def test_an_instruction_set_that_is_none_is_named(name: str) -> None:
    code = (
        "import numpy as np\nfrom edgeface import _core\nfrom edgeface.errors import InvalidInputError\n"
        "try: _core.preprocess([np.zeros((4, 4), np.uint8)], 'gray', 4, 4, np.zeros((4, 4, 3), np.uint8), "
        "layout='NHWC', color='rgb')\n"
        "except InvalidInputError as error: print(error)"
    )
    environment = {**os.environ, "EDGEFACE_ISA": name}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("EDGEFACE_ISA must be one that this CPU and this build have (scalar")
    assert done.stdout.endswith(f"but got '{name}'\n")


def test_turned_camera() -> None:
    # A frame 40 high that must be turned clockwise by 90 degrees: tensor (x, y) was frame (y, 40 - x).
    boxes, _, _, rotations, _ = one_face(transform=np.array([[0, 1.0, 0], [-1.0, 0, 40]]))
    np.testing.assert_allclose(boxes, [[8, 16, 40, 32]])
    # The head's x axis pointed right in the upright picture, which is up in the frame.
    np.testing.assert_array_equal(rotations[0], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])


def test_no_face_is_shaped() -> None:
    shapes = [a.shape for a in one_face(min_score=0.99)]
    assert shapes == [(0, 4), (0,), (0, 5, 2), (0, 3, 3), (0,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": []}, "outputs must be 1 to 8 arrays"),
        ({"outputs": [np.zeros((1, 2, 2, 21), np.float32)]}, "output 0 must be of shape"),
        ({"outputs": [np.zeros((1, 2, 2, 22))]}, "output 0 must be int8, uint8 or float32"),
        ({"outputs": [np.zeros((2, 2, 2, 22), np.float32)]}, "output 0 must be of shape"),
        ({"outputs": [np.zeros((1, 0, 2, 22), np.float32)]}, "output 0 must be 1 to 16384 cells"),
        ({"outputs": ["face"]}, "output 0 must be a NumPy array, but got str"),
        ({"layouts": ["CHW"]}, "layout"),
        ({"strides": [0]}, "stride must be"),
        ({"strides": [8, 16]}, "strides must be as many as the outputs"),
        ({"scales": [0.0]}, "scale must be positive"),
        ({"scales": [np.nan]}, "scale must be positive"),
        ({"channel_scales": [np.ones(3, np.float32)]}, "channel_scales must be 22 numbers"),
        ({"channel_scales": [-np.ones(22, np.float32)]}, "channel_scales must be positive"),
        ({"transform": np.eye(3)}, "transform must be a 2x3 array"),
        ({"transform": np.array([[1.0, 0.5, 0], [0, 1, 0]])}, "transform must be scales and a turn"),
        ({"transform": np.array([[-1.0, 0, 0], [0, 1, 0]])}, "transform must be scales and a turn"),
        ({"transform": np.full((2, 3), np.nan)}, "transform must be scales and a turn"),
        ({"min_score": 0.0}, "min_score must be between 0 and 1"),
        ({"min_score": np.nan}, "min_score must be between 0 and 1"),
        ({"nms_iou": 1.5}, "nms_iou must be 0 to 1"),
        ({"max_faces": 0}, "max_faces must be"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        one_face(**changes)
