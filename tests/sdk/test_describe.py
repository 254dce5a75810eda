"""`FaceEngine.describe`: which faces are described, by what, and where the points come to lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import points_bundle, tiny

from edgeface import FaceEngine, Faces, Frame, _core
from edgeface.errors import BundleError, EngineClosedError, InvalidInputError
from edgeface.faces import COVER_NAMES, DESCRIBED
from edgeface.regions import detect_regions
from edgeface.runtimes import installed
from edgeface.turns import turn_matrix, turn_picture, turn_points

STILL = points_bundle.weights(gain=0.0)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    formats = ("onnx", "tflite", "ncnn") if tiny.tflite_writer_installed() else ("onnx", "ncnn")
    return {
        "faces": tiny.write_bundle(folder / "faces.efm"),
        "still": points_bundle.write_bundle(folder / "still.efm", formats, made=STILL),
        "lively": points_bundle.write_bundle(folder / "lively.efm", formats),
    }


@pytest.fixture(scope="module")
def engine(bundles: dict[str, Path]) -> Iterator[FaceEngine]:
    with FaceEngine(bundles["faces"], runtime="onnxruntime", points=bundles["still"], points_top=2) as engine:
        yield engine


def expected_points(faces: Faces, i: int) -> tuple[np.ndarray, np.ndarray]:
    """What the network that always says the mean face makes of a face."""
    crops, _ = _core.face_crop(faces.landmarks[[i]], faces.camera_rotations[[i]], faces.boxes[[i]])
    places = STILL["points"][1].reshape(68, 2).astype(np.float64)
    points = places @ crops[0][:, :2].T + crops[0][:, 2]
    turn = crops[0][:, :2] / np.hypot(*crops[0][:, 0])
    space = np.column_stack([(places - places.mean(0)) @ turn.T, STILL["depth"][1]])
    space[:, 2] -= space[:, 2].mean()
    return points, space * points_bundle.MARGIN @ turn_matrix(faces.rotation).T.astype(float)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_points_lie_where_the_crop_says(engine: FaceEngine, rotation: int) -> None:
    image = tiny.red_squares((64, 64), [(16, 40), (48, 0)])  # the second face reaches over the frame's border
    faces = engine.detect(turn_picture(image, -rotation % 360), color="bgr", rotation=rotation)
    assert len(faces) == 2
    assert faces.described.all()
    for i in range(2):
        points, space = expected_points(faces, i)
        np.testing.assert_allclose(faces.points68[i], points, atol=0.01)
        np.testing.assert_allclose(faces.points3d[i], space, atol=1e-4)
    np.testing.assert_allclose(faces.eyes_open, [points_bundle.PROBABILITIES[:2]] * 2, atol=1e-5)
    np.testing.assert_allclose(faces.mouth_open, points_bundle.PROBABILITIES[2], atol=1e-5)
    np.testing.assert_allclose(faces.cover, [points_bundle.PROBABILITIES[3:]] * 2, atol=1e-5)
    assert faces.timings["points"] > 0


def test_a_turned_frame_gives_the_same_points_in_the_upright_picture(engine: FaceEngine) -> None:
    image = tiny.red_squares((64, 48), [(16, 16)])
    plain = engine.detect(image, color="bgr")
    # the tiny network says the same rotation in every picture: give the turned one what it would be
    for rotation in (90, 180, 270):
        turned = turn_picture(image, -rotation % 360)
        frame = Frame.from_array(turned, "bgr", rotation=rotation)
        back = -rotation % 360
        corners = turn_points(plain.boxes.reshape(-1, 2, 2), plain.size, back)
        faces = replace(
            plain,
            boxes=np.concatenate([corners.min(1), corners.max(1)], 1),
            landmarks=turn_points(plain.landmarks, plain.size, back),
            size=frame.size,
            rotation=rotation,
        )
        found = engine.describe(frame, faces).upright()
        np.testing.assert_allclose(found.points68, plain.points68, atol=0.01)
        np.testing.assert_allclose(found.points3d, plain.points3d, atol=1e-4)


def test_only_the_largest_are_described(engine: FaceEngine, bundles: dict[str, Path]) -> None:
    image = tiny.red_squares((64, 64), [(0, 0), (32, 0), (0, 32), (32, 32)])
    faces = engine.detect(image, color="bgr")
    assert faces.described.sum() == 2
    sizes = np.array([[1, 3, 2, 4]]).T * np.array([-2, -2, 2, 2])
    grown = replace(faces, boxes=np.tile(faces.landmarks.mean(1), 2) + sizes)
    assert engine.describe(image, grown, "bgr", top=2).described.tolist() == [False, True, False, True]
    assert engine.describe(image, grown, "bgr", top=3).described.tolist() == [False, True, True, True]
    nothing = engine.describe(image, grown, "bgr", top=0)
    assert not nothing.described.any()
    assert nothing.points68.shape == (4, 68, 2)
    assert engine.detect(image, color="bgr", describe=False).points68.shape == (0, 68, 2)
    with FaceEngine(bundles["faces"], runtime="onnxruntime") as plain:
        assert plain.info.points is None
        assert plain.detect(image, color="bgr").points68.shape == (0, 68, 2)
    assert engine.info.points == "points"


def test_no_faces_have_their_shapes(engine: FaceEngine) -> None:
    faces = engine.detect(np.zeros((48, 64, 3), np.uint8), color="bgr")
    assert {name: getattr(faces, name).shape for name in DESCRIBED} == {n: (0, *t) for n, t in DESCRIBED.items()}
    assert faces.described.shape == (0,)


@pytest.mark.parametrize("runtime", ["onnxruntime", "ncnn", "litert"])
def test_every_runtime_sees_the_same_crop(bundles: dict[str, Path], runtime: str) -> None:
    from edgeface.describing import PointsNetwork

    if not installed(runtime) or (runtime == "litert" and not tiny.tflite_writer_installed()):
        pytest.skip(f"{runtime} is not installed")
    rng = np.random.default_rng(5)
    image = np.repeat(np.repeat(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), 8, 0), 8, 1)
    with FaceEngine(bundles["faces"], runtime="onnxruntime") as engine:
        faces = engine.detect(tiny.red_squares((128, 96), [(64, 48)], side=16), color="bgr")
    network = PointsNetwork(bundles["lively"], runtime=runtime)
    found = network.describe(Frame.from_array(image, "bgr"), faces, 1)
    network.close()
    # by hand: the crop's pixels through the weights
    crops, widths = _core.face_crop(faces.landmarks, faces.camera_rotations, faces.boxes)
    pixels = np.empty((1, 3, 112, 112), np.float32)
    _core.preprocess_face([image], "bgr", 128, 96, pixels, crops[0], layout="NCHW", color="rgb")
    fields = pixels.reshape(3, 4, 28, 4, 28).mean((2, 4)).ravel()
    made = points_bundle.weights()
    outputs = [(kernel @ fields + bias).astype(np.float32) for kernel, bias in made.values()]
    answer = _core.decode_points(outputs, list(made), [1.0] * 5, [0] * 5, crops[0], float(widths[0]))
    assert answer is not None
    np.testing.assert_allclose(found.points68[0], answer[0], atol=0.05)
    np.testing.assert_allclose(found.visibility[0], answer[3], atol=3e-3)
    np.testing.assert_allclose(found.cover[0], answer[6], atol=3e-3)


def test_yuv_frames_and_regions(engine: FaceEngine) -> None:
    bgr = tiny.red_squares((128, 64), [(96, 16)], side=16)
    plain = engine.detect(bgr, color="bgr")
    tiled = detect_regions(engine, bgr, [(64, 0, 128, 64), (0, 0, 128, 64)], color="bgr")
    assert len(tiled) > 2
    assert tiled.described.sum() == 2
    y = np.full((96, 128), 16, np.uint8)
    y[16:32, 96:112] = 81
    y[64:] = 128
    y[64 + 8 : 64 + 16, 96:112] = np.tile(np.array([90, 240], np.uint8), 8)
    nv12 = engine.detect(y, color="nv12")
    assert nv12.described.tolist() == plain.described.tolist() == [True]


def test_what_a_network_fails_on_is_left_out(tmp_path: Path, bundles: dict[str, Path]) -> None:
    broken = {role: (kernel, bias.copy()) for role, (kernel, bias) in STILL.items()}
    broken["depth"][1][7] = np.inf
    path = points_bundle.write_bundle(tmp_path / "broken.efm", made=broken)
    with FaceEngine(bundles["faces"], runtime="onnxruntime", points=path) as engine:
        faces = engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr")
    assert len(faces) == 1
    assert not faces.described.any()
    assert faces[0].points68 is None


def test_rows_stay_together(engine: FaceEngine) -> None:
    image = tiny.red_squares((64, 64), [(0, 0), (32, 0), (0, 32)])
    faces = engine.detect(image, color="bgr")
    part = faces[faces.described]
    assert len(part) == 2
    assert part.points68.shape == (2, 68, 2)
    face = part[1]
    assert face.points68 is not None
    np.testing.assert_array_equal(face.points68, part.points68[1])
    assert face.mouth_open == pytest.approx(0.1, abs=1e-5)
    left_out = faces[~faces.described]
    assert left_out[0].points68 is left_out[0].mouth_open is None
    joined = Faces.join([faces[:1], Faces.empty((64, 64)), engine.detect(image, color="bgr", describe=False)])
    assert len(joined) == 4
    assert joined.described.tolist() == [bool(faces.described[0]), False, False, False]


def test_json(engine: FaceEngine) -> None:
    faces = engine.detect(tiny.red_squares((64, 64), [(0, 0), (32, 0), (0, 32)]), color="bgr")
    objects = json.loads(json.dumps(faces.to_dicts(), allow_nan=False))
    described = [o for o, d in zip(objects, faces.described, strict=True) if d]
    assert {len(o) for o in objects} == {8, 8 + len(DESCRIBED)}
    for o in described:
        assert np.array(o["points68"]).shape == (68, 2)
        assert o["eyes_open"] == [0.9, 0.8]
        assert o["cover"] == dict(zip(COVER_NAMES, (0.02, 0.03, 0.04, 0.05, 0.7, 0.06), strict=True))
        assert o["mouth_open"] == 0.1


@pytest.mark.parametrize("change", [{"points68": np.zeros((2, 68, 2))}, {"cover": np.zeros((1, 5))}, {"eyes_open": []}])
def test_wrong_shapes_are_refused(engine: FaceEngine, change: dict[str, Any]) -> None:
    faces = engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr")
    with pytest.raises(InvalidInputError, match=r"Faces\.\w+ must be of shape"):
        replace(faces, **change)


def test_refused(engine: FaceEngine, bundles: dict[str, Path]) -> None:
    image = tiny.red_squares((64, 64), [(16, 40)])
    faces = engine.detect(image, color="bgr")
    with pytest.raises(InvalidInputError, match=r"of a frame of \(64, 48\) turned by 0, but got \(64, 64\)"):
        engine.describe(image[:48], faces, "bgr")
    with pytest.raises(InvalidInputError, match="turned by 90, but got"):
        engine.describe(image, faces, "bgr", rotation=90)
    for top in (-1, 1.5, True):
        with pytest.raises(InvalidInputError, match="top must be an integer"):
            engine.describe(image, faces, "bgr", top=top)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"points must be a per-face network .*but got tiny .*give it as model"):
        FaceEngine(bundles["faces"], runtime="onnxruntime", points=bundles["faces"])
    with pytest.raises(BundleError, match="model must be the path of a bundle"):
        FaceEngine(bundles["faces"], runtime="onnxruntime", points="nothing")


def test_closed(bundles: dict[str, Path]) -> None:
    engine = FaceEngine(bundles["faces"], runtime="onnxruntime", points=bundles["still"])
    image = tiny.red_squares((64, 64), [(16, 40)])
    faces = engine.detect(image, color="bgr")
    engine.close()
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.describe(image, faces, "bgr")


def test_tracked_faces_are_described_and_smoothed(bundles: dict[str, Path]) -> None:
    with FaceEngine(bundles["faces"], runtime="onnxruntime", points=bundles["still"]) as engine:
        for k in range(6):
            x = 16 + 8 * (k == 5)  # the face jumps in the last frame
            faces = engine.track(tiny.red_squares((64, 64), [(x, 24)]), color="bgr", timestamp_ns=k * 33_000_000)
    assert faces.track_ids is not None
    assert faces.described.tolist() == [True]
    at = faces.points68[0].mean(0)[0] - expected_points(faces, 0)[0].mean(0)[0]
    assert at < -0.2  # behind the box, which was smoothed itself
