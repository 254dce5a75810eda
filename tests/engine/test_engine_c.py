"""The whole pipeline in C finds what Python finds with the same network in ncnn, on the same pixels."""

from __future__ import annotations

import ctypes as c
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.c_engine import (
    ARGUMENT,
    BUNDLE,
    FILE,
    MISSING,
    NULL,
    OK,
    RUNTIME,
    SIZE,
    STRIDE,
    EngineConfig,
    EngineInfo,
    TrackerConfig,
    Verdict,
    image,
    open_bundle,
    open_engine,
    room,
    track_room,
)
from support.ncnn_bundles import read_zip, write_zip

from edgeface import _core
from edgeface.bundle import bundled_models
from edgeface.engine import FaceEngine
from edgeface.golden import draw_picture
from edgeface.images import read_image

ASTRONAUT = Path(__file__).parents[2] / "examples" / "astronaut.jpg"
COLLAGE = ASTRONAUT.with_name("collage.jpg")


@pytest.fixture(scope="module")
def networks(bundle: Path) -> list[dict[str, Any]]:
    return [model for model in read_zip(bundle)[0]["models"] if model["format"] == "ncnn"]


def python_outputs(
    bundle: Path,
    model: dict[str, Any],
    pixels: NDArray[np.uint8],
    size: tuple[int, int],
    folder: Path,
    color: str = "bgr",
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]], NDArray[np.float64]]:
    """Input tensor, output tensors and transform by ncnn's Python package behind the core's preprocessing."""
    ncnn = pytest.importorskip("ncnn")
    _, files = read_zip(bundle)
    paths = [folder / "net.param", folder / "net.bin"]
    for path, name in zip(paths, (model["file"], model["weights"]["file"]), strict=True):
        path.write_bytes(files[name])
    net = ncnn.Net()
    net.opt.num_threads = 1
    if model["precision"] == "int8":
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param(str(paths[0])) == 0
    assert net.load_model(str(paths[1])) == 0
    tensor = np.zeros((1, 3, size[1], size[0]), np.float32)
    height, width, _ = pixels.shape
    form = {"layout": "NCHW", "color": "rgb", "scale": 1.0, "zero_point": 0}
    transform = _core.preprocess([pixels], color, width, height, tensor, **form)
    extractor = net.create_extractor()
    extractor.input(model["input"]["name"], ncnn.Mat(tensor[0]))
    return tensor, [np.array(extractor.extract(o["name"])[1])[None] for o in model["outputs"]], transform


def python_faces(
    bundle: Path, model: dict[str, Any], pixels: NDArray[np.uint8], size: tuple[int, int], folder: Path
) -> list[NDArray[Any]]:
    """Boxes, scores, landmarks, rotations, quality."""
    _, outputs, transform = python_outputs(bundle, model, pixels, size, folder)
    decode = read_zip(bundle)[0]["decode"]
    found = _core.decode(
        outputs,
        strides=[o["stride"] for o in model["outputs"]],
        layouts=["NCHW"] * len(outputs),
        scales=[1.0] * len(outputs),
        zero_points=[0] * len(outputs),
        channel_scales=[np.array(decode["channel_scale"][str(o["stride"])], np.float32) for o in model["outputs"]],
        transform=transform,
        min_score=decode["min_score"],
        nms_iou=decode["nms_iou"],
        max_faces=256,
    )
    return list(found)


def c_faces(library: c.CDLL, engine: c.c_void_p, pixels: NDArray[np.uint8], **values: Any) -> list[NDArray[np.float32]]:
    faces = room(256)
    status = library.ef_engine_detect(engine, c.byref(image(pixels, **values)), c.byref(faces))
    assert status == OK, library.ef_last_error_message()
    items = [faces.items[i] for i in range(faces.count)]
    rows = (
        [f.box[:] for f in items],
        [f.score for f in items],
        [f.landmarks[:] for f in items],
        [f.rotation[:] for f in items],
    )
    return [np.array(row, np.float32) for row in (*rows, [f.quality for f in items])]


