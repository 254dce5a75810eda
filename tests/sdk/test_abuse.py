"""Frames that nobody should send, through the engine: a clear error or a right answer, never a crash or a hang."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import tiny

from edgeface.engine import FaceEngine
from edgeface.errors import EdgeFaceError, InvalidInputError
from edgeface.frame import COLORS, Frame
from edgeface.runtimes import installed

RUNTIMES = [name for name in ("onnxruntime", "litert") if installed(name)]


@pytest.fixture(scope="module", params=RUNTIMES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FaceEngine:
    sizes = ((64, 64),) if tiny.tflite_writer_installed() else ()
    path = tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", tflite_sizes=sizes)
    return FaceEngine(path, runtime=request.param)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3), (8000, 8000), (16384, 2)])
def test_sizes_from_one_pixel_to_very_many(engine: FaceEngine, size: tuple[int, int]) -> None:
    width, height = size
    faces = engine.detect(np.zeros((height, width), np.uint8), color="gray")
    assert len(faces) == 0
    assert faces.size == size


def test_a_face_in_a_very_large_frame(engine: FaceEngine) -> None:
    image = np.zeros((8000, 8000, 3), np.uint8)
    image[5000:6000, 3000:4000] = (0, 0, 255)
    faces = engine.detect(image, color="bgr")
    assert len(faces) == 1
    np.testing.assert_allclose(faces.boxes[0].reshape(2, 2).mean(axis=0), (3500, 5500), atol=2)


@pytest.mark.parametrize("dtype", [np.uint16, np.int8, np.int64, np.float32, np.float64, bool, complex, object, "U1"])
def test_other_dtypes(engine: FaceEngine, dtype: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"frame must be of dtype uint8, but got "):
        engine.detect(np.zeros((8, 8, 3), dtype), color="bgr")


def test_not_a_number(engine: FaceEngine) -> None:
    with pytest.raises(InvalidInputError, match="frame must be of dtype uint8, but got float32"):
        engine.detect(np.full((8, 8, 3), np.nan, np.float32), color="bgr")


@pytest.mark.parametrize("frame", [None, "photo.jpg", b"bytes", 7, [[0, 1]], {"image": 1}, object()])
def test_other_types(engine: FaceEngine, frame: Any) -> None:
    with pytest.raises(InvalidInputError, match="frame must be a numpy array, but got "):
        engine.detect(frame, color="bgr")


@settings(max_examples=200)
@given(
    array=hnp.arrays(
        dtype=st.sampled_from([np.uint8, np.uint8, np.uint8, np.float32, np.uint16]),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12),
    ),
    color=st.sampled_from([*COLORS, "bgra", ""]),
    rotation=st.sampled_from([0, 90, 180, 270, 45, -90]),
    roi=st.none() | st.tuples(*[st.integers(-3, 12)] * 4),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_random_arrays(engine: FaceEngine, array: np.ndarray, color: str, rotation: int, roi: Any, flips: Any) -> None:
    for axis, flip in enumerate(flips[: array.ndim]):
        if flip:
            array = np.flip(array, axis)
    before = array.copy()
    try:
        faces = engine.detect(array, color=color, rotation=rotation, roi=roi)
    except EdgeFaceError as error:
        assert "must be" in str(error)
    else:
        assert array.dtype == np.uint8
        assert faces.boxes.shape == (len(faces), 4)
        assert np.isfinite(faces.boxes).all()
        assert np.isfinite(faces.angles).all()
    np.testing.assert_array_equal(array, before)


@settings(max_examples=200)
@given(
    data=st.binary(max_size=600),
    color=st.sampled_from(COLORS),
    size=st.tuples(st.integers(-1, 20), st.integers(-1, 20)),
    strides=st.none() | st.lists(st.integers(-5, 60), min_size=1, max_size=3),
    offsets=st.none() | st.lists(st.integers(-5, 400), min_size=1, max_size=3),
)
def test_random_buffers(
    engine: FaceEngine, data: bytes, color: str, size: tuple[int, int], strides: Any, offsets: Any
) -> None:
    try:
        frame = Frame.from_buffer(data, color, size, strides=strides, offsets=offsets)
    except EdgeFaceError as error:
        assert "must be" in str(error)
    else:
        assert engine.detect(frame).size == size


def test_no_file_is_left_behind(engine: FaceEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr")
    assert not list(tmp_path.iterdir())
