"""What an engine returns: `Faces`, a struct of parallel arrays, and `Face`, one row of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeface.angles import rotation_to_angles
from edgeface.errors import must_be
from edgeface.stamps import checked_integer, checked_stamp
from edgeface.turns import checked_rotation, turn_matrix, turn_points

if TYPE_CHECKING:
    from edgeface.positions import Positions

__all__ = ["COVER_NAMES", "DESCRIBED", "LANDMARK_NAMES", "Face", "Faces"]

LANDMARK_NAMES: Final = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")
"""Order of the landmarks, right and left OF THE PERSON (an upright frontal face has its right eye image-left)."""

COVER_NAMES: Final = ("eyes", "nose", "mouth", "mask", "glasses", "sunglasses")
"""Order of `Faces.cover`."""

#: The arrays of the per-face stage by name, and the shape of a row.
DESCRIBED: Final[Mapping[str, tuple[int, ...]]] = {
    "points68": (68, 2),
    "points3d": (68, 3),
    "points_spread": (68,),
    "visibility": (68,),
    "eyes_open": (2,),
    "mouth_open": (),
    "cover": (6,),
}

_SHAPES: dict[str, tuple[int, ...]] = {
    "boxes": (4,),
    "scores": (),
    "landmarks": (5, 2),
    "rotations": (3, 3),
    "quality": (),
}


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face. Arrays are views into the `Faces` it came from.

    Attributes:
        box: (4,) float32, x1 y1 x2 y2 in pixels of the frame given; may reach beyond its edges.
        score: 0 to 1, how sure the detector is.
        landmarks: (5, 2) float32, x y in pixels of the frame given, in the order of `LANDMARK_NAMES`.
        rotation: (3, 3) float32, head to the optical frame of the upright picture (x right, y down, z forward).
        quality: 0 to 1, how usable the face is for recognition.
        track_id: stable number of the face over frames, None outside `track` mode.
        frame_rotation: degrees clockwise that make the frame upright, as `Faces.rotation`.
        points68, points3d, points_spread, visibility, eyes_open, cover: a row of the arrays of `Faces`; None where the
            face was not described.
        mouth_open: 0 to 1; None where the face was not described.
    """

    box: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]
    rotation: NDArray[np.float32]
    quality: float
    track_id: int | None = None
    frame_rotation: int = 0
    points68: NDArray[np.float32] | None = None
    points3d: NDArray[np.float32] | None = None
    points_spread: NDArray[np.float32] | None = None
    visibility: NDArray[np.float32] | None = None
    eyes_open: NDArray[np.float32] | None = None
    mouth_open: float | None = None
    cover: NDArray[np.float32] | None = None

    @property
    def camera_rotation(self) -> NDArray[np.float32]:
        """(3, 3) float32, head to the optical frame of the camera as it is mounted."""
        return np.asarray(turn_matrix(self.frame_rotation).T @ self.rotation, np.float32)

    @property
    def angles(self) -> NDArray[np.float64]:
        """(3,) yaw, pitch, roll in degrees, in the upright picture (see `edgeface.angles`)."""
        return rotation_to_angles(self.rotation)

    @property
    def yaw(self) -> float:
        """Degrees; positive when the person turns the face to image-left of the upright picture."""
        return float(self.angles[0])

    @property
    def pitch(self) -> float:
        """Degrees; positive when the person looks up."""
        return float(self.angles[1])

    @property
    def roll(self) -> float:
        """Degrees; positive when the head tilts clockwise in the upright picture."""
        return float(self.angles[2])

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return float(self.box[3] - self.box[1])

    def to_dict(self) -> dict[str, Any]:
        """The face as the JSON object of ``edgeface detect --format jsonl`` (plus ``track_id`` if it has one).

        ``box``, ``landmarks`` and ``points68`` are in pixels of the frame given; ``rotation`` and the angles are those
        of the upright picture. A face that was described has the names of `DESCRIBED`, too; ``cover`` is an object.
        """
        yaw, pitch, roll = (round(float(a), 2) for a in self.angles)
        out: dict[str, Any] = {
            "box": _rounded(self.box, 2),
            "score": round(self.score, 4),
            "landmarks": _rounded(self.landmarks, 2),
            "rotation": _rounded(self.rotation, 5),
            "yaw": yaw,
            "pitch": pitch,
            "roll": roll,
            "quality": round(self.quality, 4),
        }
        if self.track_id is not None:
            out["track_id"] = self.track_id
        if self.points68 is not None:
            for name, digits in _DIGITS.items():
                out[name] = _rounded(np.asarray(getattr(self, name)), digits)
            assert self.cover is not None
            out["cover"] = dict(zip(COVER_NAMES, _rounded(self.cover, 3), strict=True))
        return out


