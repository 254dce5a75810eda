"""The core's two functions in plain NumPy: the definition that the C++ kernels are tested against, bit for bit.

Slow and short. Every integer of `preprocess` is written as one formula, with no regard to how the kernels get there;
`decode` follows rule ``edgeface-v1`` of docs/bundle.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode", "preprocess", "yuv_to_rgb"]

_CHANNELS = 22
_MAX_LOG_SIZE = 20.0
_NEAR = np.float32(0.6)  # boxes of a larger IoU are measurements of one box,
_ALIKE = np.float32(0.75)  # and of a larger one yet the same face seen from neighbouring cells
_HEARD = np.float32(0.1)  # cells of a lower score add nothing to the face that suppresses them
_USUAL = 2.0  # the sum of scores that leaves a face's score as its best cell has it
_MAX_BOX = 64
_KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def preprocess(
    planes: Sequence[NDArray[np.uint8]],
    format: str,  # noqa: A002
    width: int,
    height: int,
    out: NDArray[Any],
    *,
    layout: str,
    color: str,
    fit: str = "letterbox",
    rotation: int = 0,
    crop: tuple[int, int, int, int] | None = None,
    matrix: str = "bt601",
    range: str = "limited",  # noqa: A002
    scale: float = 1 / 128,
    zero_point: int = 0,
    filter: str = "bilinear",  # noqa: A002
) -> NDArray[np.float64]:
    """Crop, resize, turn, convert and quantise a frame into a network's input.

    Args:
        planes: uint8 arrays. bgr, rgb: one (h, w, 3); gray: (h, w); nv12, nv21: (h, w) and (ceil h/2, ceil w/2, 2), or
            the second as (ceil h/2, 2 ceil w/2); i420: (h, w) and twice (ceil h/2, ceil w/2); yuyv, uyvy: one
            (h, w, 2), w even.
        format: bgr, rgb, gray, nv12, nv21, i420, yuyv or uyvy.
        width: of the frame, in pixels.
        height: of the frame, in pixels.
        out: int8, uint8 or float32, filled in place; (H, W, 3), (1, H, W, 3), (3, H, W) or (1, 3, H, W).
        layout: NHWC or NCHW.
        color: order of the three channels of `out`, rgb or bgr.
        fit: letterbox (aspect kept, centred, border real 0) or stretch.
        rotation: degrees clockwise (0, 90, 180, 270) that make the picture upright.
        crop: (x, y, width, height) in pixels of the frame as given; taps never leave it.
        matrix: bt601 or bt709, of the YUV formats.
        range: limited or full, of the YUV formats.
        scale: of a quantised `out`: a pixel p is stored as round((p - 128) / 128 / scale) + zero_point, ties to even,
            saturated.
        zero_point: see scale.
        filter: bilinear (half-pixel centres), or area: bilinear over the means of k x k pixels, k = floor(ratio) on
            each axis, at most 64.

    Returns:
        The 2x3 float64 affine A with frame_xy = A @ [tensor_x, tensor_y, 1]; continuous pixel coordinates, origin at
        the top left corner.

    Examples:
        >>> out = np.empty((1, 240, 320, 3), np.int8)
        >>> preprocess([np.zeros((480, 640, 3), np.uint8)], "bgr", 640, 480, out, layout="NHWC", color="rgb")
        array([[2., 0., 0.],
               [0., 2., 0.]])
    """
    x, y, w, h = crop or (0, 0, width, height)
    tensor: NDArray[Any] = out.reshape(out.shape[-3:])
    tensor = tensor.transpose(1, 2, 0) if layout == "NCHW" else tensor
    target_h, target_w, _ = tensor.shape
    up_w, up_h = (h, w) if rotation % 180 else (w, h)
    new_w, new_h = target_w, target_h
    if fit == "letterbox":
        if up_w * target_h >= up_h * target_w:
            new_h = min(max((2 * up_h * target_w + up_w) // (2 * up_w), 1), target_h)
        else:
            new_w = min(max((2 * up_w * target_h + up_h) // (2 * up_h), 1), target_w)
    left, top = (target_w - new_w) // 2, (target_h - new_h) // 2
    columns, rows = (new_h, new_w) if rotation % 180 else (new_w, new_h)  # as the camera sees it

    def resized(
        plane: NDArray[np.uint8], channels: int = 1, subsample_x: int = 1, subsample_y: int = 1
    ) -> NDArray[np.int64]:
        across = _Axis(x, w, subsample_x, columns, filter == "area")
        down = _Axis(y, h, subsample_y, rows, filter == "area")
        return _resize(plane.reshape(len(plane), -1, channels).astype(np.int64), across, down)

    if format in ("bgr", "rgb"):
        picture = resized(planes[0], 3)
        picture = picture[..., ::-1] if format == "bgr" else picture
    elif format == "gray":
        picture = np.repeat(resized(planes[0]), 3, axis=2)
    else:
        if format in ("yuyv", "uyvy"):
            packed = planes[0].reshape(height, -1, 2)
            luma, chroma = (packed[..., 0], packed[..., 1]) if format == "yuyv" else (packed[..., 1], packed[..., 0])
            yuv = [resized(luma), resized(chroma, 2, 2, 1)]
        elif format == "i420":
            yuv = [resized(planes[0]), resized(planes[1], 1, 2, 2), resized(planes[2], 1, 2, 2)]
        else:
            uv = resized(planes[1], 2, 2, 2)
            yuv = [resized(planes[0]), uv[..., ::-1] if format == "nv21" else uv]
        picture = yuv_to_rgb(np.concatenate(yuv, axis=2), matrix, range)
    picture = np.rot90(picture, -rotation // 90)
    if color == "bgr":
        picture = picture[..., ::-1]
    canvas = np.full((target_h, target_w, 3), 128, np.int64)
    canvas[top : top + new_h, left : left + new_w] = picture
    real = (canvas - 128) / 128
    if out.dtype == np.float32:
        tensor[...] = real
    else:
        info = np.iinfo(out.dtype)
        tensor[...] = np.clip(np.rint(real / float(np.float32(scale))) + zero_point, info.min, info.max)
    return _affine((x, y, w, h), rotation, (up_w / new_w, up_h / new_h), (left, top))


class _Axis:
    """Where `count` outputs lie on an axis of a plane that holds every `subsample`th pixel of `length` from `start`."""

    def __init__(self, start: int, length: int, subsample: int, count: int, area: bool) -> None:
        self.first = start // subsample
        pixels = -(-(start + length) // subsample) - self.first
        self.box = min(max(length // (subsample * count), 1), _MAX_BOX) if area else 1
        self.boxes = pixels // self.box
        # position of the centres of the outputs, in 1/128 of a box from the centre of the first box, rounded half up
        numerator = 2 * count * (start - self.first * subsample) + (2 * np.arange(count, dtype=np.int64) + 1) * length
        divisor = 2 * count * subsample * self.box
        position = np.clip((256 * numerator + divisor) // (2 * divisor) - 64, 0, 128 * (self.boxes - 1))
        self.index = position >> 7
        self.following = np.minimum(self.index + 1, self.boxes - 1)
        self.weight = position & 127


def _resize(plane: NDArray[np.int64], across: _Axis, down: _Axis) -> NDArray[np.int64]:
    """Bilinear over means of boxes, (h, w, c) to (rows, columns, c); weights of 1/128, rounded once for both axes."""
    plane = plane[down.first :, across.first :][: down.boxes * down.box, : across.boxes * across.box]
    n = across.box * down.box
    sums = plane.reshape(down.boxes, down.box, across.boxes, across.box, -1).sum(axis=(1, 3))
    boxes = (sums + n // 2) // n
    weight = down.weight[:, None, None]
    rows = boxes[down.index] * (128 - weight) + boxes[down.following] * weight
    weight = across.weight[:, None]
    total = rows[:, across.index] * (128 - weight) + rows[:, across.following] * weight
    result: NDArray[np.int64] = (total + 8192) >> 14
    return result


def yuv_to_rgb(yuv: NDArray[np.int64], matrix: str, range: str) -> NDArray[np.int64]:  # noqa: A002
    """(h, w, 3) YUV to RGB with 6 fraction bits, as ITU-R BT.601 and BT.709 define it."""
    kr, kb = _KR_KB[matrix]
    kg = 1 - kr - kb
    offset, luma, chroma = (0, 1.0, 1.0) if range == "full" else (16, 255 / 219, 255 / 224)

    def product(value: NDArray[np.int64], gain: float, one: int) -> NDArray[np.int64]:
        result: NDArray[np.int64] = (value * int(gain * one + 0.5) + 16384) >> 15
        return result

    y = product((yuv[..., 0] - offset) * 128, luma, 16384) + 32
    u, v = (yuv[..., 1] - 128) * 256, (yuv[..., 2] - 128) * 256
    r = y + product(v, 2 * (1 - kr) * chroma, 8192)
    g = y - (product(u, 2 * (1 - kb) * kb / kg * chroma, 8192) + product(v, 2 * (1 - kr) * kr / kg * chroma, 8192))
    b = y + product(u, 2 * (1 - kb) * chroma, 8192)
    rgb: NDArray[np.int64] = np.clip(np.stack((r, g, b), axis=2) >> 6, 0, 255)
    return rgb


def _affine(
    crop: tuple[int, int, int, int], rotation: int, scale: tuple[float, float], offset: tuple[int, int]
) -> NDArray[np.float64]:
    """Tensor to upright crop (scale, offset), then back through the turn, then to the frame."""
    x, y, w, h = crop
    upright = np.array([[scale[0], 0, -scale[0] * offset[0]], [0, scale[1], -scale[1] * offset[1]], [0, 0, 1]])
    turn = {
        0: [[1, 0, x], [0, 1, y]],
        90: [[0, 1, x], [-1, 0, y + h]],
        180: [[-1, 0, x + w], [0, -1, y + h]],
        270: [[0, -1, x + w], [1, 0, y]],
    }[rotation]
    affine: NDArray[np.float64] = np.array(turn, np.float64) @ upright
    return affine


def decode(
    outputs: Sequence[NDArray[Any]],
    strides: Sequence[int],
    layouts: Sequence[str],
    scales: Sequence[float],
    zero_points: Sequence[int],
    channel_scales: Sequence[NDArray[np.float32]],
    transform: NDArray[np.float64],
    *,
    min_score: float,
    nms_iou: float,
    max_faces: int = 256,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Turn a network's raw output tensors into faces.

    Args:
        outputs: one (1, 22, h, w), or (1, h, w, 22), int8, uint8 or float32 array for each level.
        strides: pixels of the input tensor a cell of each level covers.
        layouts: NCHW or NHWC, of each level.
        scales: a stored q of channel c is the real number (q - zero_point) * scale * channel_scale[c].
        zero_points: see scales.
        channel_scales: 22 positive float32 for each level.
        transform: the 2x3 affine of `preprocess`.
        min_score: faces score at least this, between 0 and 1. The odds of a face are those of its best cell times the
            root of half the sum of its score and of those, .1 or more, of the cells that it suppresses.
        nms_iou: of two faces whose boxes' IoU is larger, the lower-scored goes (ties: lower stride, then row-major
            index first). If its score is .1 or more, its box goes into the other's where their IoU is above .6 and
            its stride is no smaller, and its landmarks, rotation and quality where the IoU is above .75.
        max_faces: those whose best cells score highest are kept.

    Returns:
        boxes (n, 4) xyxy, scores (n,), landmarks (n, 5, 2), rotations (n, 3, 3), quality (n,); float32, in descending
        order of score. Boxes and landmarks are in pixels of the frame that `transform` leads to, rotations go from the
        head to the camera's optical frame as that frame shows it. A cell with a number that is not finite is no face,
        nor is one whose box has no area or whose box or landmarks float32 cannot hold, in the tensor or in the frame.
    """
    f32 = np.float32
    real, stride, column, row = [], [], [], []
    for i in sorted(range(len(outputs)), key=lambda i: strides[i]):
        cells: NDArray[Any] = outputs[i].reshape(outputs[i].shape[-3:])
        cells = cells.transpose(1, 2, 0) if layouts[i] == "NCHW" else cells
        factor = f32(scales[i]) * channel_scales[i].astype(f32)
        with np.errstate(all="ignore"):
            real.append(((cells.astype(f32) - f32(zero_points[i])) * factor).reshape(-1, _CHANNELS))
        rows, columns, _ = cells.shape
        stride.append(np.full(rows * columns, strides[i], f32))
        row.append(np.repeat(np.arange(rows, dtype=f32), columns))
        column.append(np.tile(np.arange(columns, dtype=f32), rows))
    channels = np.concatenate(real)
    cell = np.stack((np.concatenate(column), np.concatenate(row)), axis=1) + f32(0.5)
    size = np.concatenate(stride)[:, None]
    keep = np.isfinite(channels).all(axis=1)
    keep[keep] = _sigmoid(channels[keep, 0]) >= min(f32(min_score), _HEARD)
    order = np.flatnonzero(keep)
    order = order[np.argsort(-channels[order, 0], kind="stable")]
    channels, cell, size = channels[order], cell[order], size[order]

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        centre = (cell + channels[:, 2:4]) * size
        extent = np.exp(np.minimum(channels[:, 4:6], f32(_MAX_LOG_SIZE)).astype(np.float64)).astype(f32) * size
        boxes = np.concatenate((centre - extent * f32(0.5), centre + extent * f32(0.5)), axis=1)
        landmarks = (cell[:, None] + channels[:, 6:16].reshape(-1, 5, 2)) * size[:, None]
    keep = np.isfinite(landmarks).all(axis=(1, 2)) & np.isfinite(boxes).all(axis=1)
    keep[keep] = (boxes[keep, 2:] > boxes[keep, :2]).all(axis=1)
    channels, size, boxes, landmarks = channels[keep], size[keep], boxes[keep], landmarks[keep]
    scores, quality = _sigmoid(channels[:, 0]), _sigmoid(channels[:, 1])
    columns = _rotations(channels[:, 16:].astype(np.float64)).astype(f32)[:, :, :2]
    groups, support, boxes = _suppress(boxes, scores, size[:, 0], nms_iou, max_faces)
    agreed = _agreed(scores[[group[0] for group in groups]], support)
    best_first = np.argsort(-agreed, kind="stable")
    best_first = best_first[agreed[best_first] >= f32(min_score)]
    boxes, groups = boxes[best_first], [groups[i] for i in best_first]
    landmarks, columns, quality = (_averaged(values, scores, groups) for values in (landmarks, columns, quality))

    linear, shift = transform[:, :2], transform[:, 2]
    with np.errstate(over="ignore", invalid="ignore"):
        corners = (boxes.reshape(-1, 2, 2).astype(np.float64) @ linear.T + shift).astype(f32)
        boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
        landmarks = (landmarks.astype(np.float64) @ linear.T + shift).astype(f32)
    keep = np.isfinite(boxes).all(axis=1) & np.isfinite(landmarks).all(axis=(1, 2))
    turn = np.eye(3)
    turn[:2, :2] = np.sign(linear)
    six = columns.transpose(0, 2, 1).reshape(-1, 6).astype(np.float64)
    rotations = turn @ _rotations(six).astype(f32)
    return boxes[keep], agreed[best_first][keep], landmarks[keep], rotations.astype(f32)[keep], quality[keep]


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(np.minimum(-x.astype(np.float64), 700)))).astype(np.float32)


