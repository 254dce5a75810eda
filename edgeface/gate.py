"""Quality gate: which faces are worth working with, and what is wrong with the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface._compat import StrEnum
from edgeface.appearance import measure_appearance
from edgeface.errors import must_be
from edgeface.faces import COVER_NAMES, Face, Faces
from edgeface.frame import Frame, as_frame, check_found_in
from edgeface.numerals import is_number

if TYPE_CHECKING:
    from typing import Self

__all__ = ["PRESETS", "GateReport", "QualityGate", "Reason"]


class Reason(StrEnum):
    """What is wrong with a face.

    `iso` is the quality component of ISO/IEC 29794-5 that it belongs to, where there is one.
    """

    LOW_SCORE = "low_score"
    LOW_QUALITY = "low_quality"
    TOO_SMALL = "too_small"
    YAW = "yaw"
    PITCH = "pitch"
    ROLL = "roll"
    CUT_OFF = "cut_off"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    LOW_CONTRAST = "low_contrast"
    OCCLUDED = "occluded"
    EYES_CLOSED = "eyes_closed"
    MOUTH_OPEN = "mouth_open"
    GLASSES = "glasses"
    SUNGLASSES = "sunglasses"
    SEVERAL_FACES = "several_faces"

    @property
    def iso(self) -> str | None:
        """Name in ISO/IEC 29794-5, or None."""
        return _ISO.get(self)

    @property
    def advice(self) -> str:
        """What the person in front of the camera, or whoever set it up, can do."""
        return _ADVICE[self]


_ISO: Final = {
    Reason.LOW_QUALITY: "unified quality score",
    Reason.TOO_SMALL: "inter-eye distance",
    Reason.YAW: "head pose yaw",
    Reason.PITCH: "head pose pitch",
    Reason.ROLL: "head pose roll",
    Reason.CUT_OFF: "leftward, rightward, upward and downward crop of the face image",
    Reason.BLURRED: "sharpness",
    Reason.TOO_DARK: "under-exposure prevention",
    Reason.TOO_BRIGHT: "over-exposure prevention",
    Reason.LOW_CONTRAST: "dynamic range",
    Reason.OCCLUDED: "face occlusion prevention",
    Reason.EYES_CLOSED: "eyes open",
    Reason.MOUTH_OPEN: "mouth closed",
    Reason.GLASSES: "eyes visible",
    Reason.SUNGLASSES: "eyes visible",
    Reason.SEVERAL_FACES: "single face present",
}
_ADVICE: Final = {
    Reason.LOW_SCORE: "this may not be a face",
    Reason.LOW_QUALITY: "try another shot",
    Reason.TOO_SMALL: "come nearer",
    Reason.YAW: "look straight ahead, not to the side",
    Reason.PITCH: "look straight ahead, not up or down",
    Reason.ROLL: "hold the head upright",
    Reason.CUT_OFF: "move to the middle of the picture",
    Reason.BLURRED: "hold still, or focus the camera",
    Reason.TOO_DARK: "more light on the face",
    Reason.TOO_BRIGHT: "less light on the face",
    Reason.LOW_CONTRAST: "no light from behind, no fog on the lens",
    Reason.OCCLUDED: "nothing in front of the face",
    Reason.EYES_CLOSED: "open the eyes",
    Reason.MOUTH_OPEN: "close the mouth",
    Reason.GLASSES: "take off the glasses",
    Reason.SUNGLASSES: "take off the sunglasses",
    Reason.SEVERAL_FACES: "one person at a time",
}


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate found about one face.

    Attributes:
        passed: no reason against it.
        reasons: what is wrong, in the order of `Reason`.
        measures: the numbers that were compared, by name.
    """

    passed: bool
    reasons: tuple[Reason, ...]
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QualityGate:
    """Thresholds for usable faces; None disables a test.

    Sizes are in pixels of the frame, fractions from 0 to 1, angles in degrees in the upright picture. Called with
    `Faces`, the gate runs the tests that need no pixels; `check` and `on` also take the frame. The defaults discard
    about the worst fifth of the project's set of degraded faces (docs: "Quality gate", "Calibration").

    Attributes:
        min_score: minimum detection score.
        min_quality: minimum quality.
        min_size: minimum of the shorter side of the box.
        max_yaw, max_pitch, max_roll: maximum absolute angles.
        max_cut: maximum fraction of the box outside the frame.
        min_sharpness, min_brightness, max_brightness, max_dark, max_bright, min_contrast: see
            `edgeface.appearance.Appearance`; tested only with a frame.
        occlusion_quality: a face with lower quality and no other cause counts as occluded; tested only with a
            frame, for faces that are not described. This is a guess: it misses most occluded faces and reports some
            noisy and motion-blurred ones (docs: "Limits of `occluded` for faces that are not described").
        single: reject all faces of a frame with several faces.
        max_cover: described faces: maximum probability of covered eyes, nose or mouth, or of a mask.
        min_visible: described faces turned by less than 30°: minimum fraction of visible inner points.
        min_eyes_open, max_mouth_open: described faces: openness of the less open eye, and of the mouth. "enrol" and
            "verify" require open eyes (docs: "Accuracy of the reasons for described faces").
        max_glasses, max_sunglasses: described faces: maximum probabilities.

    Raises:
        InvalidInputError: a threshold is not a number, negative, or a fraction above 1; or `single` is not a bool.

    Examples:
        >>> gate = QualityGate(min_quality=0.5, max_yaw=45, min_size=48)
        >>> len(Faces.empty().filter(gate))
        0
        >>> QualityGate.preset("enrol", min_size=80).max_yaw
        15.0
    """

    min_score: float | None = 0.5
    min_quality: float | None = 0.5
    min_size: float | None = 24.0
    max_yaw: float | None = 75.0
    max_pitch: float | None = 60.0
    max_roll: float | None = None
    max_cut: float | None = 0.3
    min_sharpness: float | None = 0.03
    min_brightness: float | None = 20.0
    max_brightness: float | None = 235.0
    max_dark: float | None = 0.8
    max_bright: float | None = 0.6
    min_contrast: float | None = 5.0
    occlusion_quality: float | None = 0.5
    single: bool = False
    max_cover: float | None = 0.5
    min_visible: float | None = 0.5
    min_eyes_open: float | None = None
    max_mouth_open: float | None = None
    max_glasses: float | None = None
    max_sunglasses: float | None = None

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "single":
                if not isinstance(value, (bool, np.bool_)):
                    raise must_be("single", "True or False", repr(value))
                continue
            if value is None:
                continue
            if not is_number(value) or not value >= 0:
                raise must_be(entry.name, "a number of at least 0, or None", repr(value))
            if entry.name in _SHARES and value > 1:
                raise must_be(entry.name, "from 0 to 1", value)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A gate for a purpose.

        Args:
            name: "enrol": the one picture that all later ones are compared with; "verify": a picture to compare;
                "attention": whether and where somebody looks, identity does not matter.
            **changes: attributes to set otherwise.

        Raises:
            InvalidInputError: no such preset.
        """
        if name not in PRESETS:
            raise must_be("preset", f"one of {', '.join(PRESETS)}", repr(name))
        return replace(cls(**PRESETS[name]), **changes)

    def __call__(self, faces: Faces) -> NDArray[np.bool_]:
        """(n,) bools: which faces pass all tests that need no pixels."""
        return np.array([report.passed for report in self.check(faces)], np.bool_)

    def on(self, frame: Frame | NDArray[np.uint8], color: str | None = None) -> Callable[[Faces], NDArray[np.bool_]]:
        """The gate with a frame's pixels, for ``faces.filter(gate.on(frame))``.

        Args:
            frame: that the faces were found in: a `Frame`, or an array as `FaceEngine.detect` takes it.
            color: of an array, required.

        Raises:
            InvalidInputError: as `check`.
        """
        seen = as_frame(frame, color)
        return lambda faces: np.array([report.passed for report in self.check(faces, seen)], np.bool_)

    def check(
        self, faces: Faces, frame: Frame | NDArray[np.uint8] | None = None, color: str | None = None
    ) -> list[GateReport]:
        """Test each face and say what is wrong with it.

        Args:
            faces: of one frame.
            frame: that frame, for the tests of light and sharpness: a `Frame`, or an array as `FaceEngine.detect` takes
                it.
            color: of an array, required.

        Returns:
            One report a face, in their order.

        Raises:
            InvalidInputError: an array without its colour, or a frame of another size than the faces' one.

        Examples:
            >>> for face, report in zip(faces, gate.check(faces, frame)):     # doctest: +SKIP
            ...     print(report.passed, [reason.advice for reason in report.reasons])
        """
        seen = None if frame is None else as_frame(frame, color)
        if seen is not None:
            check_found_in(seen, faces.size)
        return [self._report(face, faces, seen) for face in faces]

    def _report(self, face: Face, faces: Faces, frame: Frame | None) -> GateReport:
        yaw, pitch, roll = (float(angle) for angle in face.angles)
        measures = {
            "score": face.score,
            "quality": face.quality,
            "size": min(face.width, face.height),
            "yaw": yaw,
            "pitch": pitch,
            "roll": roll,
            "cut": _cut(face, faces.size),
        }
        wrong = {
            Reason.LOW_SCORE: _below(face.score, self.min_score),
            Reason.LOW_QUALITY: _below(face.quality, self.min_quality),
            Reason.TOO_SMALL: _below(measures["size"], self.min_size),
            Reason.YAW: _above(abs(yaw), self.max_yaw),
            Reason.PITCH: _above(abs(pitch), self.max_pitch),
            Reason.ROLL: _above(abs(roll), self.max_roll),
            Reason.CUT_OFF: _above(measures["cut"], self.max_cut),
            Reason.SEVERAL_FACES: self.single and len(faces) > 1,
        }
        seen = None if frame is None else measure_appearance(frame, face)
        if seen is not None:
            measures |= seen._asdict()
            # where the network sees that something is wrong, less has to be visible to say what
            limits = replace(self, **_stricter(self)) if wrong[Reason.LOW_QUALITY] else self
            dark = _below(seen.brightness, limits.min_brightness) or _above(seen.dark, limits.max_dark)
            bright = _above(seen.brightness, limits.max_brightness) or _above(seen.bright, limits.max_bright)
            wrong |= {
                Reason.BLURRED: _below(seen.sharpness, limits.min_sharpness),
                Reason.TOO_DARK: dark,
                Reason.TOO_BRIGHT: bright,
                # both take the contrast away: the cause is worth more than its effect
                Reason.LOW_CONTRAST: not dark and not bright and _below(seen.contrast, limits.min_contrast),
            }
            explained = any(bad for reason, bad in wrong.items() if reason is not Reason.LOW_QUALITY)
            wrong[Reason.OCCLUDED] = not explained and _below(face.quality, self.occlusion_quality)
        if face.points68 is not None:
            own = _described(face)
            measures |= own
            hidden = math.hypot(yaw, pitch) < _FRONTAL and _below(own["visible"], self.min_visible)
            wrong |= {  # what the per-face network says comes before a guess
                Reason.OCCLUDED: hidden or _above(own["cover"], self.max_cover),
                Reason.EYES_CLOSED: _below(own["eyes_open"], self.min_eyes_open),
                Reason.MOUTH_OPEN: _above(own["mouth_open"], self.max_mouth_open),
                Reason.GLASSES: _above(own["glasses"], self.max_glasses),
                Reason.SUNGLASSES: _above(own["sunglasses"], self.max_sunglasses),
            }
        reasons = tuple(reason for reason in Reason if wrong.get(reason))
        return GateReport(not reasons, reasons, measures)


_SHARES: Final = frozenset(
    "min_score min_quality max_cut max_dark max_bright min_sharpness occlusion_quality max_cover min_visible "
    "min_eyes_open max_mouth_open max_glasses max_sunglasses".split()
)
#: Degrees: a head that is turned farther hides points itself.
_FRONTAL: Final = 30.0

#: What the presets differ in from the default gate; of described faces by benchmarks/gate_points.py on the dev split.
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "enrol": {
        "min_score": 0.7,
        "min_quality": 0.6,
        "occlusion_quality": 0.6,
        "min_size": 112.0,
        "max_yaw": 15.0,
        "max_pitch": 15.0,
        "max_roll": 15.0,
        "max_cut": 0.0,
        "min_sharpness": 0.06,
        "min_brightness": 50.0,
        "max_brightness": 200.0,
        "max_dark": 0.3,
        "max_bright": 0.1,
        "min_contrast": 15.0,
        "single": True,
        "max_cover": 0.4,
        "min_visible": 0.8,
        "min_eyes_open": 0.5,
        "max_mouth_open": 0.3,
        "max_sunglasses": 0.3,
    },
    "verify": {
        "min_score": 0.6,
        "min_quality": 0.56,
        "occlusion_quality": 0.58,
        "min_size": 64.0,
        "max_yaw": 35.0,
        "max_pitch": 25.0,
        "max_roll": 30.0,
        "max_cut": 0.1,
        "min_sharpness": 0.045,
        "min_brightness": 40.0,
        "max_brightness": 215.0,
        "max_dark": 0.45,
        "max_bright": 0.25,
        "min_contrast": 12.0,
        "max_cover": 0.5,
        "min_visible": 0.6,
        "min_eyes_open": 0.35,
        "max_sunglasses": 0.5,
    },
    "attention": {
        "min_quality": None,
        "occlusion_quality": None,
        "min_size": 20.0,
        "max_yaw": None,
        "max_pitch": None,
        "max_cut": 0.5,
        "min_sharpness": None,
        "min_brightness": None,
        "max_brightness": None,
        "max_dark": None,
        "max_bright": None,
        "min_contrast": None,
        "max_cover": None,
        "min_visible": None,
    },
}


#: Thresholds by which a face of low quality is explained.
_EXPLAINING: Final[Mapping[str, float]] = {
    "min_sharpness": 0.055,
    "min_brightness": 50.0,
    "max_brightness": 200.0,
    "max_dark": 0.35,
    "max_bright": 0.2,
    "min_contrast": 12.0,
}


def _stricter(gate: QualityGate) -> dict[str, Any]:
    """Of the gate's thresholds and `_EXPLAINING` the stricter ones; tests that are off stay off."""
    changes = {}
    for name, value in _EXPLAINING.items():
        own = getattr(gate, name)
        if own is not None:
            changes[name] = max(own, value) if name.startswith("min") else min(own, value)
    return changes


