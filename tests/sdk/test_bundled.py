"""The bundles that ship, on the example photos, through every runtime that is installed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeface import FaceEngine
from edgeface.bundle import Bundle, bundled_models
from edgeface.cli.app import main
from edgeface.faces import Faces
from edgeface.images import read_image
from edgeface.manifest import DECODE_RULE
from edgeface.runtimes import RUNTIMES, installed

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WIDER = ROOT / "../shared/data/val/wider"
NAMES = sorted(bundled_models(DECODE_RULE))
INSTALLED = [name for name in RUNTIMES if installed(name) and name != "tflite"]
#: A face this sure is one; what a small network takes for a face between this and its threshold is not tested here.
SURE = 0.6

pytestmark = pytest.mark.skipif(not NAMES, reason="no bundle is in this checkout")


def cases() -> list[tuple[str, str]]:
    """Bundles and the runtimes that they have networks for."""
    pairs = [(name, runtime) for name in NAMES for runtime in INSTALLED]
    return [(n, r) for n, r in pairs if Bundle.open(bundled_models()[n]).sizes(RUNTIMES[r].formats)]


def iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Of two boxes, (4,) xyxy."""
    common = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    return float(common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common))


def one_face(model: str, runtime: str, size: tuple[int, int]) -> Faces:
    with FaceEngine(model, runtime=runtime, size=size, exact=True) as engine:
        return engine.detect(read_image(EXAMPLES / "astronaut.jpg"), color="bgr", min_score=SURE)


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_where_the_weights_come_from(name: str) -> None:
    manifest = Bundle.open(bundled_models()[name]).manifest
    assert manifest.name == name
    assert manifest.licence
    assert manifest.lineage["data"]
    assert manifest.metrics


@pytest.mark.parametrize(("model", "runtime"), cases())
def test_the_astronaut_is_found_at_every_size(model: str, runtime: str) -> None:
    """Her face is about 100 pixels wide around (223, 130), and she looks into the lens with a slight tilt."""
    bundle = Bundle.open(bundled_models()[model])
    sizes = bundle.sizes(RUNTIMES[runtime].formats)
    assert bundle.manifest.default_size in sizes
    for size in sizes:
        faces = one_face(model, runtime, size)
        assert len(faces) == 1, size
        x1, y1, x2, y2 = faces.boxes[0]
        assert 80 < x2 - x1 < 150
        assert 90 < y2 - y1 < 180
        assert abs((x1 + x2) / 2 - 223) < 15
        assert abs((y1 + y2) / 2 - 125) < 20
        right_eye, left_eye, nose, right_mouth, left_mouth = faces.landmarks[0]
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
        assert np.all(np.abs(faces.angles) < 30)
        np.testing.assert_allclose(faces.rotations[0] @ faces.rotations[0].T, np.eye(3), atol=1e-5)


@pytest.mark.skipif("onnxruntime" not in INSTALLED, reason="float32, the measure, runs in onnxruntime alone")
@pytest.mark.parametrize(("model", "runtime"), [c for c in cases() if not c[0].endswith("-float32")])
def test_a_face_that_fills_the_frame_is_not_cut_off(model: str, runtime: str) -> None:
    """Eight-bit values have an end: a box of 275x360 pixels of the network's input must not lie beyond it. It must be
    where float32 of the same weights puts it, and near the face.
    """
    face = np.array([178, 58, 271, 180])  # the astronaut's
    left, top, right, bottom = face + np.array([-20, -20, 20, 20])
    crop = np.ascontiguousarray(read_image(EXAMPLES / "astronaut.jpg")[top:bottom, left:right])

    def found(bundle: str | Path, runtime: str) -> NDArray[np.float64]:
        with FaceEngine(bundle, runtime=runtime, size=(640, 480), exact=True) as engine:
            faces = engine.detect(crop, color="bgr", min_score=0.5)
        assert len(faces) == 1
        return np.asarray(faces.boxes[0] + [left, top, left, top], float)

    exact = found(ROOT / "edgeface" / "models" / f"{model}-float32.efm", "onnxruntime")
    box = found(model, runtime)
    assert iou(box, exact) > 0.9
    assert iou(box, face) > 0.84


@pytest.mark.parametrize("model", NAMES)
def test_runtimes_agree_on_the_same_frame(model: str) -> None:
    """They run different quantisations of the same weights: close, not equal."""
    if len([pair for pair in cases() if pair[0] == model]) < 2:
        pytest.skip("only one runtime is installed that the bundle has networks for")
    bundle = Bundle.open(bundled_models()[model])
    common = set.intersection(*(set(bundle.sizes(RUNTIMES[runtime].formats)) for runtime in INSTALLED))
    assert common
    for size in common:
        first, *others = (one_face(model, runtime, size) for runtime in INSTALLED)
        side = float(first.heights[0])
        for second in others:
            assert float(np.abs(first.boxes - second.boxes).max()) < 0.08 * side
            assert float(np.abs(first.landmarks - second.landmarks).max()) < 0.05 * side
            assert float(np.abs(first.angles - second.angles).max()) < 5
            assert abs(float(first.scores[0] - second.scores[0])) < 0.1
            assert abs(float(first.quality[0] - second.quality[0])) < 0.15


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_camera_sees_the_same_face(rotation: int) -> None:
    upright = read_image(EXAMPLES / "astronaut.jpg")
    with FaceEngine(NAMES[-1], size=(320, 320)) as engine:
        straight = engine.detect(upright, color="bgr", min_score=SURE)
        turned = engine.detect(np.rot90(upright, rotation // 90), color="bgr", rotation=rotation, min_score=SURE)
    assert len(straight) == len(turned) == 1
    assert abs(float(straight.scores[0] - turned.scores[0])) < 0.05
    assert abs(float(straight.widths[0] - (turned.heights if rotation % 180 else turned.widths)[0])) < 5


def test_the_command_of_the_readme(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(EXAMPLES / "astronaut.jpg")]) == 0
    assert "1 face" in capfd.readouterr().out


@pytest.mark.parametrize("example", ["detect_photo.py"])
def test_examples_run(example: str) -> None:
    command = [sys.executable, "-P", str(EXAMPLES / example), str(EXAMPLES / "astronaut.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "yaw" in done.stdout


@pytest.mark.skipif(not WIDER.is_dir(), reason="../shared is not beside this checkout")
def test_a_folder_gives_one_line_a_picture(capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted((WIDER / "images").iterdir())
    assert main(["detect", str(WIDER / "images"), "--format", "jsonl", "--size", "320x320"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [Path(record["file"]).name for record in records] == [file.name for file in files]
    assert sum(len(record["faces"]) for record in records) > 225