@pytest.mark.parametrize("picture", [ASTRONAUT, COLLAGE], ids=["astronaut", "collage"])
@pytest.mark.parametrize("size", [(320, 240), (320, 320), (640, 480)])
def test_the_same_faces_as_in_python(
    library: c.CDLL, bundle: Path, networks: list[dict[str, Any]], picture: Path, size: tuple[int, int], tmp_path: Path
) -> None:
    pixels = read_image(picture)
    for model in networks:
        wanted = python_faces(bundle, model, pixels, size, tmp_path)
        precision = {"int8": 1, "float32": 2}[model["precision"]]
        with open_engine(
            library, path=str(bundle).encode(), width=size[0], height=size[1], precision=precision
        ) as engine:
            got = c_faces(library, engine, pixels)
        assert len(got[0]) == len(wanted[0]) > 0
        assert got[0].shape[0] >= (1 if picture == ASTRONAUT else 3)
        tolerance = 1.0 if model["precision"] == "int8" else 0.05  # pixels; other builds of ncnn take other kernels
        for mine, theirs, allowed in zip(got, wanted, (tolerance, 0.02, tolerance, 0.02, 0.02), strict=True):
            np.testing.assert_allclose(mine, theirs.reshape(mine.shape), atol=allowed)


def test_rotations_crops_and_formats_are_those_of_the_frame(library: c.CDLL, bundle: Path) -> None:
    pixels = read_image(ASTRONAUT)
    height, width, _ = pixels.shape
    with open_engine(library, path=str(bundle).encode(), max_width=2000, max_height=2000) as engine:
        upright = c_faces(library, engine, pixels)[0][0]
        turned = np.ascontiguousarray(np.rot90(pixels))  # a camera that hangs a quarter turn counterclockwise
        x1, y1, x2, y2 = c_faces(library, engine, turned, rotation=90)[0][0]
        np.testing.assert_allclose([width - y2, x1, width - y1, x2], upright, atol=1)
        grey = np.ascontiguousarray(pixels.mean(2).astype(np.uint8))
        np.testing.assert_allclose(c_faces(library, engine, grey, color="gray")[0][0], upright, atol=12)
        made = image(pixels)
        made.crop[:] = [0, 0, width, height * 3 // 4]
        faces = room(8)
        assert library.ef_engine_detect(engine, c.byref(made), c.byref(faces)) == OK
        np.testing.assert_allclose(faces.items[0].box[:], upright, atol=12)


def test_memory_and_file_are_the_same_and_the_bundle_may_go(library: c.CDLL, bundle: Path) -> None:
    pixels, data = read_image(ASTRONAUT), bytearray(bundle.read_bytes())
    block = (c.c_char * len(data)).from_buffer(data)
    with (
        open_engine(library, data=c.addressof(block), size=len(data)) as engine,
        open_engine(library, path=str(bundle).encode()) as other,
    ):
        c.memset(block, 0, len(data))
        for mine, theirs in zip(c_faces(library, engine, pixels), c_faces(library, other, pixels), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        info = EngineInfo()
        assert library.ef_engine_describe(engine, c.byref(info)) == OK
        assert (info.width, info.height, info.threads) == (320, 240, 1)
        assert info.runtime.startswith(b"ncnn ")
        assert info.model.startswith(b"edgeface-n")


def test_the_best_are_given_where_there_is_little_room(library: c.CDLL, bundle: Path) -> None:
    pixels = read_image(COLLAGE)
    with open_engine(library, path=str(bundle).encode(), width=640, height=480) as engine:
        every = c_faces(library, engine, pixels)
        faces = room(2)
        assert library.ef_engine_detect(engine, c.byref(image(pixels)), c.byref(faces)) == OK
        assert faces.count == 2
        np.testing.assert_array_equal([faces.items[i].score for i in range(2)], every[1][:2])


def test_tracking_gives_ids(library: c.CDLL, bundle: Path) -> None:
    pixels = read_image(ASTRONAUT)
    with open_engine(library, path=str(bundle).encode()) as engine:
        for number in range(6):
            moved = np.ascontiguousarray(np.roll(pixels, 6 * number, axis=1))
            tracks = track_room(4)
            assert (
                library.ef_engine_track(
                    engine, c.byref(image(moved, timestamp_ns=1 + number * 33_000_000)), c.byref(tracks)
                )
                == OK
            )
            assert [tracks.items[i].id for i in range(tracks.count)] == ([1] if number else [])
        assert tracks.items[0].hits == 6
        library.ef_engine_reset_tracks(engine)
        assert library.ef_engine_track(engine, c.byref(image(pixels, timestamp_ns=1)), c.byref(tracks)) == OK
        assert library.ef_engine_track(engine, c.byref(image(pixels, timestamp_ns=2)), c.byref(tracks)) == OK
        assert tracks.items[0].id == 2


@pytest.mark.parametrize(
    "stamps",
    [
        [1 + i * 33_000_000 for i in range(5)] * 2,  # another recording
        [1 + (i ^ 1) * 33_000_000 for i in range(8)],  # in the order of decoding
        [1 + i * 33_000_000 + 5_000_000_000 * (i > 4) for i in range(8)],  # an outage
        [0] * 6,  # none
    ],
    ids=["twice", "disorder", "outage", "none"],
)
@pytest.mark.parametrize("change", ["nothing", "size", "rotation"])
def test_tracking_believes_time_and_frames_as_little_as_python(
    library: c.CDLL, bundle: Path, stamps: list[int], change: str
) -> None:
    """The same ids as `FaceEngine.track` gives, where the picture changes its size or rotation after three frames."""
    pytest.importorskip("ncnn")
    pixels = read_image(ASTRONAUT)
    assert pixels.shape[0] == pixels.shape[1]
    frames = [(pixels, 0)] * 3
    frames += {
        "nothing": [(pixels, 0)],
        "size": [(np.ascontiguousarray(pixels[:400]), 0)],
        "rotation": [(np.ascontiguousarray(np.rot90(pixels)), 90)],
    }[change] * (len(stamps) - 3)
    seen, wanted = [], []
    opened = open_engine(library, path=str(bundle).encode(), precision=2, width=320, height=240)
    with opened as engine, FaceEngine(bundle, runtime="ncnn", precision="float32", size=(320, 240)) as python:
        for (picture, rotation), stamp in zip(frames, stamps, strict=True):
            tracks = track_room(4)
            picked = image(picture, timestamp_ns=stamp, rotation=rotation)
            assert library.ef_engine_track(engine, c.byref(picked), c.byref(tracks)) == OK
            seen.append([tracks.items[i].id for i in range(tracks.count)])
            found = python.track(picture, "bgr", rotation=rotation, timestamp_ns=stamp or None)
            assert found.track_ids is not None
            wanted.append(found.track_ids.tolist())
    assert seen == wanted
    assert seen[2] == [1]


def test_bad_frames_are_refused_and_named(library: c.CDLL, bundle: Path) -> None:
    pixels = read_image(ASTRONAUT)
    with open_engine(library, path=str(bundle).encode(), max_width=640, max_height=640) as engine:
        faces = room(4)

        def status(**values: Any) -> tuple[int, bytes]:
            made = image(pixels)
            for name, value in values.items():
                setattr(made, name, value)
            faces.count = 9
            got = library.ef_engine_detect(engine, c.byref(made), c.byref(faces))
            assert faces.count == 0
            return got, library.ef_last_error_field()

        assert status(rotation=45) == (ARGUMENT, b"image.rotation")
        assert status(format=99) == (ARGUMENT, b"image.format")
        assert status(width=10_000) == (SIZE, b"image.width")
        assert status(strides=(c.c_ssize_t * 3)(1)) == (STRIDE, b"image.strides")
        assert status(planes=(c.c_void_p * 3)()) == (NULL, b"image.planes")
        assert b"image.planes" in library.ef_last_error_message()
        assert c_faces(library, engine, pixels)[0].shape == (1, 4)  # and it still works


@pytest.mark.parametrize(
    ("values", "status", "field"),
    [
        ({"precision": 9}, ARGUMENT, "config.precision"),
        ({"threads": 1000}, ARGUMENT, "config.threads"),
        ({"width": 320}, ARGUMENT, "config.width"),
        ({"min_score": 2.0}, ARGUMENT, "config.min_score"),
        ({"isa": 77}, ARGUMENT, "config.isa"),
        ({"width": 321, "height": 240}, MISSING, "bundle"),
        ({"max_width": 100_000, "max_height": 1}, SIZE, "config.max_width"),
        ({"tracker": TrackerConfig(low_score=3.0)}, ARGUMENT, "config.low_score"),
        ({"path": b"/no/such.efm"}, FILE, "path"),
        ({"path": None}, ARGUMENT, "config.path"),
    ],
)
def test_bad_settings_are_refused_and_named(
    library: c.CDLL, bundle: Path, values: dict[str, Any], status: int, field: str
) -> None:
    opened = open_engine(library, **{"path": str(bundle).encode(), **values})
    assert (opened.status, opened.field) == (status, field), opened.message
    assert not opened.value.value


def test_a_bundle_without_ncnn_and_a_broken_network(library: c.CDLL, bundle: Path, tmp_path: Path) -> None:
    float_only = bundled_models()["edgeface-n-float32"]
    if all(model["format"] != "ncnn" for model in read_zip(float_only)[0]["models"]):
        assert open_engine(library, path=str(float_only).encode()).status == MISSING
    manifest, files = read_zip(bundle)
    for data in (
        b"7767517\n1 1\nInput in0 0 1 in0\n",
        b"no network",
        files[next(m for m in manifest["models"] if m["format"] == "ncnn")["file"]],
    ):
        for model in manifest["models"]:
            if model["format"] == "ncnn":
                files[model["file"]] = data
                model["sha256"] = hashlib.sha256(data).hexdigest()
                weights = files[model["weights"]["file"]][:1000]  # cut short: ncnn's own reader would read past it
                files[model["weights"]["file"]] = weights
                model["weights"]["sha256"] = hashlib.sha256(weights).hexdigest()
        path = write_zip(tmp_path / "broken.efm", manifest, files)
        assert open_engine(library, path=str(path).encode()).status in (RUNTIME, BUNDLE)


def with_vectors(bundle: Path, networks: list[dict[str, Any]], folder: Path, **changed: float) -> Path:
    """The bundle with golden vectors by ncnn's Python package; `changed`: what is added to a tensor's first number."""
    manifest, files = read_zip(bundle)
    picture = draw_picture()
    files["picture.ppm"] = b"P6 240 180 255\n" + picture.tobytes()

    def entry(name: str, data: bytes) -> dict[str, str]:
        files[name] = data
        return {"file": name, "sha256": hashlib.sha256(data).hexdigest()}

    index: dict[str, Any] = {"schema": 1, "picture": entry("picture.ppm", files["picture.ppm"]), "networks": {}}
    for model in networks:
        image, outputs, _ = python_outputs(bundle, model, picture, (320, 240), folder, "rgb")
        tensors = {"input": image} | {o["name"]: a for o, a in zip(model["outputs"], outputs, strict=True)}
        for name, value in changed.items():
            tensors[name].reshape(-1)[0] += value
        entries = {
            name: entry(f"{model['file']}-{name}.bin", a.astype(np.float32).tobytes()) for name, a in tensors.items()
        }
        index["networks"][model["file"]] = {
            "sha256": model["sha256"],
            "size": [320, 240],
            "by": "ncnn",
            "input": entries.pop("input"),
            "outputs": list(entries.values()),
        }
    files["golden.json"] = json.dumps(index).encode()
    return write_zip(folder / "golden.efm", manifest, files)


@pytest.mark.parametrize("precision", [1, 2])
@pytest.mark.parametrize(
    ("changed", "tensor"),
    [
        ({}, ""),
        ({"input": 1 / 128}, "input"),
        ({"out1": 2.0, "out2": 2.0}, "out1"),
        ({"out2": np.nan}, "out2"),
    ],
)
def test_golden_vectors_agree_and_the_first_tensor_that_differs_is_named(
    library: c.CDLL,
    bundle: Path,
    networks: list[dict[str, Any]],
    tmp_path: Path,
    precision: int,
    changed: dict[str, float],
    tensor: str,
) -> None:
    path = with_vectors(bundle, networks, tmp_path, **changed)
    verdict = Verdict()
    with (
        open_engine(library, path=str(path).encode(), precision=precision) as engine,
        open_bundle(library, path) as opened,
    ):
        assert library.ef_engine_verify(engine, opened, c.byref(verdict)) == OK, library.ef_last_error_message()
        assert verdict.compared == 4
        assert verdict.tensor.decode() == tensor
        if tensor:
            assert verdict.differing >= 1
            assert verdict.largest > verdict.allowed


def test_a_bundle_without_vectors_says_so(library: c.CDLL, bundle: Path, tmp_path: Path) -> None:
    manifest, files = read_zip(bundle)
    bare = write_zip(tmp_path / "bare.efm", manifest, {n: d for n, d in files.items() if not n.startswith("golden")})
    with open_engine(library, path=str(bare).encode()) as engine, open_bundle(library, bare) as opened:
        assert library.ef_engine_verify(engine, opened, c.byref(Verdict())) == MISSING
        assert b"golden" in library.ef_last_error_message()


def test_a_null_pointer_is_a_status(library: c.CDLL) -> None:
    engine = c.c_void_p(5)
    assert library.ef_engine_open(None, c.byref(engine)) == NULL
    assert not engine.value
    assert library.ef_engine_open(c.byref(EngineConfig()), None) == NULL
    for call in (library.ef_engine_detect, library.ef_engine_track, library.ef_engine_verify):
        assert call(None, None, None) == NULL
    library.ef_engine_close(None)