def _below(value: float, threshold: float | None) -> bool:
    return threshold is not None and not value >= threshold  # so that NaN fails


def _above(value: float, threshold: float | None) -> bool:
    return threshold is not None and not value <= threshold


def _described(face: Face) -> dict[str, float]:
    """Measures of the per-face stage."""
    assert face.visibility is not None
    assert face.eyes_open is not None
    assert face.mouth_open is not None
    assert face.cover is not None
    cover = dict(zip(COVER_NAMES, map(float, face.cover), strict=True))
    return {
        "cover": max(cover[name] for name in ("eyes", "nose", "mouth", "mask")),
        "visible": float((face.visibility[17:] >= 0.5).mean()),  # without the jaw, which hair hides
        "eyes_open": float(face.eyes_open.min()),
        "mouth_open": face.mouth_open,
        "glasses": cover["glasses"],
        "sunglasses": cover["sunglasses"],
    }


def _cut(face: Face, size: tuple[int, int]) -> float:
    """Share of the box outside the frame; 0 where the frame's size is unknown."""
    x1, y1, x2, y2 = (float(v) for v in face.box)
    width, height = size
    area = (x2 - x1) * (y2 - y1)
    if not width or not height or not area > 0:
        return 0.0
    inside = max(0.0, min(x2, width) - max(x1, 0.0)) * max(0.0, min(y2, height) - max(y1, 0.0))
    return 1 - inside / area
