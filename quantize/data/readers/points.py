"""300-W: photos with a ``.pts`` of 68 points each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.pose import rotation_from_300wlp
from quantize.data.readers.photos import Result, each, labelled_size, numbers, outside, photo_beside, text_of
from quantize.data.sample import FaceLabel, Sample, points5_from_68


def read_pts(folder: Path) -> Result:
    """A folder of photos with 68 points in a ``.pts`` of the same name; other faces of a photo are not labelled."""
    return each(sorted(folder.rglob("*.pts")), lambda path: pointed(photo_beside(path), parse_pts(text_of(path)), {}))


def parse_pts(text: str) -> NDArray[np.float32]:
    """Points (68, 2) in pixels of the photo. The files count pixel centres from 1, as MATLAB does.

    Raises:
        ValueError: another number of points, or not a ``.pts`` file.
    """
    body = re.fullmatch(r"\s*version:\s*\S+\s+n_points:\s*(\d{1,4})\s*\{(.*)\}\s*", text, re.DOTALL)
    if body is None:
        raise ValueError("a .pts file must be version, n_points and {points}, but got something else")
    rows = [numbers(line, 2) for line in body[2].strip().splitlines()]
    if int(body[1]) != 68 or len(rows) != 68:
        raise ValueError(f"there must be 68 points, but got {len(rows)} (n_points {body[1]})")
    return np.array(rows, np.float32) - 0.5


def pointed(photo: Path, points: NDArray[np.float32], pose: dict[str, float]) -> Sample:
    """A photo with one labelled face of 68 ``points`` (68, 2); ``pose`` in degrees of 300W-LP, or empty."""
    width, height = labelled_size(photo)
    hull = np.r_[points.min(0), points.max(0)].astype(np.float32)
    if outside(hull.tolist(), width, height):
        raise ValueError(
            f"points must touch the photo of {width}x{height}, but got some around {hull.round().tolist()}"
        )
    extra: dict[str, Any] = {"points68": points.round(2).tolist(), "box_from": "points"}
    rotation = None
    if pose:
        extra["pose_300wlp"] = {k: round(v, 4) for k, v in pose.items()}
        rotation = rotation_from_300wlp(pose["yaw"], pose["pitch"], pose["roll"]).astype(np.float32)
    return Sample(photo, width, height, [FaceLabel(hull, points5_from_68(points), rotation, extra=extra)], False)
