"""Frames, tensors and networks' outputs for hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

FORMATS = ("bgr", "rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy")


def plane_shapes(pixel_format: str, width: int, height: int) -> list[tuple[int, ...]]:
    """Shapes of the planes of a frame."""
    half = (-(-height // 2), -(-width // 2))
    return {
        "bgr": [(height, width, 3)],
        "rgb": [(height, width, 3)],
        "gray": [(height, width)],
        "nv12": [(height, width), (*half, 2)],
        "nv21": [(height, width), (*half, 2)],
        "i420": [(height, width), half, half],
        "yuyv": [(height, width, 2)],
        "uyvy": [(height, width, 2)],
    }[pixel_format]


def strided(
    shape: tuple[int, ...], rng: np.random.Generator, padding: int, flipped: bool, offset: int
) -> NDArray[np.uint8]:
    """Random pixels, `padding` bytes between rows, bottom-up if flipped, `offset` bytes past an aligned address."""
    row = int(np.prod(shape[1:]))
    memory = rng.integers(0, 256, offset + shape[0] * (row + padding), dtype=np.uint8)
    rows = memory[offset:].reshape(shape[0], row + padding)[:, :row]
    inner = (shape[2], 1) if len(shape) == 3 else (1,)
    array = np.lib.stride_tricks.as_strided(rows, shape, (row + padding, *inner))
    return array[::-1] if flipped else array


@dataclass(frozen=True)
class Case:
    """One call of preprocess."""

    planes: list[NDArray[np.uint8]]
    format: str
    width: int
    height: int
    tensor: tuple[int, int]
    dtype: str
    options: dict[str, Any]

    def empty(self) -> NDArray[Any]:
        """An output full of a value that must not survive."""
        w, h = self.tensor
        shape = (1, 3, h, w) if self.options["layout"] == "NCHW" else (1, h, w, 3)
        return np.full(shape, 77, self.dtype)

    def arguments(self, out: NDArray[Any]) -> tuple[Any, ...]:
        """Positional arguments."""
        return self.planes, self.format, self.width, self.height, out


@st.composite
def cases(draw: st.DrawFn, max_side: int = 80) -> Case:
    """Any frame, any tensor, any option."""
    pixel_format = draw(st.sampled_from(FORMATS))
    width, height = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    if pixel_format in ("yuyv", "uyvy"):
        width += width % 2
    tensor = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    if draw(st.booleans()) and width % 2 == 0 and height % 2 == 0:
        tensor = width // 2, height // 2  # the ratio of exactly 2 has kernels of its own
    crop = None
    if draw(st.booleans()):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        crop = (x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    padding, flipped, offset = draw(st.integers(0, 9)), draw(st.booleans()), draw(st.integers(0, 17))
    planes = [strided(shape, rng, padding, flipped, offset) for shape in plane_shapes(pixel_format, width, height)]
    scale, zero_point = draw(st.sampled_from([(1 / 128, 0), (1 / 128, 128), (0.0078431, -1), (0.02, 5), (0.003, 100)]))
    options = {
        "layout": draw(st.sampled_from(["NHWC", "NCHW"])),
        "color": draw(st.sampled_from(["rgb", "bgr"])),
        "fit": draw(st.sampled_from(["letterbox", "stretch"])),
        "rotation": draw(st.sampled_from([0, 90, 180, 270])),
        "crop": crop,
        "matrix": draw(st.sampled_from(["bt601", "bt709"])),
        "range": draw(st.sampled_from(["limited", "full"])),
        "scale": scale,
        "zero_point": zero_point,
        "filter": draw(st.sampled_from(["bilinear", "area"])),
    }
    dtype = draw(st.sampled_from(["int8", "uint8", "float32"]))
    return Case(planes, pixel_format, width, height, tensor, dtype, options)


@dataclass(frozen=True)
class Heads:
    """One call of decode."""

    arguments: tuple[Any, ...]
    options: dict[str, Any]


def agree(cells: np.ndarray, rng: np.random.Generator, step: np.ndarray, zero_point: int) -> None:
    """All cells of a level, (rows, columns, 22), in place, say nearly the same box in its middle, as one face's do."""
    rows, columns, _ = cells.shape
    y, x = np.mgrid[:rows, :columns]
    box = np.stack([columns / 2 - 0.5 - x, rows / 2 - 0.5 - y, np.full(x.shape, 1.5), np.full(x.shape, 1.7)], -1)
    stored = (box + rng.normal(0, 0.1, box.shape)) / step[2:6] + zero_point
    if cells.dtype != np.float32:
        info = np.iinfo(cells.dtype)
        stored = np.clip(np.round(stored), info.min, info.max)
    cells[..., 2:6] = stored


@st.composite
def heads(draw: st.DrawFn) -> Heads:
    """Output tensors as a network would give them, with many candidates and ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.lists(st.sampled_from([8, 16, 32, 64]), min_size=1, max_size=4, unique=True))
    dtype = draw(st.sampled_from(["int8", "uint8", "float32"]))
    outputs, layouts, scales, zero_points, factors = [], [], [], [], []
    for _ in levels:
        rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
        layout = draw(st.sampled_from(["NHWC", "NCHW"]))
        shape = (1, rows, columns, 22) if layout == "NHWC" else (1, 22, rows, columns)
        if dtype == "float32":
            q = rng.normal(0, 2, shape).astype(np.float32)
            scale, zero_point = 1.0, 0
            if draw(st.booleans()):
                q.flat[:: draw(st.integers(3, 40))] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 0]))
        else:
            info = np.iinfo(dtype)
            q = rng.integers(info.min, info.max + 1, shape).astype(dtype)
            scale, zero_point = draw(st.sampled_from([(0.05, 3), (0.02, 0), (0.11, 127)]))
        factor = rng.uniform(0.2, 1.5, 22).astype(np.float32) if draw(st.booleans()) else np.ones(22, np.float32)
        if draw(st.booleans()):
            cells = q[0] if layout == "NHWC" else q[0].transpose(1, 2, 0)
            agree(cells, rng, scale * factor, zero_point)
        outputs.append(q)
        layouts.append(layout)
        scales.append(scale)
        zero_points.append(zero_point)
        factors.append(factor)
    sx, sy, x, y = (draw(st.floats(0.1, 8)) for _ in range(4))
    transform = draw(
        st.sampled_from(
            [[[sx, 0, x], [0, sy, y]], [[0, sx, x], [-sy, 0, y]], [[-sx, 0, x], [0, -sy, y]], [[0, -sx, x], [sy, 0, y]]]
        )
    )
    options = {
        "min_score": draw(st.floats(0.0625, 0.9375, width=32)),
        "nms_iou": draw(st.floats(0, 1, width=32)),
        "max_faces": draw(st.integers(1, 100)),
    }
    return Heads((outputs, levels, layouts, scales, zero_points, factors, np.array(transform, np.float64)), options)
