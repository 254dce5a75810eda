"""Errors of found crops: measured where they are known, on upright and turned photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")

from points_faces import face_points, photo, target

from edgeface.angles import rotation_to_angles
from quantize.data.detections import Found
from quantize.data.sample import FaceLabel, Sample
from quantize.points import crop_errors
from quantize.points.crop import face_crop
from quantize.points.crop_errors import crop_error, measure, table, turned
from quantize.points.mean_face import five_of


def test_a_moved_larger_turned_crop_is_measured() -> None:
    one = target()
    true, _ = face_crop(five_of(one.points), one.rotation, one.box)
    angle, side = np.radians(10), float(np.hypot(*true[:, 0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = np.c_[turn @ true[:, :2] * 1.2, true[:, 2] + true[:, :2] @ [0.1, -0.05]]
    shift, scale, degrees = crop_error(true, found)
    assert shift == pytest.approx([0.1, -0.05]) and scale == pytest.approx(np.log(1.2))
    assert degrees == pytest.approx(10) and side > 0


def test_a_turned_photo_carries_its_points() -> None:
    points = face_points()[:, :2]
    image, move = turned(photo(points), 45)
    eye = points[36:42].mean(0) @ move[:, :2].T + move[:, 2]
    x, y = np.rint(eye).astype(int)
    assert image[y, x].max() < 60 and image.shape[0] > 300


def test_a_finder_that_errs_by_a_tenth_is_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    one = target()
    sample = Sample(Path("a.png"), 240, 240, [FaceLabel(one.box.astype(np.float32))], False, "drawn")
    monkeypatch.setattr(crop_errors, "read_photo", lambda s: photo(one.points))

    def detect(image: Any) -> Found:
        roll = 0 if image.shape[0] == 240 else 45
        _, move = turned(photo(one.points), roll) if roll else (None, np.eye(2, 3))
        turn = np.eye(3)
        turn[:2, :2] = move[:, :2]
        side = 700 * 0.153316 * 1.5
        five = five_of(one.points) @ move[:, :2].T + move[:, 2] + [0.1 * side, 0]
        box = np.r_[five.mean(0) - 60, five.mean(0) + 60]
        angles = rotation_to_angles(turn @ one.rotation)
        return Found(box[None], np.array([0.9]), five[None], angles[None])

    errors, missed = measure([sample], lambda *_: one, detect, lambda crops: np.zeros((len(crops), 68, 2)))
    assert missed == 0 and [e.roll for e in errors] == [0, 45]
    for error in errors:
        assert np.hypot(*error.shift) == pytest.approx(0.1, abs=0.005) and abs(error.turn) < 0.5
        assert error.found > error.exact
    rows = table(errors).splitlines()
    assert len(rows) == 4 and rows[2].startswith("| 0° | 0–30° | 1 |") and "| 1.000 |" in rows[2]
