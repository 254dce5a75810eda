"""What one face teaches: 68 points with depth and visibility, and the state of eyes, mouth and covers.

Points that people drew stay as they are where the camera sees them. Points of the jaw that a turned head hides were
drawn along the outline; 3DDFA, moved onto the drawn points, says where they are. Faces without drawn points get those
of 3DDFA and of MediaPipe's mesh, with a lower weight, where both agree with the five landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.data.mean_face import rotation_from_points
from quantize.data.sample import FaceLabel
from quantize.label.mesh import FaceMesh
from quantize.label.tddfa import Tddfa
from quantize.points.crop import weak_perspective
from quantize.points.mean_face import VERTICES, five_of, mean_face
from quantize.points.state import STATE, drawn_openness, state_of_attributes
from quantize.points.visibility import visible_points

JAW, INNER = slice(0, 17), slice(17, 68)
MESH_YAW = 45
"""Degrees beyond which the mesh is not believed."""
DRAWN_YAW = (20.0, 40.0)
"""Degrees between which hidden points of the jaw go over from the drawn outline to 3DDFA's."""
AGREE = 0.07
"""Mean distance of five landmarks, over the box's side, up to which a teacher's points are believed."""
TAUGHT = 0.4
"""Weight of points that no person drew."""


@dataclass
class FaceTarget:
    """One face in photo pixels: ``points`` (68, 2), ``depth`` (68,) with mean 0, ``visible`` (68,), ``weight`` (68,) of
    the points, ``state`` (9,) as `STATE`, NaN where unknown; ``rotation`` (3, 3), ``box`` (4,). ``taught``: what each
    teacher says of the points.
    """

    points: NDArray[np.float64]
    depth: NDArray[np.float64]
    visible: NDArray[np.float64]
    weight: NDArray[np.float64]
    state: NDArray[np.float64]
    rotation: NDArray[np.float64]
    box: NDArray[np.float64]
    drawn: bool
    taught: dict[str, NDArray[np.float64]]


def yaw_of(rotation: NDArray[Any]) -> float:
    """Degrees, as `edgeface.angles` has it, for heads that do not look away from the camera."""
    return float(np.degrees(np.arcsin(np.clip(rotation[0][2], -1, 1))))


class PointLabeller:
    """The teachers of points, opened once; ``folder`` holds their weights."""

    def __init__(self, folder: Path) -> None:
        self.tddfa, self.mesh = Tddfa(folder), FaceMesh(folder)

    def __call__(self, image: NDArray[np.uint8], face: FaceLabel, source: str) -> FaceTarget | None:
        """The target of ``face`` in ``image``, BGR (h, w, 3); None where too little is sure."""
        drawn = face.extra.get("points68")
        rotation = face.rotation
        if drawn is not None and rotation is None:
            shape = mean_face()[INNER]
            rotation = rotation_from_points(np.array(drawn, float)[INNER], shape - shape.mean(0)).astype(np.float32)
        if rotation is None or (drawn is None and face.points is None):
            return None
        r, box, yaw = np.asarray(rotation, float), np.asarray(face.box, float), abs(yaw_of(rotation))
        five = five_of(np.array(drawn, float)) if drawn is not None else np.asarray(face.points, float)
        side = float(np.sqrt(np.prod(box[2:] - box[:2])))
        tddfa = self.tddfa(image, box[None])[0][0].astype(float)
        mesh = self.mesh(image, box, five[:2])[list(VERTICES)].astype(float) if yaw < MESH_YAW else None

        def agrees(points: NDArray[np.float64], most: float = AGREE) -> bool:
            return float(np.linalg.norm(five_of(points) - five, axis=1).mean()) < most * side

        if mesh is not None and not agrees(mesh[:, :2]):
            mesh = None
        seen = visible_points(r)
        if drawn is not None:
            points = outline_corrected(np.array(drawn, float), tddfa, seen, yaw)
            weight = np.where(seen, 1.0, 0.5)
        elif agrees(tddfa):
            points = tddfa if mesh is None else np.concatenate([tddfa[JAW], mesh[INNER, :2]])
            weight = np.full(68, TAUGHT)
        else:
            return None
        depth = mesh[:, 2] if mesh is not None else depth_of_mean_face(points, r)
        depth = depth - depth.mean()
        state = state_of_attributes(face.extra, source)
        if drawn is not None:
            state[:3] = np.where(contours_seen(seen), drawn_openness(points, r), np.nan)
        elif mesh is not None and state[STATE.index("cover_mouth")] == 0:
            state[2] = drawn_openness(points, r)[2]  # of eyes the mesh says too little: it hardly shuts them
        taught = {"tddfa": tddfa} if mesh is None else {"tddfa": tddfa, "mesh": mesh[:, :2]}
        return FaceTarget(points, depth, seen.astype(float), weight, state, r, box, drawn is not None, taught)


def contours_seen(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(3,) whether the camera sees at least half of right eye, left eye and mouth; ``seen`` (68,)."""
    return np.array([seen[36:42].mean() >= 0.5, seen[42:48].mean() >= 0.5, seen[60:68].mean() >= 0.5])


def outline_corrected(
    drawn: NDArray[np.float64], model: NDArray[np.float64], seen: NDArray[np.bool_], yaw: float
) -> NDArray[np.float64]:
    """``drawn`` (68, 2) with the hidden points of the jaw moved to ``model``'s (68, 2), in part between `DRAWN_YAW`."""
    share = float(np.clip((yaw - DRAWN_YAW[0]) / (DRAWN_YAW[1] - DRAWN_YAW[0]), 0, 1))
    scale, shift = weak_perspective(drawn[seen], model[seen])
    moved = scale * model + shift
    out = drawn.copy()
    hidden = np.flatnonzero(~seen[JAW])
    out[hidden] += share * (moved[hidden] - drawn[hidden])
    return out


def depth_of_mean_face(points: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth (68,) in pixels of a mean face of the size that ``points`` (68, 2) show under ``rotation``."""
    turned = mean_face() @ rotation.T
    scale, _ = weak_perspective(points, turned[:, :2])
    return np.asarray(scale * turned[:, 2])
