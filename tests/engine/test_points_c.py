"""The per-face network in C: the same bundles as in Python, and the same points of the same pixels."""

from __future__ import annotations

import ctypes as c
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import points_bundle
from support.c_engine import (
    ARGUMENT,
    MISSING,
    NULL,
    OK,
    STRUCT_SIZE,
    Points,
    PointsOutput,
    image,
    open_bundle,
    open_engine,
    room,
)
from support.foreign import changed
from support.tiny import pack

from edgeface import Faces, Frame
from edgeface.describing import PointsNetwork
from edgeface.errors import BundleError
from edgeface.images import read_image
from edgeface.manifest import Manifest

ASTRONAUT = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
MADE = points_bundle.weights(seed=4)


@pytest.fixture(scope="module")
def points_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return points_bundle.write_bundle(tmp_path_factory.mktemp("points") / "p.efm", ("ncnn", "onnx"), made=MADE)


def message(library: c.CDLL) -> str:
    return bytes(library.ef_last_error_message()).decode()


@pytest.mark.parametrize("color", ["bgr", "nv12"])
def test_the_same_points_as_in_python(library: c.CDLL, bundle: Path, points_path: Path, color: str) -> None:
    pytest.importorskip("ncnn")
    pixels = read_image(ASTRONAUT)
    if color == "nv12":
        import cv2

        i420 = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420)
        u, v = i420[512:].reshape(2, 256, 256)
        pixels = np.concatenate([i420[:512], np.stack([u, v], -1).reshape(256, 512)])
    found, points = room(4), Points()
    with open_engine(library, path=str(bundle).encode(), points_path=str(points_path).encode()) as engine:
        seen = image(pixels[:512], color)
        if color == "nv12":
            whole = np.ascontiguousarray(pixels)
            seen.planes[0], seen.planes[1] = whole.ctypes.data, whole.ctypes.data + 512 * 512
            seen.strides[0] = seen.strides[1] = 512
        assert library.ef_engine_detect(engine, c.byref(seen), c.byref(found)) == OK
        assert found.count == 1
        assert library.ef_engine_points(engine, c.byref(seen), c.byref(found.items[0]), c.byref(points)) == OK
        for arguments in ((None, seen, found.items[0], points), (engine, None, found.items[0], points)):
            references = [a if a is None or a is engine else c.byref(a) for a in arguments]
            assert library.ef_engine_points(*references) == NULL
        small = Points()
        small.struct_size = 8
        assert library.ef_engine_points(engine, c.byref(seen), c.byref(found.items[0]), c.byref(small)) == STRUCT_SIZE
        flat = found.items[0]
        flat.box[2] = flat.box[0]
        assert library.ef_engine_points(engine, c.byref(seen), c.byref(flat), c.byref(points)) == ARGUMENT
        assert "face.box" in message(library)
        assert library.ef_engine_detect(engine, c.byref(seen), c.byref(found)) == OK
    face = found.items[0]
    faces = Faces(
        boxes=np.array([face.box]),
        scores=np.array([face.score]),
        landmarks=np.array(face.landmarks).reshape(1, 5, 2),
        rotations=np.array(face.rotation).reshape(1, 3, 3),
        quality=np.array([face.quality]),
        size=(512, 512),
    )
    network = PointsNetwork(points_path, runtime="ncnn")
    expected = network.describe(Frame.from_array(pixels, color), faces, 1)
    network.close()
    np.testing.assert_allclose(np.array(points.points).reshape(68, 2), expected.points68[0], atol=0.02)
    np.testing.assert_allclose(np.array(points.points3d).reshape(68, 3), expected.points3d[0], atol=1e-3)
    np.testing.assert_allclose(points.spread, expected.points_spread[0], rtol=1e-3)
    np.testing.assert_allclose(points.visible, expected.visibility[0], atol=1e-3)
    np.testing.assert_allclose(points.eyes_open, expected.eyes_open[0], atol=1e-3)
    np.testing.assert_allclose(points.mouth_open, expected.mouth_open[0], atol=1e-3)
    np.testing.assert_allclose(points.cover, expected.cover[0], atol=1e-3)


def test_an_engine_without_the_network(library: c.CDLL, bundle: Path, points_path: Path) -> None:
    pixels, points = read_image(ASTRONAUT), Points()
    found = room(1)
    with open_engine(library, path=str(bundle).encode()) as engine:
        seen = image(pixels)
        assert library.ef_engine_detect(engine, c.byref(seen), c.byref(found)) == OK
        assert library.ef_engine_points(engine, c.byref(seen), c.byref(found.items[0]), c.byref(points)) == MISSING


def test_outputs_of_the_bundle(library: c.CDLL, bundle: Path, points_path: Path) -> None:
    outputs, margin = (PointsOutput * 5)(*[PointsOutput() for _ in range(5)]), c.c_float()
    with open_bundle(library, points_path) as opened:
        assert library.ef_bundle_points_outputs(opened, 0, outputs, c.byref(margin)) == OK
        assert margin.value == pytest.approx(points_bundle.MARGIN)
        assert [o.role for o in outputs] == [0, 1, 2, 3, 4]
        assert {o.dtype for o in outputs} == {2}
        assert library.ef_bundle_points_outputs(opened, 9, outputs, None) == ARGUMENT
        assert library.ef_bundle_points_outputs(opened, 0, None, None) == NULL
    with open_bundle(library, bundle) as opened:
        assert library.ef_bundle_points_outputs(opened, 0, outputs, None) == ARGUMENT
        assert "finds faces" in message(library)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_bundles_are_refused_as_in_python(library: c.CDLL, tmp_path: Path, data: st.DataObject) -> None:
    network = points_bundle.onnx_network(MADE)
    raw: Any = points_bundle.manifest([points_bundle.entry("p.onnx", network)])
    document = changed(data.draw, {key: raw[key] for key in ("decode", "models")})
    text = json.dumps(raw | document) if isinstance(document, dict) else json.dumps(document)
    path = tmp_path / "b.efm"
    path.unlink(missing_ok=True)
    pack(path, {"manifest.json": text.encode(), "p.onnx": network})
    handle = c.c_void_p()
    status = library.ef_bundle_open(str(path).encode(), c.byref(handle))
    library.ef_bundle_close(handle)
    try:
        Manifest.from_json(text)
    except BundleError:
        return  # C looks at less: it may take what it does not need
    assert status == OK
