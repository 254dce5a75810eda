"""What a detector said of a photo, and its files: one JSON object a photo, so that anybody can score them again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgeface import Faces

Array = NDArray[np.float64]


@dataclass
class Found:
    """Detections of one photo, float64: ``boxes`` (n, 4) xyxy, ``scores`` (n,), ``landmarks`` (n, 5, 2), ``quality``
    (n,), ``angles`` (n, 3) yaw, pitch, roll in degrees of 300W-LP. None for what the detector does not say.
    """

    boxes: Array
    scores: Array
    landmarks: Array | None = None
    angles: Array | None = None
    quality: Array | None = None

    @staticmethod
    def of(faces: Faces) -> Found:
        """What an engine returned."""
        arrays = (faces.boxes, faces.scores, faces.landmarks, faces.angles, faces.quality)
        return Found(*(np.asarray(a, np.float64) for a in arrays))

    def to_json(self) -> list[dict[str, Any]]:
        """One object a face: box, score, landmarks, yaw_300wlp, pitch_300wlp, roll_300wlp, quality."""
        rows = []
        for i in range(len(self.scores)):
            row: dict[str, Any] = {"box": self.boxes[i].round(3).tolist(), "score": round(float(self.scores[i]), 6)}
            if self.landmarks is not None:
                row["landmarks"] = self.landmarks[i].round(3).tolist()
            if self.angles is not None:
                for name, angle in zip(("yaw", "pitch", "roll"), self.angles[i], strict=True):
                    row[f"{name}_300wlp"] = round(float(angle), 3)
            if self.quality is not None:
                row["quality"] = round(float(self.quality[i]), 6)
            rows.append(row)
        return rows

    @staticmethod
    def from_json(rows: Sequence[Mapping[str, Any]]) -> Found:
        """The inverse of `to_json`."""
        n = len(rows)

        def column(key: str) -> Array | None:
            return np.array([r[key] for r in rows], float) if n and all(r.get(key) is not None for r in rows) else None

        angles = [column(f"{name}_300wlp") for name in ("yaw", "pitch", "roll")]
        return Found(
            np.array([r["box"] for r in rows], float).reshape(n, 4),
            np.array([r["score"] for r in rows], float),
            column("landmarks"),
            np.stack([a for a in angles if a is not None], 1) if all(a is not None for a in angles) else None,
            column("quality"),
        )


Predictions = Mapping[str, Found]
"""A sample's ``key`` to what was found in its photo; a photo that is absent has no detections."""


def write_predictions(path: Path, predictions: Predictions) -> None:
    """One JSON object a photo, ``{"file": key, "faces": [...]}``."""
    lines = (json.dumps({"file": key, "faces": found.to_json()}) + "\n" for key, found in predictions.items())
    path.write_text("".join(lines))


def read_predictions(path: Path) -> dict[str, Found]:
    """The inverse of `write_predictions`."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {str(row["file"]): Found.from_json(row["faces"]) for row in rows}
