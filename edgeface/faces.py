"""What an engine returns: `Faces`, a struct of parallel arrays, and `Face`, one row of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgeface.angles import rotation_to_angles
from edgeface.errors import must_be
from edgeface.stamps import checked_integer, checked_stamp
from edgeface.turns import checked_rotation, turn_matrix, turn_points

__all__ = ["LANDMARK_NAMES", "Face", "Faces"]

#: Order of the landmarks, right and left OF THE PERSON (an upright frontal face has its right eye image-left).
LANDMARK_NAMES = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")

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
    """

    box: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]
    rotation: NDArray[np.float32]
    quality: float
    track_id: int | None = None
    frame_rotation: int = 0

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

        ``box`` and ``landmarks`` are in pixels of the frame given; ``rotation`` and the angles are those of the upright
        picture.
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
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """All faces of one frame, sorted by falling score: parallel arrays, and what is known of the frame.

    ``len``, iteration, ``faces[i]`` (a `Face`), slices, index arrays and boolean masks (`Faces`) work. No faces means
    arrays of length zero with their proper shapes, never None.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the frame given; the origin is the top left corner of its top
            left pixel.
        scores: (n,) float32, 0 to 1.
        landmarks: (n, 5, 2) float32, pixels of the frame given, in the order of `LANDMARK_NAMES`.
        rotations: (n, 3, 3) float32, head to the optical frame of the upright picture (x right, y down, z forward);
            `camera_rotations` are those of the camera as it is mounted.
        quality: (n,) float32, 0 to 1.
        track_ids: (n,) int64 in `track` mode, else None.
        size: (width, height) of the frame given, in pixels.
        rotation: degrees clockwise (0, 90, 180, 270) that make the frame upright, as the frame was told.
        timestamp_ns: when the frame was taken, in nanoseconds, as its source says; None if it does not.
        sequence: running number of the frame, as its source says; None if it does not.
        timings: seconds spent by stage ("preprocess", "infer", "decode").

    Raises:
        InvalidInputError: arrays of different lengths or wrong shapes, an unknown rotation, or a time stamp that is no
            integer of nanoseconds.

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
            )
        selector: Any = index if isinstance(index, slice) else self._selector(index)
        chosen: dict[str, Any] = {name: getattr(self, name)[selector] for name in _SHAPES}
        chosen["track_ids"] = None if self.track_ids is None else self.track_ids[selector]
        return replace(self, **chosen)

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
        if mask.dtype != np.bool_:
            raise must_be("the gate's answer", "an array of bools", mask.dtype)
        return self[mask]

    def upright(self) -> Faces:
        """The same faces in pixels of the upright picture.

        Returns:
            Boxes and landmarks turned, `size` of the upright picture, `rotation` 0; angles stay as they are.

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
