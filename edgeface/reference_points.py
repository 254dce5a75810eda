"""The core's functions for the per-face network in plain NumPy: the definition that the C++ code is tested against.

`preprocess_face` gives the same integers; `face_crop` and `decode_points` agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface import _core
from edgeface.reference import yuv_to_rgb

__all__ = ["decode_points", "face_crop", "preprocess_face"]

_MOST_SAMPLES = 16
_FRACTION = 24
_CENTRE = np.array([0, 0.055, 0.028])  # of the smallest ball around the 68 points and the chin of an open mouth
_BOX_SIDE = 1.05  # face widths: root of the area of a detector's box, at any yaw
_SMALLEST, _LARGEST = 0.6, 1.6
_FORESHORTENED = 0.25


def face_crop(
    landmarks: NDArray[Any], rotation: NDArray[Any], box: NDArray[Any], margin: float = 1.7
) -> tuple[NDArray[np.float64], float]:
    """The square around a face that the per-face network sees.

    Args:
        landmarks: (5, 2) pixels of the frame, in the order of `edgeface.faces.LANDMARK_NAMES`.
        rotation: (3, 3) head to the optical frame of the camera as it is mounted.
        box: (4,) x1 y1 x2 y2 in pixels of the frame.
        margin: side of the crop in face widths.

    Returns:
        (2, 3) float64 A with ``frame_xy = A @ [x, y, 1]``, x and y in crop sides from the crop's centre; and the width
        of the face in pixels.
    """
    mean = _core.mean_face().astype(np.float64)
    width = 2 * mean[16, 0]
    model = np.array([mean[36:42].mean(0), mean[42:48].mean(0), mean[30], mean[48], mean[54]])
    p, q = np.asarray(landmarks, np.float64), (model @ np.asarray(rotation, np.float64).T)[:, :2]
    mean_p, mean_q = p.mean(0), q.mean(0)
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    expected = np.sqrt((x2 - x1) * (y2 - y1)) / (_BOX_SIDE * width)
    own = ((q - mean_q) ** 2).sum()
    scale = ((p - mean_p) * (q - mean_q)).sum() / own if own > 1e-12 else expected
    scale = np.clip(scale, _SMALLEST * expected, _LARGEST * expected)
    down = np.array(rotation, np.float64)[:2, 1]
    if np.hypot(*down) < _FORESHORTENED:
        down = np.array([-rotation[1][0], rotation[0][0]], np.float64)
    down = down / np.hypot(*down) if np.hypot(*down) >= 1e-6 else np.array([0.0, 1.0])
    centre = mean_p + scale * ((np.asarray(rotation, np.float64) @ _CENTRE)[:2] - mean_q)
    turn = np.array([[down[1], down[0]], [-down[0], down[1]]])
    return np.column_stack([margin * width * scale * turn, centre]), float(width * scale)


def preprocess_face(
    planes: Sequence[NDArray[np.uint8]],
    format: str,  # noqa: A002
    width: int,
    height: int,
    out: NDArray[Any],
    crop: NDArray[np.float64],
    *,
    layout: str,
    color: str,
    matrix: str = "bt601",
    range: str = "limited",  # noqa: A002
    scale: float = 1 / 128,
    zero_point: int = 0,
) -> NDArray[np.float64]:
    """Sample the turned crop of a face into a network's input.

    Args:
        planes: as of `edgeface.reference.preprocess`, and so `format`, `width`, `height`, `layout`, `color`, `matrix`,
            `range`, `scale` and `zero_point`.
        out: as there, with equal sides.
        crop: (2, 3) of `face_crop`. What lies beyond the frame is the pixel 128.

    Returns:
        The 2x3 float64 affine A with frame_xy = A @ [tensor_x, tensor_y, 1]; continuous pixel coordinates.
    """
    tensor: NDArray[Any] = out.reshape(out.shape[-3:])
    tensor = tensor.transpose(1, 2, 0) if layout == "NCHW" else tensor
    size = len(tensor)
    (a, b, x0), (c, d, y0) = crop
    side = np.sqrt(a * a + c * c)
    n = next((k for k in np.arange(1, _MOST_SAMPLES) if side <= 2.0 * k * size), _MOST_SAMPLES)
    steps = 2.0 * n * size
    u = 2 * np.arange(n * size, dtype=np.int64) + 1

    def positions(across: float, down: float, start: float) -> NDArray[np.int64]:
        whole = u[None] * _fixed(across / steps) + u[:, None] * _fixed(down / steps)
        moved: NDArray[np.int64] = whole + _fixed(start - (across + down) / 2)
        return moved

    x, y = positions(a, b, x0), positions(c, d, y0)

    def sampled(plane: NDArray[np.uint8], outside: int, half_x: int = 0, half_y: int = 0) -> NDArray[np.int64]:
        rows, columns = plane.shape
        qx, qy = _in_plane(x, half_x), _in_plane(y, half_y)
        fx, fy = qx & 127, qy & 127

        def pixel(right: int, below: int) -> NDArray[np.int64]:
            ix, iy = (qx >> 7) + right, (qy >> 7) + below
            inside = (ix >= 0) & (iy >= 0) & (ix < columns) & (iy < rows)
            seen = plane[np.clip(iy, 0, rows - 1), np.clip(ix, 0, columns - 1)].astype(np.int64)
            return np.where(inside, seen, outside)

        upper, lower = (pixel(0, k) * (128 - fx) + pixel(1, k) * fx for k in (0, 1))
        sums = (upper * (128 - fy) + lower * fy).reshape(size, n, size, n).sum((1, 3))
        divisor = n * n << 14
        mean: NDArray[np.int64] = (2 * sums + divisor) // (2 * divisor)
        return mean

    grey = 128 if range == "full" else 126
    if format in ("bgr", "rgb"):
        parts = [sampled(planes[0][..., k], 128) for k in ((2, 1, 0) if format == "bgr" else (0, 1, 2))]
        picture = np.stack(parts, 2)
    elif format == "gray":
        picture = np.repeat(sampled(planes[0].reshape(height, width), 128)[..., None], 3, 2)
    else:
        if format in ("yuyv", "uyvy"):
            first = 0 if format == "yuyv" else 1
            luma, chroma = planes[0][..., first], planes[0][..., 1 - first]
            parts = [sampled(chroma[:, k::2], 128, 1, 0) for k in (0, 1)]
        else:
            luma = planes[0]
            pair = (planes[1][..., 0], planes[1][..., 1]) if len(planes) == 2 else (planes[1], planes[2])
            parts = [sampled(plane, 128, 1, 1) for plane in (pair[::-1] if format == "nv21" else pair)]
        picture = yuv_to_rgb(np.stack([sampled(luma, grey), *parts], 2), matrix, range)
    real = ((picture[..., ::-1] if color == "bgr" else picture) - 128) / 128
    if out.dtype == np.float32:
        tensor[...] = real
    else:
        info = np.iinfo(out.dtype)
        tensor[...] = np.clip(np.rint(real / float(np.float32(scale))) + zero_point, info.min, info.max)
    return np.array([[a / size, b / size, x0 - (a + b) / 2], [c / size, d / size, y0 - (c + d) / 2]])


def _fixed(pixels: float) -> int:
    """In 2^-24 pixels, rounded to even."""
    return int(np.rint(pixels * (1 << _FRACTION)))


def _in_plane(position: NDArray[np.int64], half: int) -> NDArray[np.int64]:
    """In 1/128 of a pixel of a plane, from the centre of its first; rounded half up."""
    shift = _FRACTION - 7 + half
    return ((position + (1 << (shift - 1))) >> shift) - 64


def decode_points(
    outputs: Sequence[NDArray[Any]],
    roles: Sequence[str],
    scales: Sequence[float],
    zero_points: Sequence[int],
    crop: NDArray[np.float64],
    face_width: float,
) -> tuple[NDArray[Any], ...] | None:
    """The per-face network's numbers to points in the frame: rule ``edgeface-points-v1`` of docs/bundle.md.

    Args:
        outputs: int8, uint8 or float32, one for each of "points" (136), "depth" (68), "spread" (68), "visible" (68) and
            "state" (9), in any order.
        roles: which of them each is.
        scales: of each; a stored q is (q - zero_point) * scale.
        zero_points: of each.
        crop: (2, 3) of `face_crop`.
        face_width: in pixels, of `face_crop`.

    Returns:
        points (68, 2) in pixels of the frame; points3d (68, 3) in face widths, origin their mean, axes of the camera as
        it is mounted; spread (68,) in pixels; visible (68,); eyes_open (2,); mouth_open; cover (6,). None where a
        number is not finite.
    """
    number = {}
    for role, q, scale, zero_point in zip(roles, outputs, scales, zero_points, strict=True):
        number[role] = (q.reshape(-1).astype(np.float64) - zero_point) * float(np.float32(scale))
    if not all(np.isfinite(values).all() for values in number.values()):
        return None
    side = np.hypot(crop[0, 0], crop[1, 0])
    places = np.clip(number["points"], -100, 100).reshape(68, 2) @ crop[:, :2].T + crop[:, 2]
    space = np.column_stack([places, side * np.clip(number["depth"], -100, 100)])
    spread = side * np.exp(np.clip(number["spread"], -20, 4.6))
    visible, state = _sigmoid(number["visible"]), _sigmoid(number["state"])
    return places, (space - space.mean(0)) / face_width, spread, visible, state[:2], state[2], state[3:]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
    return result
