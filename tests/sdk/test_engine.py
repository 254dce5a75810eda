import gc
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import tiny

from edgeface import _core
from edgeface.engine import FaceEngine, parse_size
from edgeface.errors import (
    BundleError,
    EdgeFaceError,
    EngineClosedError,
    InvalidInputError,
    RuntimeUnavailableError,
)
from edgeface.faces import Face, Faces
from edgeface.frame import Frame
from edgeface.runtimes import RUNTIMES, installed

litert = pytest.mark.skipif(not installed("litert"), reason="ai-edge-litert is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = ((64, 64),) if tiny.tflite_writer_installed() else ()
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", tflite_sizes=sizes)


@pytest.fixture(scope="module")
def engine(bundle: Path) -> FaceEngine:
    return FaceEngine(bundle, runtime="onnxruntime")


def expect_face(face: Face, centre: tuple[float, float], scale: float = 1.0) -> None:
    """The tiny network's face at a cell whose centre is here, one input pixel being `scale` pixels of the frame."""
    x, y = centre
    half = tiny.SIDE / 2 * scale
    np.testing.assert_allclose(face.box, [x - half, y - half, x + half, y + half], atol=1e-3)
    points = np.array(centre) + np.array(tiny.LANDMARKS) * 8 * scale
    np.testing.assert_allclose(face.landmarks, points, atol=1e-3)
    assert face.score > 0.99
    assert face.quality == pytest.approx(tiny.QUALITY, abs=1e-5)


def test_a_face_is_found_where_it_is(engine: FaceEngine) -> None:
    faces = engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr")
    assert len(faces) == 1
    expect_face(faces[0], (20, 44))
    np.testing.assert_allclose(faces.angles[0], tiny.ANGLES, atol=1e-3)
    assert faces.size == (64, 64)
    assert set(faces.timings) == {"preprocess", "infer", "decode"}
    assert all(seconds > 0 for seconds in faces.timings.values())


def test_no_face_is_an_empty_struct(engine: FaceEngine) -> None:
    faces = engine.detect(np.zeros((48, 80, 3), np.uint8), color="bgr")
    assert (len(faces), faces.boxes.shape, faces.landmarks.shape, faces.size) == (0, (0, 4), (0, 5, 2), (80, 48))


def test_faces_come_by_falling_score(engine: FaceEngine) -> None:
    image = tiny.red_squares((64, 64), [(0, 0), (32, 32)])
    image[0:8, 0:8, 2] = 200
    faces = engine.detect(image, color="bgr")
    expect_face(faces[0], (36, 36))
    assert faces.scores[0] > faces.scores[1]


def test_colour_order_matters(engine: FaceEngine) -> None:
    image = tiny.red_squares((64, 64), [(16, 40)])
    assert len(engine.detect(image, color="rgb")) == 0
    assert len(engine.detect(image[..., ::-1], color="rgb")) == 1


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_every_kind_of_input_tensor(tmp_path: Path, dtype: str, layout: str, color: str) -> None:
    path = tiny.write_bundle(tmp_path / "b.efm", dtype=dtype, layout=layout, color=color)
    with FaceEngine(path, runtime="onnxruntime") as engine:
        faces = engine.detect(tiny.red_squares((64, 64), [(48, 8)]), color="bgr")
    assert len(faces) == 1
    expect_face(faces[0], (52, 12))


def test_letterboxed_frames_give_their_own_pixels(engine: FaceEngine) -> None:
    # 128x64 into 64x64: half the size, 16 rows of border above
    faces = engine.detect(tiny.red_squares((128, 64), [(96, 16)], side=16), color="bgr")
    assert len(faces) == 1
    expect_face(faces[0], (104, 24), scale=2)


def test_a_region_of_interest_gives_pixels_of_the_frame(engine: FaceEngine) -> None:
    image = tiny.red_squares((200, 150), [(16, 16), (100 + 16, 50 + 40)])
    faces = engine.detect(image, color="bgr", roi=(100, 50, 164, 114))
    assert len(faces) == 1
    expect_face(faces[0], (120, 94))
    assert faces.size == (200, 150)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_camera_gives_pixels_and_pose_of_the_frame(engine: FaceEngine, rotation: int) -> None:
    upright = tiny.red_squares((64, 48), [(8, 24)])
    given = np.rot90(upright, k=rotation // 90)  # counter-clockwise, which `rotation` clockwise undoes
    faces = engine.detect(given, color="bgr", rotation=rotation)
    assert len(faces) == 1
    x, y = 12, 28
    height, width = upright.shape[:2]
    where = {0: (x, y), 90: (y, width - x), 180: (width - x, height - y), 270: (height - y, x)}[rotation]
    np.testing.assert_allclose((faces.boxes[0, :2] + faces.boxes[0, 2:]) / 2, where, atol=0.01)
    # the head turns with the picture: its axes seen in the frame as given are those of the upright frame, turned back
    turn = np.radians(-rotation)
    back = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    upright_rotation = engine.detect(upright, color="bgr").rotations[0]
    np.testing.assert_allclose(faces.camera_rotations[0], back @ upright_rotation, atol=1e-5)
    np.testing.assert_allclose(faces.rotations[0], upright_rotation, atol=1e-5)


def test_a_frame_carries_its_stamps(engine: FaceEngine) -> None:
    frame = Frame.from_array(tiny.red_squares((64, 64), [(16, 40)]), "bgr", timestamp_ns=123, sequence=7)
    faces = engine.detect(frame)
    assert (len(faces), faces.timestamp_ns, faces.sequence) == (1, 123, 7)
    faces = engine.detect(frame.planes[0], color="bgr", timestamp_ns=5, sequence=0)
    assert (faces.timestamp_ns, faces.sequence) == (5, 0)


def test_the_array_given_is_neither_changed_nor_kept(engine: FaceEngine) -> None:
    image = tiny.red_squares((64, 64), [(16, 40)])
    before = image.copy()
    faces = engine.detect(image, color="bgr")
    np.testing.assert_array_equal(image, before)
    boxes = faces.boxes.copy()
    engine.detect(np.zeros_like(image), color="bgr")
    np.testing.assert_array_equal(faces.boxes, boxes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "color must be given with an array"),
        ({"color": "brg"}, "color must be one of bgr"),
        ({"color": "bgr", "rotation": 30}, "rotation must be one of 0, 90"),
        ({"color": "bgr", "roi": (0, 0, 65, 1)}, "roi must be"),
        ({"color": "bgr", "min_score": 1.5}, "min_score must be a number between 0 and 1, but got 1.5"),
        ({"color": "bgr", "min_score": float("nan")}, "min_score must be"),
    ],
)
def test_bad_arguments_of_detect(engine: FaceEngine, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        engine.detect(np.zeros((64, 64, 3), np.uint8), **arguments)  # type: ignore[arg-type]


def test_a_frame_must_not_be_told_twice(engine: FaceEngine) -> None:
    frame = Frame.from_array(np.zeros((4, 4), np.uint8), "gray")
    for arguments in ({"color": "gray"}, {"rotation": 90}, {"timestamp_ns": 0}):
        with pytest.raises(InvalidInputError, match="must be left out with a Frame"):
            engine.detect(frame, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"threads": 0}, InvalidInputError, "threads must be an integer from 1 to 256, but got 0"),
        ({"threads": 1.5}, InvalidInputError, "threads must be"),
        ({"max_faces": 0}, InvalidInputError, "max_faces must be"),
        ({"min_score": -1}, InvalidInputError, "min_score must be"),
        ({"nms_iou": "x"}, InvalidInputError, "nms_iou must be"),
        ({"precision": "int4"}, InvalidInputError, "precision must be"),
        ({"runtime": "tensorrt"}, InvalidInputError, "runtime must be one of auto, ncnn, litert, onnxruntime, tflite"),
        ({"size": "big"}, InvalidInputError, r"size must be \(width, height\) or text such as 320x240, but got 'big'"),
        ({"size": (64, 65), "runtime": "onnxruntime"}, BundleError, "must have a network for onnxruntime 64x65"),
        ({"precision": "float32"}, BundleError, "must have a network for auto float32 64x64, but got none"),
    ],
)
def test_bad_arguments(bundle: Path, arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FaceEngine(bundle, **arguments)  # type: ignore[arg-type]


def test_no_such_model() -> None:
    with pytest.raises(BundleError, match=r"model must be the path of a bundle or a bundled name .*, but got nothere"):
        FaceEngine("nothere")


def test_any_size_that_the_bundle_serves(bundle: Path) -> None:
    for size in ((96, 32), "96x32"):
        with FaceEngine(bundle, runtime="onnxruntime", size=size) as engine:
            assert engine.info.size == (96, 32)
            faces = engine.detect(tiny.red_squares((96, 32), [(80, 16)]), color="bgr")
            expect_face(faces[0], (84, 20))


@pytest.mark.parametrize("runtime", [name for name in ("onnxruntime", "litert") if installed(name)])
def test_a_height_that_the_coarsest_stride_does_not_divide(tmp_path: Path, runtime: str) -> None:
    sizes = ((320, 240),) if tiny.tflite_writer_installed() else ()
    path = tiny.write_bundle(tmp_path / "b.efm", tflite_sizes=sizes)
    with FaceEngine(path, runtime=runtime, size=(320, 240)) as engine:
        faces = engine.detect(tiny.red_squares((320, 240), [(312, 232)]), color="bgr")
    assert len(faces) == 1
    expect_face(faces[0], (316, 236))


def test_sizes_are_parsed() -> None:
    assert parse_size("640x480") == parse_size((640, 480)) == parse_size([np.int64(640), 480]) == (640, 480)
    for bad in ("640", "640x", "0x480", "-1x5", (640,), (640.0, 480), None, 5, (True, 5), "9999999x1"):
        with pytest.raises(InvalidInputError, match="size must be"):
            parse_size(bad)


def test_info_says_what_runs(engine: FaceEngine) -> None:
    info = engine.info.to_dict()
    assert info["model"] == "tiny"
    assert len(info["sha256"]) == 64
    assert (info["runtime"], info["size"], info["threads"]) == ("onnxruntime", (64, 64), 1)
    assert info["reason"] == "requested"
    assert info["warmup_s"] > 0
    assert "tiny int8 64x64, onnxruntime" in repr(engine)


def test_warmup_can_be_left_out(bundle: Path) -> None:
    with FaceEngine(bundle, runtime="onnxruntime", warmup=False) as engine:
        assert engine.info.warmup_s is None
        assert len(engine.detect(tiny.red_squares((64, 64), [(0, 0)]), color="bgr")) == 1


def test_closing(bundle: Path) -> None:
    engine = FaceEngine(bundle)
    with engine:
        pass
    engine.close()
    with pytest.raises(EngineClosedError, match="engine must be open"):
        engine.detect(np.zeros((8, 8), np.uint8), color="gray")


def test_min_score_of_the_engine_and_of_the_call(bundle: Path) -> None:
    image = tiny.red_squares((64, 64), [(16, 40)])
    with FaceEngine(bundle, runtime="onnxruntime", min_score=0.99999) as engine:
        assert len(engine.detect(image, color="bgr")) == 0
        assert len(engine.detect(image, color="bgr", min_score=0.5)) == 1


def test_at_most_max_faces(bundle: Path) -> None:
    image = tiny.red_squares((64, 64), [(0, 0), (32, 0), (0, 32)])
    with FaceEngine(bundle, runtime="onnxruntime", max_faces=2) as engine:
        assert len(engine.detect(image, color="bgr")) == 2


def test_the_best_of_all_faces_are_kept(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """The core keeps faces by their best cells, so it must be given room for more than are asked for."""
    asked: list[int] = []
    decode = _core.decode

    def remembered(*arguments: Any, **options: Any) -> Any:
        asked.append(options["max_faces"])
        return decode(*arguments, **options)

    monkeypatch.setattr("edgeface.engine._core", SimpleNamespace(**vars(_core) | {"decode": remembered}))
    image = tiny.red_squares((64, 64), [(0, 0), (32, 0), (0, 32)])
    with FaceEngine(bundle, runtime="onnxruntime", max_faces=300, warmup=False) as engine:
        everything = engine.detect(image, color="bgr")
    with FaceEngine(bundle, runtime="onnxruntime", max_faces=1, warmup=False) as engine:
        best = engine.detect(image, color="bgr")
    assert asked == [300, 256]
    np.testing.assert_array_equal(best.boxes, everything.boxes[:1])


def test_threads_share_an_engine(engine: FaceEngine) -> None:
    """Each thread has its own picture; a mixed-up buffer would give it another one's face."""
    places = [(8 * i, 8 * (7 - i)) for i in range(8)]
    wrong: list[object] = []

    def work(place: tuple[int, int]) -> None:
        image = tiny.red_squares((64, 64), [place])
        for _ in range(25):
            faces = engine.detect(image, color="bgr")
            centre = (faces.boxes[0, :2] + faces.boxes[0, 2:]) / 2 if len(faces) == 1 else None
            if centre is None or not np.allclose(centre, np.add(place, 4), atol=1e-3):
                wrong.append((place, faces))

    threads = [threading.Thread(target=work, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_unavailable_runtime_is_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.runtimes.installed", lambda name: False)
    with pytest.raises(RuntimeUnavailableError, match=r"litert is not installed \(pip install ai-edge-litert\)"):
        FaceEngine(bundle, runtime="litert")
    with pytest.raises(RuntimeUnavailableError, match="a runtime must be installed, but got none"):
        FaceEngine(bundle)


def test_auto_falls_back_and_says_why(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.runtimes.installed", lambda name: name == "onnxruntime")
    with FaceEngine(bundle) as engine:
        assert engine.info.runtime == "onnxruntime"
        assert "litert is not installed" in engine.info.reason


@litert
def test_auto_goes_on_when_a_runtime_is_broken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a wheel was built for another libc: the package is there, and fails when it is imported."""
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with FaceEngine(bundle) as engine:
        assert engine.info.runtime == "onnxruntime"
        assert "litert is broken (runtime litert must be importable, but got" in engine.info.reason
    with pytest.raises(RuntimeUnavailableError, match="runtime litert must be importable"):
        FaceEngine(bundle, runtime="litert")


@litert
def test_auto_takes_litert_where_the_bundle_allows(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.runtimes.core_of", lambda cpus: None)  # the order is not the table's
    with FaceEngine(bundle) as engine:
        assert engine.info.runtime == "litert"
    with FaceEngine(bundle, size=(96, 64)) as engine:
        assert engine.info.runtime == "onnxruntime"
        assert "litert has no int8 96x64 network in the bundle" in engine.info.reason


@litert
def test_runtimes_agree(bundle: Path) -> None:
    image = np.random.default_rng(0).integers(0, 60, (64, 64, 3), dtype=np.uint8)
    image[24:32, 16:24] = (0, 0, 255)
    image[8:16, 48:56] = (10, 0, 200)
    results: list[Faces] = []
    for runtime in ("onnxruntime", "litert"):
        with FaceEngine(bundle, runtime=runtime) as engine:
            engine.detect(np.zeros_like(image), color="bgr")
            results.append(engine.detect(image, color="bgr"))
    assert len(results[0]) == 2
    for name in ("boxes", "scores", "landmarks", "rotations", "quality"):
        np.testing.assert_allclose(getattr(results[0], name), getattr(results[1], name), atol=1e-4)


@litert
def test_litert_survives_errors_and_held_results(bundle: Path) -> None:
    """Its interpreter does not run while a view of its memory is alive: neither results nor tracebacks may hold one."""
    with FaceEngine(bundle, runtime="litert") as engine:
        held: list[object] = []
        for _ in range(3):
            held.append(engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr"))
            with pytest.raises(EdgeFaceError) as caught:
                engine.detect(np.zeros((4, 4), np.float32), color="gray")
            held.append(caught)


@pytest.mark.parametrize("runtime", [name for name in ("onnxruntime", "litert") if installed(name)])
def test_a_network_that_is_not_what_the_manifest_says(tmp_path: Path, runtime: str) -> None:
    network = tiny.onnx_network() if runtime == "onnxruntime" else tiny.tflite_network((64, 64))
    suffix = "onnx" if runtime == "onnxruntime" else "tflite"
    good = tiny.model_entry(f"n.{suffix}", network, "uint8" if suffix == "onnx" else "float32", "NCHW", (64, 64))
    if suffix == "tflite":
        good = tiny.model_entry("n.tflite", network, "float32", "NHWC", (64, 64))
    changes = {
        "wrong input name": {"input": good["input"] | {"name": "other"}},
        "wrong input dtype": {"input": good["input"] | {"dtype": "int8", "scale": 1 / 128, "zero_point": 0}},
        "wrong output name": {"outputs": [good["outputs"][0] | {"name": "other"}, *good["outputs"][1:]]},
        "wrong output dtype": {"outputs": [good["outputs"][0] | {"dtype": "int8"}, *good["outputs"][1:]]},
        "outputs swapped": {
            "outputs": [o | {"name": n} for o, n in zip(good["outputs"], ("p16", "p8", "p32"), strict=True)]
        },
    }
    for number, (what, change) in enumerate(changes.items()):
        path = tiny.pack(
            tmp_path / f"{number}.efm",
            {"manifest.json": _json(tiny.manifest([good | change])), f"n.{suffix}": network},
        )
        with pytest.raises(EdgeFaceError):
            with FaceEngine(path, runtime=runtime) as engine:
                engine.detect(np.zeros((64, 64), np.uint8), color="gray")
            pytest.fail(f"{what} was accepted")


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if installed(name)])
def test_a_file_that_is_no_network(tmp_path: Path, runtime: str) -> None:
    suffix = "param" if runtime == "ncnn" else RUNTIMES[runtime].formats[0]
    entry = tiny.model_entry(f"n.{suffix}", b"nonsense", "float32", "NHWC", (64, 64))
    if runtime == "ncnn":
        entry = tiny.ncnn_entry("n", (b"nonsense", b"nonsense"))
    files = dict.fromkeys((f"n.{suffix}", "n.bin"), b"nonsense")
    path = tiny.pack(tmp_path / "b.efm", {"manifest.json": _json(tiny.manifest([entry])), **files})
    with pytest.raises(EdgeFaceError, match=rf"n\.{suffix} must be a network that"):
        FaceEngine(path, runtime=runtime)


def test_engines_do_not_pile_up(bundle: Path) -> None:
    alive = []
    for _ in range(5):
        engine = FaceEngine(bundle)
        alive.append(weakref.ref(engine))
        engine.close()
        del engine
    gc.collect()
    assert not [ref for ref in alive if ref() is not None]


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()
