from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.heads import faces_of
from support.moving import SIZE, Person, faces

from edgeface.align import ALIGNED_POINTS
from edgeface.angles import angles_to_rotation
from edgeface.capture import GuidedCapture
from edgeface.errors import InvalidInputError
from edgeface.faces import COVER_NAMES, Faces
from edgeface.frame import Frame
from edgeface.gate import PRESETS, QualityGate, Reason
from edgeface.iso import quality_components
from edgeface.tracking import Tracker


def reasons(gate: QualityGate, seen: Faces, frame: Frame | None = None) -> list[tuple[str, ...]]:
    return [tuple(map(str, report.reasons)) for report in gate.check(seen, frame)]


GOOD = Person(300, 240, 120, quality=0.9)


@pytest.mark.parametrize(
    ("change", "gate", "expected"),
    [
        ({"score": 0.4}, QualityGate(min_score=0.5), "low_score"),
        ({"quality": 0.3}, QualityGate(min_quality=0.5), "low_quality"),
        ({"size": 40}, QualityGate(min_size=48), "too_small"),
        ({"yaw": 50}, QualityGate(max_yaw=45), "yaw"),
        ({"yaw": -50}, QualityGate(max_yaw=45), "yaw"),
        ({"x": 20}, QualityGate(max_cut=0.2), "cut_off"),
        ({"y": 470}, QualityGate(max_cut=0.2), "cut_off"),
    ],
)
def test_each_reason(change: dict[str, float], gate: QualityGate, expected: str) -> None:
    good = faces([GOOD])
    assert reasons(gate, good) == [()]
    assert reasons(gate, faces([replace(GOOD, **change)])) == [(expected,)]


@pytest.mark.parametrize(("angles", "expected"), [((0, 40, 0), "pitch"), ((0, -40, 0), "pitch"), ((0, 0, 40), "roll")])
def test_pitch_and_roll(angles: tuple[float, float, float], expected: str) -> None:
    seen = replace(faces([GOOD]), rotations=angles_to_rotation([angles]))
    assert reasons(QualityGate(max_pitch=30, max_roll=30), seen) == [(expected,)]


def test_several_faces_are_refused_where_one_is_wanted() -> None:
    gate = QualityGate(single=True)
    assert reasons(gate, faces([GOOD])) == [()]
    assert reasons(gate, faces([GOOD, replace(GOOD, x=500)])) == [("several_faces",)] * 2


def test_all_reasons_are_given_and_in_order() -> None:
    bad = faces([Person(2, 240, 20, yaw=80, score=0.2, quality=0.1)])
    assert reasons(QualityGate(), bad) == [("low_score", "low_quality", "too_small", "yaw", "cut_off")]


def test_none_switches_a_test_off_and_nan_never_passes() -> None:
    off = QualityGate(None, None, None, None, None, None, None)
    assert reasons(off, faces([Person(10, 240, 20, yaw=80, score=0.2, quality=0.1)])) == [()]
    assert reasons(QualityGate(), replace(faces([GOOD]), quality=np.array([np.nan]))) == [("low_quality",)]


def test_it_is_a_filter() -> None:
    seen = faces([GOOD, replace(GOOD, x=500, quality=0.1)])
    assert len(seen.filter(QualityGate())) == 1
    assert len(Faces.empty().filter(QualityGate())) == 0
    assert QualityGate()(seen).dtype == np.bool_


