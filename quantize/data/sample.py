"""The one internal sample type. Pixels of the stored photo, origin at the top left corner of the top left pixel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.files import replacing

#: The iBUG points (of 68) behind the five landmarks: contours of the image-left and image-right eye, nose tip, corners.
EYE_RIGHT, EYE_LEFT, NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT = slice(36, 42), slice(42, 48), 30, 48, 54
#: Which of the five each is in a mirror.
MIRROR_POINTS = [1, 0, 2, 4, 3]


def points5_from_68(points: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Five landmarks, (5, 2) pixels, from the 68 iBUG points (68, 2); eyes are the mean of their six contour points."""
    p = np.asarray(points, np.float32)
    return np.stack([p[EYE_RIGHT].mean(0), p[EYE_LEFT].mean(0), p[NOSE_TIP], p[MOUTH_RIGHT], p[MOUTH_LEFT]])


@dataclass
class FaceLabel:
    """One face. ``box`` (4,) xyxy; ``points`` (5, 2); ``rotation`` (3, 3) head to optical frame; ``quality`` 0–1; None
    where unknown. ``confidence`` 0–1: how sure whoever set the box was; people are.

    ``ignore`` faces count neither as face nor as background. ``extra`` keeps what a format says besides (points68,
    pose, attributes).
    """

    box: NDArray[np.float32]
    points: NDArray[np.float32] | None = None
    rotation: NDArray[np.float32] | None = None
    quality: float | None = None
    ignore: bool = False
    confidence: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        def rounded(a: NDArray[np.float32] | None, digits: int) -> Any:
            return None if a is None else np.round(np.asarray(a, float), digits).tolist()

        return {
            "box": rounded(self.box, 2),
            "points": rounded(self.points, 2),
            "rotation": rounded(self.rotation, 5),
            "quality": None if self.quality is None else round(float(self.quality), 4),
            "ignore": self.ignore,
            "confidence": self.confidence,
            "extra": self.extra,
        }

    @staticmethod
    def from_json(o: dict[str, Any]) -> FaceLabel:
        def array(key: str) -> NDArray[np.float32] | None:
            return None if o.get(key) is None else np.array(o[key], np.float32)

        box = array("box")
        if box is None or box.shape != (4,):
            raise ValueError(f"box must be four numbers, but got {o.get('box')!r}")
        return FaceLabel(
            box,
            array("points"),
            array("rotation"),
            o.get("quality"),
            bool(o.get("ignore")),
            float(o.get("confidence", 1)),
            o.get("extra") or {},
        )


@dataclass
class Sample:
    """One photo and its faces. ``complete``: every face is listed, so that the rest of the photo is background.

    ``event``: what it shows, by its source; ``group``: whom it shows, where photos of one person must stay together.
    ``unknown_below``: faces of fewer pixels may be unlabelled in spite of ``complete``.
    """

    path: Path
    width: int
    height: int
    faces: list[FaceLabel]
    complete: bool
    source: str = ""
    event: str = ""
    group: str = ""
    unknown_below: float = 0.0

    @property
    def key(self) -> str:
        """What detections of this photo are filed under: its path, for names alone may repeat."""
        return str(self.path)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "width": self.width,
            "height": self.height,
            "complete": self.complete,
            "source": self.source,
            "event": self.event,
            "group": self.group,
            "unknown_below": self.unknown_below,
            "faces": [f.to_json() for f in self.faces],
        }

    @staticmethod
    def from_json(o: dict[str, Any]) -> Sample:
        return Sample(
            Path(o["path"]),
            int(o["width"]),
            int(o["height"]),
            [FaceLabel.from_json(f) for f in o["faces"]],
            bool(o["complete"]),
            o.get("source", ""),
            o.get("event", ""),
            o.get("group", ""),
            float(o.get("unknown_below", 0)),
        )


def write_samples(path: Path, samples: list[Sample]) -> None:
    """Writes one JSON object a line; the file appears whole or not at all."""
    with replacing(path) as part:
        part.write_text("".join(json.dumps(s.to_json()) + "\n" for s in samples))


def read_samples(path: Path) -> list[Sample]:
    """Reads what ``write_samples`` wrote. Raises ValueError with file and line for a broken one."""
    samples = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            samples.append(Sample.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError) as e:
            raise ValueError(f"{path}:{number}: {e}") from e
    return samples
