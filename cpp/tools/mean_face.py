"""Writes ``src/mean_face.h``, the mean face of the core, from MediaPipe's canonical face model.

    python cpp/tools/mean_face.py canonical_face_model.obj > cpp/src/mean_face.h

The model is ``mediapipe/modules/face_geometry/data/canonical_face_model.obj`` of MediaPipe (Apache-2.0): 468 vertices
in centimetres, x to the person's left, y up, z to the viewer.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Distance of the eyes' centres that the face is scaled to, in metres: the mean of adults (Dodgson 2004).
EYE_DISTANCE = 0.063

#: The vertices of each of the 68 points; the point is their mean. The half of the person's right, and the midline: the
#: model is symmetric.
_RIGHT = {
    0: (127,), 1: (234,), 2: (93,), 3: (132, 58), 4: (58, 172), 5: (136,), 6: (150,), 7: (176,), 8: (152,),
    17: (70,), 18: (63,), 19: (105,), 20: (66,), 21: (107,),
    27: (168, 6), 28: (197, 195), 29: (5,), 30: (4,), 31: (75,), 32: (97,), 33: (2,),
    36: (33,), 37: (160,), 38: (158,), 39: (133,), 40: (153,), 41: (144,),
    48: (61,), 49: (39,), 50: (37,), 51: (0,), 57: (17,), 58: (84,), 59: (91,),
    60: (78,), 61: (82,), 62: (13,), 66: (14,), 67: (87,),
}  # fmt: skip
#: Points of the person's left, and the point of the right that each mirrors.
_LEFT = {
    9: 7, 10: 6, 11: 5, 12: 4, 13: 3, 14: 2, 15: 1, 16: 0, 22: 21, 23: 20, 24: 19, 25: 18, 26: 17, 34: 32, 35: 31,
    42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40, 52: 50, 53: 49, 54: 48, 55: 59, 56: 58, 63: 61, 64: 60, 65: 67,
}  # fmt: skip


def mean_face(path: Path) -> list[tuple[float, float, float]]:
    """The 68 points in metres: x to the person's left, y down, z to the back of the head, origin between the eyes."""
    lines = path.read_text().splitlines()
    vertices = [tuple(float(v) for v in line.split()[1:]) for line in lines if line.startswith("v ")]

    def point(i: int) -> list[float]:
        if i in _LEFT:
            x, y, z = point(_LEFT[i])
            return [-x, y, z]
        chosen = [vertices[v] for v in _RIGHT[i]]
        x, y, z = (sum(axis) / len(chosen) for axis in zip(*chosen, strict=True))
        midline = i not in _LEFT.values()
        return [0.0 if midline else x, -y, -z]

    points = [point(i) for i in range(68)]
    right = [sum(axis) / 6 for axis in zip(*points[36:42], strict=True)]
    scale = EYE_DISTANCE / (-2 * right[0])
    return [(x * scale, (y - right[1]) * scale, (z - right[2]) * scale) for x, y, z in points]


def main() -> None:
    points = mean_face(Path(sys.argv[1]))
    rows = "\n".join(f"    {{{x:+.6f}f, {y:+.6f}f, {z:+.6f}f}},  // {i}" for i, (x, y, z) in enumerate(points))
    print(_HEADER.format(rows=rows, distance=f"{EYE_DISTANCE * 1000:.0f}"))


_HEADER = """\
// Made by tools/mean_face.py from MediaPipe's canonical face model (The MediaPipe Authors, Apache-2.0): do not edit.
//
// 68 points in iBUG's order, metres: x to the person's left, y down, z to the back of the head, origin between the
// centres of the eyes, which are {distance} mm apart.
#ifndef EDGEFACE_SRC_MEAN_FACE_H
#define EDGEFACE_SRC_MEAN_FACE_H

namespace ef {{

constexpr float kMeanFace[68][3] = {{
{rows}
}};

}}  // namespace ef
#endif"""


if __name__ == "__main__":
    main()