def textured(seed: int = 0) -> np.ndarray:
    """A patch with the light and the fine detail of a well taken face."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(70, 190, (8, 8)).astype(np.float32), (112, 112), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + rng.normal(0, 6, (112, 112)), 0, 255)


def framed(patch: np.ndarray) -> tuple[Faces, Frame]:
    """A frame in which the aligned crop of the only face is this patch."""
    image = np.full((SIZE[1], SIZE[0]), 128, np.uint8)
    image[100:212, 200:312] = patch.astype(np.uint8)
    seen = faces([Person(256, 156, 110, quality=0.9)])
    return replace(seen, landmarks=(ALIGNED_POINTS + np.array([200, 100]))[None].astype(np.float32)), Frame.from_array(
        image, "gray"
    )


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: p, ()),
        (lambda p: cv2.GaussianBlur(p, (0, 0), 4), ("blurred",)),
        (lambda p: p * 0.15, ("too_dark",)),
        (lambda p: np.minimum(255, p * 0.3 + 210), ("too_bright",)),
        (lambda p: 128 + 0.08 * (p - 128), ("low_contrast",)),
    ],
)
def test_light_and_sharpness_need_the_frame(spoil, expected: tuple[str, ...]) -> None:
    seen, frame = framed(spoil(textured()))
    assert reasons(QualityGate(), seen) == [()]
    assert reasons(QualityGate(), seen, frame) == [expected]
    assert len(seen.filter(QualityGate().on(frame))) == (not expected)


def test_what_nothing_else_explains_is_occlusion() -> None:
    seen, frame = framed(textured())
    gate = QualityGate(min_quality=0.3, occlusion_quality=0.5)
    low = replace(seen, quality=np.array([0.4], np.float32))
    assert reasons(gate, seen, frame) == [()]
    assert reasons(gate, low, frame) == [("occluded",)]
    _, dark = framed(textured() * 0.15)
    assert reasons(gate, low, dark) == [("too_dark",)]


def test_the_numbers_behind_it_are_given() -> None:
    seen, frame = framed(textured())
    measures = QualityGate().check(seen, frame)[0].measures
    assert measures["size"] == 110
    assert measures["brightness"] == pytest.approx(float(frame.planes[0][130:204, 222:290].mean()), abs=1)


def test_unusable_landmarks_do_no_harm() -> None:
    seen, frame = framed(textured())
    assert reasons(QualityGate(), replace(seen, landmarks=np.zeros((1, 5, 2))), frame) == [()]


def test_presets_grow_stricter_with_what_is_at_stake() -> None:
    enrol, verify, attention = (QualityGate.preset(name) for name in ("enrol", "verify", "attention"))
    for name in ("max_yaw", "max_pitch", "max_roll", "max_cut", "max_dark", "max_bright"):
        assert getattr(enrol, name) < getattr(verify, name)
    for name in ("min_size", "min_quality", "min_sharpness", "min_score"):
        assert getattr(enrol, name) > getattr(verify, name)
    assert enrol.single
    turned = faces([Person(300, 240, 60, yaw=80, quality=0.1)])
    assert reasons(attention, turned) == [()]
    assert set(PRESETS) == {"enrol", "verify", "attention"}
    assert QualityGate.preset("verify", min_size=10).min_size == 10
    with pytest.raises(InvalidInputError, match="preset must be one of enrol, verify, attention"):
        QualityGate.preset("strict")


@pytest.mark.parametrize(
    ("name", "value"), [("min_score", 1.5), ("max_yaw", -1), ("min_size", "big"), ("max_cut", float("nan"))]
)
def test_bad_thresholds_are_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} must be"):
        QualityGate(**{name: value})


def described(**change: object) -> Faces:
    """A face that is open-eyed, shut-mouthed and bare, seen from the front."""
    from edgeface import camera_matrix

    extra = {"quality": np.array([0.9]), "size": (1280, 720), "rotations": np.eye(3)[None]} | change
    return faces_of(camera_matrix((1280, 720), 70), [(0, 0, 0.6)], [np.eye(3)], **extra)


def cover_of(**probabilities: float) -> np.ndarray:
    return np.array([[probabilities.get(name, 0.0) for name in COVER_NAMES]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"eyes_open": np.array([[0.9, 0.1]])}, "eyes_closed"),
        ({"mouth_open": np.array([0.8])}, "mouth_open"),
        ({"cover": cover_of(mask=0.9)}, "occluded"),
        ({"cover": cover_of(eyes=0.9)}, "occluded"),
        ({"cover": cover_of(nose=0.9)}, "occluded"),
        ({"visibility": np.r_[np.ones(34), np.zeros(34)][None]}, "occluded"),
        ({"cover": cover_of(glasses=0.9)}, "glasses"),
        ({"cover": cover_of(sunglasses=0.9)}, "sunglasses"),
    ],
)
def test_reasons_of_described_faces(change: dict[str, np.ndarray], expected: str) -> None:
    gate = QualityGate(min_eyes_open=0.5, max_mouth_open=0.5, max_glasses=0.5, max_sunglasses=0.5)
    assert reasons(gate, described()) == [()]
    assert reasons(gate, described(**change)) == [(expected,)]
    off = QualityGate(max_cover=None, min_visible=None)
    assert reasons(off, described(**change)) == [()]


@pytest.mark.parametrize(
    ("preset", "openness", "expected"),
    [
        ("enrol", 0.1, ("eyes_closed",)),
        ("enrol", 0.4, ("eyes_closed",)),
        ("enrol", 0.6, ()),
        ("verify", 0.1, ("eyes_closed",)),
        ("verify", 0.4, ()),
        ("attention", 0.1, ()),
    ],
)
def test_presets_that_compare_faces_ask_for_open_eyes(preset: str, openness: float, expected: tuple[str, ...]) -> None:
    face = described(eyes_open=np.array([[0.9, openness]]))
    assert reasons(QualityGate.preset(preset), face) == [expected]


def test_a_turned_head_hides_its_own_points() -> None:
    half = {"visibility": np.r_[np.ones(34), np.zeros(34)][None]}
    assert reasons(QualityGate(), described(**half)) == [("occluded",)]
    assert reasons(QualityGate(), described(**half, rotations=angles_to_rotation([[60, 0, 0]]))) == [()]


def test_what_the_network_says_comes_before_a_guess() -> None:
    seen, frame = framed(textured())
    low = replace(seen, quality=np.array([0.4], np.float32))
    gate = QualityGate(min_quality=0.3)
    assert reasons(gate, low, frame) == [("occluded",)]
    bare = described(landmarks=low.landmarks, boxes=low.boxes, quality=low.quality, size=low.size)
    assert reasons(gate, bare, frame) == [()]
    masked = replace(bare, cover=cover_of(mask=0.8))
    assert reasons(gate, masked, frame) == [("occluded",)]
    assert gate.check(masked, frame)[0].measures["cover"] == pytest.approx(0.8)


def test_every_reason_has_advice_and_most_an_iso_term() -> None:
    assert all(reason.advice for reason in Reason)
    assert [reason for reason in Reason if reason.iso is None] == [Reason.LOW_SCORE]


def test_pixels_of_another_frame_are_not_measured() -> None:
    seen = faces([GOOD])
    small = Frame.from_array(np.zeros((SIZE[1] // 2, SIZE[0] // 2), np.uint8), "gray")
    for judge in (
        lambda: QualityGate().check(seen, small),
        lambda: seen.filter(QualityGate().on(small)),
        lambda: quality_components(seen, small),
        lambda: GuidedCapture().update(seen, small),
        lambda: Tracker().update(seen, small),
    ):
        with pytest.raises(InvalidInputError, match="frame must be the one of 640x480 that the faces were found in"):
            judge()
    assert QualityGate().check(replace(seen, size=(0, 0)), small)  # of faces whose frame is not known


def test_single_is_true_or_false() -> None:
    with pytest.raises(InvalidInputError, match="single must be True or False, but got 'no'"):
        QualityGate(single="no")  # type: ignore[arg-type]
