"""TFLite files in one piece: the same numbers to the bit, whichever way the weights were stored."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.bundle import Bundle, bundled_models
from edgeface.errors import BundleError

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from quantize.export.one_piece import IDENTIFIER, in_one_piece, mend_bundle

ROOT = Path(__file__).parents[2]
SHIPPED = [
    (name, model.file)
    for name in bundled_models()
    for model in Bundle.find(name).manifest.models
    if model.format == "tflite"
]
# sha256 of the outputs for the astronaut, of the files as they were before their 25 buffers were taken in
BEFORE = {
    "edgeface-s-int8-320x240.tflite": "3a56dd1194103fd607095b8ae375b72357b707c2306168206be4588d2f1f575d",
    "edgeface-s-int8-320x320.tflite": "a11149180504e94ad87b8ca784f1342938a821095427db191d1b57368e66c182",
    "edgeface-s-int8-640x480.tflite": "f664f76d2f8e3d8e9eec75894e64ac742b1f5897c1389dfdbb97ab6025d9ad95",
}


def shipped(name: str, file: str) -> bytes:
    bundle = Bundle.find(name)
    return next(bundle.read(model) for model in bundle.manifest.models if model.file == file)


def outputs(network: bytes) -> list[np.ndarray[Any, Any]]:
    """Of the astronaut, sorted by the outputs' names."""
    interpreter = Interpreter(model_content=network, num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    _, height, width, _ = image["shape"]
    photo = cv2.resize(cv2.imread(str(ROOT / "examples/astronaut.jpg")), (width, height), None, 0, 0, cv2.INTER_NEAREST)
    interpreter.set_tensor(image["index"], (photo[None, ..., ::-1].astype(int) - 128).astype(np.int8))
    interpreter.invoke()
    details = sorted(interpreter.get_output_details(), key=lambda detail: str(detail["name"]))
    return [interpreter.get_tensor(detail["index"]).copy() for detail in details]


def scattered(network: bytes, count: int = 5) -> bytes:
    """The largest buffers moved behind the flatbuffer, as ai-edge-quantizer writes them."""
    model = schema.ModelT.InitFromPackedBuf(network, 0)
    taken = sorted((b for b in model.buffers if b.data is not None), key=lambda b: -len(b.data))[:count]
    data = [bytes(b.data) for b in taken]
    for b, content in zip(taken, data, strict=True):
        b.data, b.offset, b.size = None, 2, len(content)  # two: the length of the table must not change below

    def packed() -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    at = len(packed())
    for b, content in zip(taken, data, strict=True):
        b.offset = at
        at += len(content)
    return packed() + b"".join(data)


@pytest.mark.parametrize(("name", "file"), SHIPPED)
def test_every_shipped_file_is_in_one_piece_with_aligned_weights(name: str, file: str) -> None:
    network = shipped(name, file)
    model = schema.Model.GetRootAs(network, 0)
    assert [model.Buffers(i).Offset() for i in range(model.BuffersLength())] == [0] * model.BuffersLength()
    if file in BEFORE:
        for i in range(model.BuffersLength()):
            table = model.Buffers(i)._tab
            assert not model.Buffers(i).DataLength() or table.Vector(table.Offset(4)) % 16 == 0


@pytest.mark.parametrize("file", BEFORE)
def test_outputs_are_what_they_were_to_the_bit(file: str) -> None:
    digest = hashlib.sha256()
    for output in outputs(shipped("edgeface-s", file)):
        digest.update(output.tobytes())
    assert digest.hexdigest() == BEFORE[file]


@pytest.mark.parametrize(("name", "file"), SHIPPED[:1] + SHIPPED[-1:])
def test_scattered_weights_are_taken_in(name: str, file: str) -> None:
    network = shipped(name, file)
    behind = scattered(network)
    mended = in_one_piece(behind)
    assert max(b.offset for b in schema.ModelT.InitFromPackedBuf(behind, 0).buffers) > 1
    assert max(b.offset for b in schema.ModelT.InitFromPackedBuf(mended, 0).buffers) == 0
    for before, after, again in zip(outputs(network), outputs(behind), outputs(mended), strict=True):
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(before, again)
    assert in_one_piece(mended) == mended


def test_weights_beyond_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="buffers must lie within"):
        in_one_piece(scattered(shipped(*SHIPPED[0]))[:-1])


def test_a_bundle_is_mended_and_otherwise_the_same(tmp_path: Path) -> None:
    source = bundled_models()["edgeface-n"]
    path = tmp_path / "edgeface-n.efm"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        files = {name: old.read(name) for name in old.namelist() if name != "manifest.json"}
        for model in manifest["models"]:
            if model["format"] == "tflite":
                files[model["file"]] = scattered(files[model["file"]])
            model["sha256"] = hashlib.sha256(files[model["file"]]).hexdigest()
        for name, data in ({"manifest.json": json.dumps(manifest).encode()} | files).items():
            new.writestr(name, data)
    with pytest.raises(BundleError, match=r"inside the flatbuffer, but got bytes behind the flatbuffer"):
        Bundle.open(path)
    mend_bundle(path)
    mended, original = Bundle.open(path).manifest.to_dict(), Bundle.open(source).manifest.to_dict()
    for model in (*mended["models"], *original["models"]):
        if model["format"] == "tflite":
            model.pop("sha256")
    assert mended == original
