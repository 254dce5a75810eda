"""The core's preprocess against the NumPy reference: every integer equal, whatever the frame; and what it refuses."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from core_strategies import Case, cases, plane_shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface import _core, reference
from edgeface.errors import InvalidInputError


@settings(max_examples=400, deadline=None)
@given(cases())
def test_equals_reference(case: Case) -> None:
    expected, got = case.empty(), case.empty()
    affine = reference.preprocess(*case.arguments(expected), **case.options)
    result = _core.preprocess(*case.arguments(got), **case.options)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(result, affine, rtol=1e-12, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(300, 700),
    st.integers(200, 500),
    st.sampled_from([0, 90, 180, 270]),
    st.floats(0.15, 0.85),
    st.floats(0.15, 0.85),
)
def test_transform_leads_back_to_the_pixel(width: int, height: int, rotation: int, across: float, down: float) -> None:
    """A bright spot is found again, through the tensor and the transform, within a quarter of a pixel of the tensor."""
    x, y = across * width, down * height
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    spot = np.exp(-((columns - x) ** 2)[None] / 200) * np.exp(-((rows - y) ** 2)[:, None] / 200)
    out = np.empty((1, 320, 320, 3), np.float32)
    frame = np.rint(spot * 200).astype(np.uint8)
    affine = _core.preprocess(
        [frame], "gray", width, height, out, layout="NHWC", color="rgb", rotation=rotation, filter="bilinear"
    )
    weight = np.clip(out[0, ..., 0] * 128 + 128, 0, None) * (out[0, ..., 0] != 0)  # the border is no light
    weight[weight < 4] = 0
    centre = np.array(
        [(weight.sum(axis=0) * (np.arange(320) + 0.5)).sum(), (weight.sum(axis=1) * (np.arange(320) + 0.5)).sum(), 1]
    )
    centre[:2] /= weight.sum()
    found = affine @ centre
    tensor_pixel = np.abs(affine[:, :2]).sum(axis=1)  # frame pixels of one tensor pixel
    assert (np.abs(found - (x, y)) < 0.25 * tensor_pixel).all()


@pytest.mark.parametrize("pixel_format", ["nv12", "nv21", "i420", "yuyv", "uyvy"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full", [False, True])
def test_colours_survive_yuv(pixel_format: str, matrix: str, full: bool) -> None:
    """Plain colours, made into YUV in floating point as the standards define it, come back within two levels."""
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    for rgb in [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (12, 250, 133)]:
        r, g, b = rgb
        luma = kr * r + (1 - kr - kb) * g + kb * b
        u, v = (b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))
        if not full:
            luma, u, v = 16 + luma * 219 / 255, u * 224 / 255, v * 224 / 255
        values = [round(luma), min(round(u + 128), 255), min(round(v + 128), 255)]
        planes = [np.empty(shape, np.uint8) for shape in plane_shapes(pixel_format, 64, 48)]
        if pixel_format in ("yuyv", "uyvy"):
            first = 0 if pixel_format == "yuyv" else 1
            planes[0][..., first] = values[0]
            planes[0][:, ::2, 1 - first], planes[0][:, 1::2, 1 - first] = values[1:]
        else:
            planes[0][...] = values[0]
            if pixel_format == "i420":
                planes[1][...], planes[2][...] = values[1:]
            else:
                planes[1][...] = values[1:] if pixel_format == "nv12" else values[:0:-1]
        out = np.empty((1, 3, 24, 32), np.uint8)
        _core.preprocess(
            planes,
            pixel_format,
            64,
            48,
            out,
            layout="NCHW",
            color="rgb",
            matrix=matrix,
            range="full" if full else "limited",
            zero_point=128,
        )
        np.testing.assert_allclose(out[0], np.broadcast_to(np.array(rgb)[:, None, None], (3, 24, 32)), atol=2)


def test_area_keeps_what_bilinear_loses() -> None:
    """Lines one pixel wide, shrunk six times: their mean grey with area, all or nothing with bilinear."""
    frame = np.zeros((480, 1920), np.uint8)
    frame[:, ::6] = 240
    outs = {}
    for name in ("bilinear", "area"):
        out = np.empty((80, 320, 3), np.uint8)
        _core.preprocess(
            [frame], "gray", 1920, 480, out, layout="NHWC", color="rgb", fit="stretch", zero_point=128, filter=name
        )
        outs[name] = out
    assert (outs["bilinear"] == 0).all()
    assert (outs["area"] == 40).all()


def test_one_core_serves_many_threads() -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (90 + 7 * i, 120 + 11 * i, 3), dtype=np.uint8) for i in range(8)]

    def run(frame: np.ndarray) -> np.ndarray:
        out = np.empty((1, 3, 96, 96), np.int8)
        _core.preprocess([frame], "bgr", frame.shape[1], frame.shape[0], out, layout="NCHW", color="rgb")
        return out

    expected = [run(frame) for frame in frames]
    wrong = []

    def worker(i: int) -> None:
        if not all(np.array_equal(run(frames[i]), expected[i]) for _ in range(30)):
            wrong.append(i)

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_isa() -> None:
    assert _core.isa() in _core.available_isas()
    assert "scalar" in _core.available_isas()


def small(**changes: Any) -> np.ndarray:
    """A 6x4 BGR frame into an 8x8 tensor, with some arguments changed."""
    arguments: dict[str, Any] = {
        "planes": [np.zeros((4, 6, 3), np.uint8)],
        "format": "bgr",
        "width": 6,
        "height": 4,
        "out": np.zeros((1, 8, 8, 3), np.int8),
        "layout": "NHWC",
        "color": "rgb",
    }
    return _core.preprocess(**{**arguments, **changes})


def readonly() -> np.ndarray:
    out = np.zeros((1, 8, 8, 3), np.int8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "yuv"}, "format must be one of bgr, rgb, gray"),
        ({"layout": "CHWN"}, "layout must be one of NHWC, NCHW, but got 'CHWN'"),
        ({"color": "hsv"}, "color must be one of"),
        ({"fit": "fill"}, "fit must be one of"),
        ({"matrix": "bt2020"}, "matrix must be one of"),
        ({"range": "tv"}, "range must be one of"),
        ({"filter": "cubic"}, "filter must be one of"),
        ({"rotation": 45}, "rotation must be 0, 90, 180 or 270, but got 45"),
        ({"width": 0}, "frame size must be"),
        ({"height": 20000}, "frame size must be"),
        ({"width": 7}, r"plane 0 must be uint8 \(4, 7, 3\), but got uint8 \(4, 6, 3\)"),
        ({"planes": []}, "planes must be 1 array"),
        ({"planes": [None]}, "plane 0 must be a NumPy array"),
        ({"planes": [np.zeros((4, 6, 3), np.int8)]}, "plane 0 must be uint8"),
        ({"planes": [np.zeros((4, 6, 4), np.uint8)[..., :3]]}, "plane 0 must be packed within a row"),
        ({"planes": [np.zeros((4, 6, 3), np.uint8)[:, ::-1]]}, "plane 0 must be packed within a row"),
        ({"planes": [np.broadcast_to(np.zeros((1, 6, 3), np.uint8), (4, 6, 3))]}, "plane 0 must be made of rows"),
        ({"format": "yuyv", "width": 7, "planes": [np.zeros((4, 7, 2), np.uint8)]}, "width must be even"),
        ({"crop": (0, 0, 7, 4)}, "crop must be"),
        ({"crop": (-1, 0, 2, 2)}, "crop must be"),
        ({"crop": (0, 0, 0, 1)}, "crop must be"),
        ({"crop": (2**40, 0, 1, 1)}, "crop must be"),
        ({"out": np.zeros((8, 8), np.int8)}, "out must be of shape"),
        ({"out": np.zeros((2, 8, 8, 3), np.int8)}, "out must be of shape"),
        ({"out": np.zeros((1, 3, 8, 8), np.int8)}, "out must be of shape"),
        ({"out": np.zeros((1, 8, 8, 3), np.int16)}, "out must be int8, uint8 or float32"),
        ({"out": np.zeros((1, 8, 16, 3), np.int8)[:, :, ::2]}, "out must be C-contiguous"),
        ({"out": np.zeros((1, 0, 8, 3), np.int8)}, "out must be 1 to"),
        ({"out": readonly()}, "out must be writeable"),
        ({"scale": 0.0}, "scale must be positive"),
        ({"scale": np.nan}, "scale must be positive"),
        ({"zero_point": 10**9}, "zero_point must be"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        small(**changes)
