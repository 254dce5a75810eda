"""Reader of the ``labels.jsonl`` sets (one object a photo: file, width, height, complete, faces)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from quantize.data.pose import rotation_from_300wlp
from quantize.data.sample import FaceLabel, Sample

#: What a face may carry besides the fields of ``FaceLabel``; kept in ``extra``.
EXTRA = (
    "points68",
    "pose_300wlp",
    "pose_pointing04",
    "label",
    "blur",
    "occlusion",
    "illumination",
    "atypical_pose",
    "expression",
)


def _flag(o: dict[str, Any], key: str) -> bool:
    """Not ``bool``: a "false" in quotes would be true."""
    if o[key] not in (True, False):
        raise ValueError(f"{key} must be true or false, but got {str(o[key])[:80]!r}")
    return bool(o[key])


def _face(o: dict[str, Any]) -> FaceLabel:
    labelled = o.get("points5") if o.get("points5") is not None else o.get("teacher_points5")
    points = None if labelled is None else np.array(labelled, np.float32)
    hull = np.array(o.get("points68") or o.get("points5") or [], np.float32)
    if o.get("box") is not None:
        box = np.array(o["box"], np.float32)
    elif len(hull):  # until a detector gives a better one: the hull of the points
        box = np.concatenate([hull.min(0), hull.max(0)])
    else:
        raise ValueError("a face must have a box or points, but got neither")
    for name, array, shape in (("box", box, (4,)), ("points5", points, (5, 2))):
        if array is not None and (array.shape != shape or not np.isfinite(array).all()):
            raise ValueError(f"{name} must be finite numbers of shape {shape}, but got {str(array.tolist())[:80]}")
    if o.get("box") is not None and not (box[2:] > box[:2]).all():
        raise ValueError(f"box must be x1, y1, x2, y2 with x1 < x2 and y1 < y2, but got {o['box']}")
    extra = {k: o[k] for k in EXTRA if o.get(k) is not None}
    if o.get("points5") is None and points is not None:
        extra["points_from"] = "ensemble"
    extra["box_from"] = "label" if o.get("box") is not None else "points"
    pose = o.get("pose_300wlp")
    rotation = (
        None if pose is None else rotation_from_300wlp(pose["yaw"], pose["pitch"], pose["roll"]).astype(np.float32)
    )
    return FaceLabel(box, points, rotation, None, o.get("ignore") is not None and _flag(o, "ignore"), extra=extra)


def read_jsonl(folder: Path) -> tuple[list[Sample], list[str]]:
    """Samples of ``folder/labels.jsonl``, and a message for each line that had to be skipped."""
    samples, skipped = [], []
    path = Path(folder) / "labels.jsonl"
    # not splitlines: JSON's text may hold other ends of lines, such as U+2028
    for number, line in enumerate(path.read_text("utf-8-sig", errors="replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            o = json.loads(line)
            faces = [_face(f) for f in o["faces"]]
            sample = Sample(
                Path(folder) / o["file"],
                int(o["width"]),
                int(o["height"]),
                faces,
                _flag(o, "complete"),
                Path(folder).name,
                str(next((o[k] for k in ("event", "action", "kind", "source") if o.get(k)), "")),
                str(o.get("person") or ""),
                16.0 if str(o.get("labels_by", "")).startswith("ensemble") and not o.get("heads") else 0.0,
            )
            if o.get("labels_by"):
                for face, said in zip(faces, o["faces"], strict=True):
                    face.confidence = float(said.get("teacher_score", 1.0))
        except (ValueError, KeyError, TypeError, IndexError) as e:
            skipped.append(f"{path}:{number}: {type(e).__name__}: {e}")
            continue
        for face in sample.faces:
            face.extra |= {k: o[k] for k in ("person",) if k in o}
        samples.append(sample)
    return samples, skipped
