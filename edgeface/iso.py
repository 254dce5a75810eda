"""Quality components of a face on the scale of ISO/IEC 29794-5: 0 is worst, 100 best.

The formulas and constants are those of OFIQ, the standard's reference implementation, wherever this project measures
the same thing (docs: "Components on the standard's scale", which says where it does not).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.appearance import FACE_COLUMNS, FACE_ROWS, measure_appearance
from edgeface.faces import COVER_NAMES, Face, Faces
from edgeface.frame import Frame, as_frame, check_found_in

__all__ = ["quality_components"]

#: Upper and lower point of each pair, of eyes and of the mouth's inner contour.
_RIGHT_LIDS: Final = ((37, 41), (38, 40))
_LEFT_LIDS: Final = ((43, 47), (44, 46))
_LIPS: Final = ((61, 67), (62, 66), (63, 65))
_CORNERS: Final = [36, 39, 42, 45]
_CHIN: Final = 8
_BRIGHT, _DARK = 247, 25  # of linear luminance, 0 to 255: from here on, and up to here
#: Sharpness of `Appearance` that is worth 0, and 100.
_SOFT, _SHARP = 0.03, 0.12


def _sigmoid(x: float, middle: float, width: float) -> float:
    return 1 / (1 + math.exp(min(max((middle - x) / width, -700.0), 700.0)))


def _cosine(degrees: float) -> float:
    return 100 * max(0.0, math.cos(math.radians(degrees))) ** 2


def _room(middle: float) -> Callable[[float], float]:
    return lambda x: 100 * _sigmoid(x, middle, 0.1)


#: OFIQ's mappings of what it calls native scores. Other components are mapped where they are measured.
_MAPPINGS: Final[dict[str, Callable[[float], float]]] = {
    "head_pose_yaw": _cosine,
    "head_pose_pitch": _cosine,
    "head_pose_roll": _cosine,
    "inter_eye_distance": lambda x: 100 * _sigmoid(x, 70, 20),
    "leftward_crop_of_the_face_image": _room(0.9),
    "rightward_crop_of_the_face_image": _room(0.9),
    "margin_above_of_the_face_image": _room(1.4),
    "margin_below_of_the_face_image": _room(1.8),
    "head_size": lambda x: 200 * (1 - _sigmoid(abs(x - 0.45), 0, 0.05)),
    "eyes_open": lambda x: 100 * _sigmoid(x, 0.02, 0.01),
    "mouth_closed": lambda x: 100 * (1 - _sigmoid(x, 0.2, 0.06)),
    "over_exposure_prevention": lambda x: 1 / (x + 0.01),
    "under_exposure_prevention": lambda x: 120 * (0.832 - _sigmoid(x, 0.92, 0.05)),
    "dynamic_range": lambda x: 12.5 * x,
    "single_face_present": lambda x: 100 * (1 - x),
}


def quality_components(
    faces: Faces, frame: Frame | NDArray[np.uint8] | None = None, color: str | None = None
) -> list[dict[str, int]]:
    """Score every face by the components that can be computed.

    Args:
        faces: of one frame. Described ones have more components: eyes, mouth, cover, head size, margins.
        frame: that frame, for exposure, dynamic range and sharpness: a `Frame`, or an array as `FaceEngine.detect`
            takes it.
        color: of an array, required.

    Returns:
        One dict a face: name of the component in snake case to 0–100. What cannot be computed is left out.

    Raises:
        InvalidInputError: an array without its colour, or a frame of another size than the faces' one.

    Examples:
        >>> quality_components(faces, frame)[0]["head_pose_yaw"]                     # doctest: +SKIP
        93
    """
    seen = None if frame is None else as_frame(frame, color)
    if seen is not None:
        check_found_in(seen, faces.size)
    upright = faces.upright() if all(faces.size) else faces
    areas = np.maximum(faces.widths, 0).astype(np.float64) * np.maximum(faces.heights, 0)
    scored = []
    for i, face in enumerate(upright):
        others = np.delete(areas, i)
        found = _geometry(face, upright.size)
        found["single_face_present"] = min(1.0, float(others.max(initial=0)) / max(float(areas[i]), 1e-9))
        found["unified_quality_score"] = 100 * face.quality
        if face.points68 is not None:
            found |= _described(face, upright.size)
        if seen is not None:
            found |= _pixels(seen, faces[i])
        scored.append({name: _score(name, value) for name, value in found.items() if math.isfinite(value)})
    return scored


def _score(name: str, native: float) -> int:
    """0 to 100, rounded as OFIQ does: halves upwards."""
    value = _MAPPINGS[name](native) if name in _MAPPINGS else native
    return math.floor(min(max(value, 0.0), 100.0) + 0.5)


def _geometry(face: Face, size: tuple[int, int]) -> dict[str, float]:
    """Pose, distance of the eyes, and room at the sides; of faces in the upright picture."""
    yaw, pitch, roll = map(float, face.angles)
    found = {"head_pose_yaw": yaw, "head_pose_pitch": pitch, "head_pose_roll": roll}
    right, left = face.landmarks[:2].astype(np.float64)
    apart = float(np.linalg.norm(left - right))
    cosine = math.cos(math.radians(yaw))
    if abs(cosine) > 1e-6:
        found["inter_eye_distance"] = apart / cosine
    if all(size) and apart > 0:
        # to the eye on the other side: at 1 the edge runs through the near eye
        found["leftward_crop_of_the_face_image"] = float(left[0]) / apart
        found["rightward_crop_of_the_face_image"] = (size[0] - float(right[0])) / apart
    return found


def _described(face: Face, size: tuple[int, int]) -> dict[str, float]:
    """Eyes, mouth, cover, margins, from the per-face stage."""
    assert face.points68 is not None
    assert face.cover is not None
    points = face.points68.astype(np.float64)
    middle = points[_CORNERS].mean(0)
    t = float(np.linalg.norm(points[_CHIN] - middle))
    cover = dict(zip(COVER_NAMES, map(float, face.cover), strict=True))
    found = {
        "eyes_visible": 100 * (1 - max(cover["eyes"], cover["sunglasses"])),
        "mouth_occlusion_prevention": 100 * (1 - max(cover["mouth"], cover["mask"])),
        "face_occlusion_prevention": 100 * (1 - max(cover[name] for name in ("eyes", "nose", "mouth", "mask"))),
    }
    if not t > 0:
        return found

    def widest(pairs: tuple[tuple[int, int], ...]) -> float:
        return max(float(np.linalg.norm(points[a] - points[b])) for a, b in pairs) / t

    found["eyes_open"] = min(widest(_RIGHT_LIDS), widest(_LEFT_LIDS))
    found["mouth_closed"] = widest(_LIPS)
    if all(size):
        found["margin_above_of_the_face_image"] = float(middle[1]) / t
        found["margin_below_of_the_face_image"] = (size[1] - float(middle[1])) / t
        found["head_size"] = t / size[1]
    return found


def _pixels(frame: Frame, face: Face) -> dict[str, float]:
    """Exposure, dynamic range and sharpness, of the aligned crop between brows and chin."""
    from edgeface.align import aligned_crop

    seen = measure_appearance(frame, face)
    if seen is None:
        return {}
    crop: NDArray[Any] = aligned_crop(frame, face.landmarks)[FACE_ROWS, FACE_COLUMNS].astype(np.float64) / 255
    linear = np.where(crop <= 0.04045, crop / 12.92, ((crop + 0.055) / 1.055) ** 2.4)
    luminance = np.floor(linear @ [0.0722, 0.7152, 0.2126] * 255 + 0.5)
    shares = np.bincount(luminance.astype(int).ravel(), minlength=256) / luminance.size
    used = shares[shares > 0]
    return {
        "over_exposure_prevention": float(shares[_BRIGHT:].sum()),
        "under_exposure_prevention": float(shares[: _DARK + 1].sum()),
        "dynamic_range": float(-(used * np.log2(used)).sum()),
        "sharpness": 100 * (seen.sharpness - _SOFT) / (_SHARP - _SOFT),
    }