def _suppress(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    strides: NDArray[np.float32],
    nms_iou: float,
    max_faces: int,
) -> tuple[list[list[int]], NDArray[np.float32], NDArray[np.float32]]:
    """Greedy non-maximum suppression over boxes in descending order of score; float32 throughout, as in C++.

    Each face is a list: the cell that it is, then those that went for it and whose boxes are nearly the same. Besides,
    for each face, the sum of its score and of those of all cells that went for it, and the mean of its box and those
    near it that are of no smaller stride, weighted by their scores. What goes next is told by the mean as it is then.
    """
    groups: list[list[int]] = []
    support: list[np.float32] = []
    weights: list[np.float32] = []
    means = np.zeros((0, 4), np.float32)
    for i, box in enumerate(boxes):
        overlap = np.maximum(np.minimum(means[:, 2:], box[2:]) - np.maximum(means[:, :2], box[:2]), np.float32(0))
        both = overlap[:, 0] * overlap[:, 1]
        either = (means[:, 2:] - means[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - both
        larger = np.flatnonzero(both > np.float32(nms_iou) * either)
        if len(larger):
            face = larger[0]
            if scores[i] < _HEARD:
                continue
            support[face] += scores[i]
            if both[face] > _ALIKE * either[face]:
                groups[face].append(i)
            if both[face] > _NEAR * either[face] and strides[i] >= strides[groups[face][0]]:
                weight = scores[i] / scores[groups[face][0]]
                weights[face] += weight
                means[face] += (box - means[face]) * (weight / weights[face])
        elif len(groups) < max_faces:
            groups.append([i])
            support.append(scores[i])
            weights.append(np.float32(1))
            means = np.concatenate((means, box[None]))
    return groups, np.array(support, np.float32), means


def _agreed(scores: NDArray[np.float32], support: NDArray[np.float32]) -> NDArray[np.float32]:
    """The odds of each score times the root of its support over what is usual."""
    own = scores.astype(np.float64)
    agreed = own * np.sqrt(support.astype(np.float64) / _USUAL)
    return (agreed / (agreed + (1 - own))).astype(np.float32)


def _averaged(values: NDArray[np.float32], scores: NDArray[np.float32], groups: list[list[int]]) -> NDArray[np.float32]:
    """The mean of each group, weighted by the cube of the scores; in the order and the roundings of C++."""
    result = values[[group[0] for group in groups]]
    for face, (best, *others) in enumerate(groups):
        total = np.float32(1)
        for i in others:
            ratio = scores[i] / scores[best]
            weight = ratio * ratio * ratio
            total += weight
            result[face] += (values[i] - result[face]) * (weight / total)
    return result


def _rotations(six: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 6) to (n, 3, 3): Gram-Schmidt, Zhou et al. 2019, "On the continuity of rotation representations"."""
    with np.errstate(all="ignore"):
        a = six[:, :3] / np.linalg.norm(six[:, :3], axis=1, keepdims=True)
        b = six[:, 3:] - (a * six[:, 3:]).sum(axis=1, keepdims=True) * a
        length = np.linalg.norm(b, axis=1, keepdims=True)
        result = np.stack((a, b / length, np.cross(a, b / length)), axis=2)
    flat = ~((np.linalg.norm(six[:, :3], axis=1) > 1e-8) & (length[:, 0] > 1e-8))
    result[flat] = np.eye(3)
    return result
