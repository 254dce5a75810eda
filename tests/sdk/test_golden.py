"""Golden vectors: drawn, written, read, and compared; what is wrong is named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.ncnn_bundles import read_zip, write_zip

from edgeface.bundle import Bundle, bundled_models
from edgeface.cli.app import main
from edgeface.engine import FaceEngine
from edgeface.errors import BundleCorruptError, BundleError
from edgeface.golden import add_golden, draw_picture, preprocess, read_golden, verify

FLOAT = Path(__file__).parents[2] / "edgeface/models/edgeface-n-float32.efm"


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_golden(FLOAT, tmp_path_factory.mktemp("golden") / "n.efm")


def test_the_picture_is_a_face_to_the_networks() -> None:
    faces = FaceEngine("edgeface-n", runtime="onnxruntime").detect(draw_picture(), color="rgb")
    assert len(faces) == 1
    assert faces.scores[0] > 0.8
    np.testing.assert_allclose(faces.landmarks[0][:2], [[105, 83], [135, 83]], atol=4)


def test_what_is_written_is_what_is_read_and_verifies(golden: Path) -> None:
    read = read_golden(Bundle.open(golden))
    np.testing.assert_array_equal(read.picture, draw_picture())
    (vectors,) = read.networks.values()
    assert (vectors.size, vectors.input.shape) == ((96, 64), (1, 3, 64, 96))
    assert [a.shape for a in vectors.outputs.values()] == [(1, 22, 8, 12), (1, 22, 4, 6), (1, 22, 2, 3)]
    (report,) = verify(Bundle.open(golden), "onnxruntime")
    assert report.difference is None
    assert report.largest <= report.allowed


def test_the_same_bundle_gives_the_same_bytes(golden: Path, tmp_path: Path) -> None:
    assert add_golden(golden, tmp_path / "again.efm").read_bytes() == golden.read_bytes()


def changed(golden: Path, path: Path, file: str, at: int, value: float) -> Path:
    """The bundle with one number of a golden tensor changed, its hash put right."""
    import hashlib

    manifest, files = read_zip(golden)
    array = np.frombuffer(files[file], np.float32).copy()
    array[at] += value
    files[file] = array.tobytes()
    index = json.loads(files["golden.json"])
    (one,) = index["networks"].values()
    for entry in (one["input"], *one["outputs"]):
        if entry["file"] == file:
            entry["sha256"] = hashlib.sha256(files[file]).hexdigest()
    files["golden.json"] = json.dumps(index).encode()
    return write_zip(path, manifest, files)


def test_the_first_tensor_that_differs_is_named(
    golden: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stem = "golden-edgeface-n-float32.onnx"
    path = changed(golden, tmp_path / "x.efm", f"{stem}-stride16.bin", 100, 0.5)
    (report,) = verify(Bundle.open(path), "onnxruntime")
    assert report.difference is not None
    assert report.difference.tensor == "p16"
    assert report.difference.largest == pytest.approx(0.5, abs=1e-3)
    assert report.difference.values == 22 * 4 * 6
    assert verify(Bundle.open(path), "onnxruntime", tolerance=1.0)[0].difference is None
    assert main(["verify", str(path), "--runtime", "onnxruntime"]) == 1
    assert "p16: " in capfd.readouterr().out
    path = changed(golden, tmp_path / "y.efm", f"{stem}-input.bin", 0, 1 / 128)
    (report,) = verify(Bundle.open(path), "onnxruntime", tolerance=100)
    assert report.difference is not None
    assert (report.difference.tensor, report.difference.differing) == ("input", 1)


def test_the_command_line_writes_and_compares(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "n.efm"
    path.write_bytes(FLOAT.read_bytes())
    assert main(["verify", str(path), "--runtime", "onnxruntime", "--write"]) == 0
    assert capfd.readouterr().out.startswith("ok\tonnxruntime ")
    assert main(["verify", "edgeface-n", "--write"]) == 1


def test_none_damaged_and_stale_vectors_are_told_apart(golden: Path, tmp_path: Path) -> None:
    manifest, files = read_zip(golden)
    bare = write_zip(tmp_path / "bare.efm", manifest, {n: d for n, d in files.items() if not n.startswith("golden")})
    with pytest.raises(BundleError, match="must carry golden vectors"):
        verify(Bundle.open(bare))
    damaged = {**files, "golden-picture.ppm": files["golden-picture.ppm"][:-1]}
    with pytest.raises(BundleCorruptError, match=r"sha256 of golden-picture\.ppm"):
        verify(Bundle.open(write_zip(tmp_path / "damaged.efm", manifest, damaged)))
    index = json.loads(files["golden.json"])
    next(iter(index["networks"].values()))["sha256"] = "0" * 64
    stale = write_zip(tmp_path / "stale.efm", manifest, {**files, "golden.json": json.dumps(index).encode()})
    with pytest.raises(BundleCorruptError, match="the network was replaced"):
        verify(Bundle.open(stale))
    for broken in (b"[]", b"{}", b'{"schema": 1}', b"\xff"):
        with pytest.raises(BundleError, match=r"golden\.json"):
            verify(Bundle.open(write_zip(tmp_path / "broken.efm", manifest, {**files, "golden.json": broken})))


def test_int8_runs_within_its_tolerance(tmp_path: Path) -> None:
    """LiteRT's XNNPACK against the reference kernels, onnxruntime against its exact kernels."""
    pytest.importorskip("ai_edge_litert")
    path = add_golden(bundled_models()["edgeface-n"], tmp_path / "n.efm")
    reports = verify(Bundle.open(path))
    assert {report.runtime.split()[0] for report in reports} >= {"litert", "onnxruntime"}
    assert all(report.difference is None for report in reports)


def test_the_input_is_the_same_in_every_dtype(golden: Path) -> None:
    model = Bundle.open(golden).manifest.models[0]
    tensor = preprocess(draw_picture(), model, (320, 240))
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor * 128, np.rint(tensor * 128))


def test_the_zip_has_a_picture_that_people_can_open(golden: Path) -> None:
    with zipfile.ZipFile(golden) as archive:
        assert archive.read("golden-picture.ppm").startswith(b"P6 240 180 255\n")