#: What stands for "(0, …) of the right shape" until the shape is known.
_NOT_DESCRIBED: Final = np.zeros(0, np.float32)
_DIGITS: Final = {
    "points68": 2,
    "points3d": 4,
    "points_spread": 2,
    "visibility": 3,
    "eyes_open": 3,
    "mouth_open": 3,
}


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All faces of one frame as parallel arrays, sorted by descending score.

    ``len``, iteration, ``faces[i]`` (a `Face`), slices, index arrays and boolean masks (`Faces`) work. Without faces
    the arrays have length zero and their usual shapes; they are never None.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the input frame; the origin is the top left corner of its top
            left pixel.
        scores: (n,) float32, 0 to 1.
        landmarks: (n, 5, 2) float32, pixels of the input frame, in the order of `LANDMARK_NAMES`.
        rotations: (n, 3, 3) float32, head to the optical frame of the upright picture (x right, y down, z forward);
            `camera_rotations` map to the optical frame of the camera as mounted.
        quality: (n,) float32, 0 to 1.
        track_ids: (n,) int64 from `track`, else None.
        size: (width, height) of the input frame, in pixels.
        rotation: clockwise rotation in degrees (0, 90, 180, 270) that makes the frame upright.
        timestamp_ns: capture time of the frame in nanoseconds, from its source; None if unknown.
        sequence: running number of the frame, from its source; None if unknown.
        timings: seconds per stage ("preprocess", "infer", "decode", "points").
        points68: (n, 68, 2) float32, iBUG landmarks in pixels of the input frame. This array and the next six come from
            the per-face network (`FaceEngine.describe`). They are (0, …) without it; rows of faces that were not
            described are NaN.
        points3d: (n, 68, 3) float32, the same landmarks in face widths, axes of the upright picture's optical frame,
            origin at their mean. A face width is the distance of points 0 and 16 of a mean face.
        points_spread: (n, 68) float32, the Laplace scale of each point's error in pixels of the input frame.
        visibility: (n, 68) float32, 0 to 1.
        eyes_open: (n, 2) float32, 0 to 1, the person's right and left eye; 1 is a height of at least .30 of the width.
        mouth_open: (n,) float32, 0 to 1; 1 is an inner height of at least .6 of the width.
        cover: (n, 6) float32, 0 to 1, in the order of `COVER_NAMES`.

    Raises:
        InvalidInputError: arrays have different lengths or wrong shapes, the rotation is unknown, or the timestamp is
            not an integer.

    Examples:
        >>> faces = Faces.empty((640, 480))
        >>> len(faces), faces.boxes.shape, faces[faces.scores > 0.9].landmarks.shape
        (0, (0, 4), (0, 5, 2))
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    rotations: NDArray[np.float32]
    quality: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None
    size: tuple[int, int] = (0, 0)
    timestamp_ns: int | None = None
    sequence: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    rotation: int = 0
    points68: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    points3d: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    points_spread: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    visibility: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    eyes_open: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    mouth_open: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)
    cover: NDArray[np.float32] = field(default_factory=lambda: _NOT_DESCRIBED)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", checked_rotation(self.rotation))
        object.__setattr__(self, "timestamp_ns", checked_stamp(self.timestamp_ns))
        object.__setattr__(self, "sequence", checked_integer(self.sequence, "sequence"))
        n = len(np.atleast_1d(self.scores))
        for name, tail in _SHAPES.items():
            array = np.asarray(getattr(self, name), dtype=np.float32)
            if array.shape != (n, *tail):
                raise must_be(f"Faces.{name}", f"of shape {(n, *tail)}", array.shape)
            object.__setattr__(self, name, array)
        rows = {len(getattr(self, name)) for name in DESCRIBED}
        for name, tail in DESCRIBED.items():
            array = np.asarray(getattr(self, name), dtype=np.float32)
            if array is _NOT_DESCRIBED:
                array = np.zeros((0, *tail), np.float32)
            if array.shape not in ((n, *tail), (0, *tail)) or len(rows) > 1:
                raise must_be(f"Faces.{name}", f"of shape {(n, *tail)}, or {(0, *tail)} with all of them", array.shape)
            object.__setattr__(self, name, array)
        if self.track_ids is not None:
            ids = np.asarray(self.track_ids, dtype=np.int64)
            if ids.shape != (n,):
                raise must_be("Faces.track_ids", f"of shape {(n,)}", ids.shape)
            object.__setattr__(self, "track_ids", ids)

    @classmethod
    def empty(cls, size: tuple[int, int] = (0, 0), **frame: Any) -> Faces:
        """No faces in a frame of `size`; further keywords are the frame's attributes."""
        arrays: dict[str, Any] = {name: np.zeros((0, *tail), dtype=np.float32) for name, tail in _SHAPES.items()}
        return cls(**arrays, size=size, **frame)

    @classmethod
    def join(cls, parts: Sequence[Faces], **frame: Any) -> Faces:
        """The faces of several results, one after the other; further keywords are the frame's attributes.

        Args:
            parts: of one frame, one or more. Where some are described, the others get rows of NaN. Track ids stay where
                all parts that have faces have them.

        Raises:
            InvalidInputError: no part, or ids in some parts only.
        """
        if not parts:
            raise must_be("parts", "one or more results", "none")
        arrays: dict[str, Any] = {name: [getattr(part, name) for part in parts] for name in _SHAPES}
        if any(len(part.points68) for part in parts):
            for name, tail in DESCRIBED.items():
                blank = (np.full((len(part), *tail), np.nan, np.float32) for part in parts)
                own = [getattr(part, name) for part in parts]
                arrays[name] = [rows if len(rows) else nan for rows, nan in zip(own, blank, strict=True)]
        joined: dict[str, Any] = {name: np.concatenate(rows) for name, rows in arrays.items()}
        tracked = {part.track_ids is not None for part in parts if len(part)}
        if len(tracked) > 1:
            raise must_be("parts", "all of `track`, or none of them", "track_ids in some of them")
        if tracked == {True}:
            joined["track_ids"] = np.concatenate([part.track_ids for part in parts if part.track_ids is not None])
        return cls(**joined, **frame)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Face]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Face: ...

    @overload
    def __getitem__(self, index: slice | NDArray[Any] | list[int] | list[bool]) -> Faces: ...

    def __getitem__(self, index: int | np.integer[Any] | slice | NDArray[Any] | list[int] | list[bool]) -> Face | Faces:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            i = int(index)
            if not -len(self) <= i < len(self):
                raise IndexError(f"face {i} is out of range: there are {len(self)} faces")
            return Face(
                box=self.boxes[i],
                score=float(self.scores[i]),
                landmarks=self.landmarks[i],
                rotation=self.rotations[i],
                quality=float(self.quality[i]),
                track_id=None if self.track_ids is None else int(self.track_ids[i]),
                frame_rotation=self.rotation,
                **self._description(i),
            )
        selector: Any = index if isinstance(index, slice) else self._selector(index)
        names = [*_SHAPES, *DESCRIBED] if len(self.points68) else _SHAPES
        chosen: dict[str, Any] = {name: getattr(self, name)[selector] for name in names}
        chosen["track_ids"] = None if self.track_ids is None else self.track_ids[selector]
        return replace(self, **chosen)

    @property
    def described(self) -> NDArray[np.bool_]:
        """(n,) bools: the faces that the per-face stage described."""
        if not len(self.points68):
            return np.zeros(len(self), np.bool_)
        return np.asarray(np.isfinite(self.points68).all((1, 2)))

    def _description(self, i: int) -> dict[str, Any]:
        """What `Face` has of the per-face stage."""
        if not len(self.points68) or not np.isfinite(self.points68[i]).all():
            return {}
        row = {name: getattr(self, name)[i] for name in DESCRIBED}
        return row | {"mouth_open": float(row["mouth_open"])}

    def _selector(self, index: Any) -> NDArray[Any]:
        """Check a mask or index array before NumPy would read it as something else."""
        selector = np.asarray(index)
        if selector.size == 0 and selector.dtype != np.bool_:
            selector = selector.astype(np.intp)
        if selector.ndim != 1 or selector.dtype.kind not in "bui":
            raise must_be(
                "index", "an int, a slice, or a 1-D array of bools or ints", f"{selector.dtype} {selector.shape}"
            )
        if selector.dtype == np.bool_ and len(selector) != len(self):
            raise must_be("mask", f"as long as there are faces ({len(self)})", len(selector))
        return selector

    def filter(self, gate: Callable[[Faces], NDArray[np.bool_]]) -> Faces:
        """The faces that pass a gate.

        Args:
            gate: called with these faces, returns (n,) bools. `edgeface.QualityGate` is one, a lambda will do.

        Examples:
            >>> Faces.empty().filter(lambda faces: faces.quality > 0.5)
            Faces(n=0, size=(0, 0))
        """
        mask = np.asarray(gate(self))
        if mask.shape == (0,):  # of an empty list, which says nothing of its type
            mask = mask.astype(np.bool_)
        if mask.dtype != np.bool_:
            raise must_be("the gate's answer", "an array of bools", mask.dtype)
        return self[mask]

    def upright(self) -> Faces:
        """The same faces in pixels of the upright picture.

        Returns:
            Boxes, landmarks and points turned, `size` of the upright picture, `rotation` 0; angles stay as they are.

        Raises:
            InvalidInputError: the frame is turned, and its `size` is not known.

        Examples:
            >>> Faces.empty((640, 480), rotation=90).upright().size
            (480, 640)
        """
        if self.rotation == 0:
            return self
        if not all(self.size):
            raise must_be("Faces.size", "known to turn faces upright", self.size)
        corners = turn_points(self.boxes.reshape(-1, 2, 2), self.size, self.rotation)
        return replace(
            self,
            boxes=np.concatenate([corners.min(1), corners.max(1)], 1),
            landmarks=turn_points(self.landmarks, self.size, self.rotation),
            points68=turn_points(self.points68, self.size, self.rotation),
            size=self.size[::-1] if self.rotation % 180 else self.size,
            rotation=0,
        )

    @property
    def camera_rotations(self) -> NDArray[np.float32]:
        """(n, 3, 3) float32, head to the optical frame of the camera as it is mounted: `rotations` turned back."""
        return np.asarray(turn_matrix(self.rotation).T @ self.rotations, np.float32)

    @property
    def angles(self) -> NDArray[np.float64]:
        """(n, 3) yaw, pitch, roll in degrees, in the upright picture; of `rotations` (see `edgeface.angles`)."""
        return rotation_to_angles(self.rotations)

    @property
    def yaw(self) -> NDArray[np.float64]:
        """(n,) degrees; positive when the person turns the face to image-left of the upright picture."""
        return self.angles[:, 0]

    @property
    def pitch(self) -> NDArray[np.float64]:
        """(n,) degrees; positive when the person looks up."""
        return self.angles[:, 1]

    @property
    def roll(self) -> NDArray[np.float64]:
        """(n,) degrees; positive when the head tilts clockwise in the upright picture."""
        return self.angles[:, 2]

    @property
    def widths(self) -> NDArray[np.float32]:
        """(n,) widths of the boxes in pixels."""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def heights(self) -> NDArray[np.float32]:
        """(n,) heights of the boxes in pixels."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    def positions(self, camera_matrix: ArrayLike) -> Positions:
        """Where the heads are, in metres, and where they look.

        The mean face of adults is fitted to the 68 points, or to the five landmarks where there are none, by
        perspective, near the rotation that is known.

        Args:
            camera_matrix: (3, 3) as OpenCV and ROS have it (``camera_info.k``), of the frame as given; see
                `edgeface.camera_matrix`. The picture must be free of distortion.

        Returns:
            `edgeface.positions.Positions`, in the optical frame of the camera as it is mounted.

        Raises:
            InvalidInputError: not a camera matrix.

        Examples:
            >>> from edgeface import camera_matrix
            >>> Faces.empty((640, 480)).positions(camera_matrix((640, 480), 60)).points.shape
            (0, 3)
        """
        from edgeface.positions import locate

        return locate(self, camera_matrix)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict per face, as in ``edgeface detect --format jsonl``."""
        return [face.to_dict() for face in self]

    def __repr__(self) -> str:
        ids = "" if self.track_ids is None else f", track_ids={self.track_ids.tolist()}"
        return f"Faces(n={len(self)}, size={self.size}{ids})"


def _rounded(array: NDArray[np.float32], digits: int) -> list[Any]:
    """Nested lists of short floats: JSON of float32 noise helps nobody."""
    rounded: list[Any] = np.round(array.astype(np.float64), digits).tolist()
    return rounded
