"""Turned photos: what is found in them comes back to where it was, and points the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from edgeface.angles import angles_to_rotation, rotation_to_angles
from quantize.data.detections import Found
from quantize.evaluate.detectors import DetectorSpec
from quantize.models.turned import TURNS, TurnedDetector

ANGLES = (25.0, -10.0, 15.0)
"""Of the head in the upright photo."""
CLOCKWISE = {0: (0.0, 1.0), 90: (1.0, 0.0), 180: (0.0, -1.0), 270: (-1.0, 0.0)}
"""Sine and cosine."""


class Bright:
    """Finds the one bright rectangle and the one red pixel, and a head that was turned with the photo."""

    name, rule = "bright", "as it is"

    def __init__(self, degrees: int) -> None:
        sine, cosine = CLOCKWISE[degrees]
        self.turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

    def detect(self, image: NDArray[np.uint8]) -> Found:
        rows, columns = np.nonzero(image[:, :, 0])
        ((y, x),) = np.argwhere(image[:, :, 2])
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        angles = rotation_to_angles(self.turn @ angles_to_rotation(ANGLES))
        return Found(np.array([box], float), np.ones(1), np.full((1, 5, 2), [x + 0.5, y + 0.5]), angles[None])


@pytest.mark.parametrize("degrees", TURNS)
def test_boxes_points_and_angles_come_back(degrees: int) -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    image[4:16, 31:38, 0] = 255
    image[6, 33, 2] = 255
    found = TurnedDetector(Bright(degrees), degrees).detect(image)
    assert found.boxes.tolist() == [[31, 4, 38, 16]]
    assert found.landmarks is not None and found.landmarks[0].tolist() == [[33.5, 6.5]] * 5
    assert found.angles is not None and found.angles[0] == pytest.approx(ANGLES)


def test_nothing_found_is_nothing_turned_back() -> None:
    class Blind(Bright):
        def detect(self, image: NDArray[np.uint8]) -> Found:
            shapes: Any = [(0, 5, 2), (0, 3), (0,)]
            return Found(np.zeros((0, 4)), np.zeros(0), *(np.zeros(s) for s in shapes))

    found = TurnedDetector(Blind(90), 90).detect(np.zeros((30, 50, 3), np.uint8))
    assert (found.boxes.shape, found.angles is not None and found.angles.shape) == ((0, 4), (0, 3))


def test_other_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="turn must be one of 0, 90, 180, 270, but got 45"):
        DetectorSpec("edgeface-s", (320, 320), turn=45).open()
