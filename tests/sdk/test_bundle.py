import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import tiny

from edgeface import bundle as bundle_module
from edgeface.bundle import Bundle, write_bundle
from edgeface.engine import FaceEngine
from edgeface.errors import BundleCorruptError, BundleError, BundleTooNewError, EdgeFaceError, InvalidInputError
from edgeface.manifest import Manifest

NETWORK = b"not a network, but bytes with a hash"


def content(**changes: Any) -> dict[str, bytes]:
    models = [tiny.model_entry("n.onnx", NETWORK, "uint8", "NCHW")]
    return {"manifest.json": json.dumps(tiny.manifest(models) | changes).encode(), "n.onnx": NETWORK}


@pytest.mark.parametrize("name", ["b.efm", "folder"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_and_folder_are_read_alike(tmp_path: Path, name: str, compression: int) -> None:
    bundle = Bundle.open(tiny.pack(tmp_path / name, content(), compression))
    model = bundle.manifest.models[0]
    assert bundle.read(model) == NETWORK
    assert bundle.manifest.name == "tiny"
    assert bundle.manifest.decode.channel_scale[16] == (1.0,) * 22


def test_the_manifest_survives_the_round_trip() -> None:
    raw = json.loads(content(metrics={"ap": 0.9}, lineage={"data": ["x"]}, unknown=1)["manifest.json"])
    again = Manifest.from_dict(raw).to_dict()
    assert again == {k: v for k, v in raw.items() if k != "unknown"} | {
        k: {} for k in ("quality", "training", "calibration")
    }
    assert Manifest.from_json(json.dumps(again)) == Manifest.from_dict(raw)


@pytest.mark.parametrize("name", ["b.efm", "folder"])
def test_a_flipped_byte_in_the_network_is_found(tmp_path: Path, name: str) -> None:
    files = content()
    damaged = bytearray(NETWORK)
    damaged[5] ^= 1
    path = tiny.pack(tmp_path / name, files | {"n.onnx": bytes(damaged)})
    with pytest.raises(BundleCorruptError, match=r"sha256 of n.onnx in .* must be [0-9a-f]{64}, but got [0-9a-f]{64}"):
        Bundle.open(path)


def test_newer_bundles_say_so(tmp_path: Path) -> None:
    for number, (change, message) in enumerate(
        [
            ({"schema": 2, "models": "laid out differently"}, r"manifest.schema must be at most 1, but got 2: update"),
            ({"min_sdk": "99.0"}, r"manifest.min_sdk must be at most .*, but got 99.0: update edgeface"),
            (
                {"decode": {"rule": "edgeface-v2"}},
                "or edgeface-points-v1, but got edgeface-v2",
            ),
        ]
    ):
        with pytest.raises(BundleTooNewError, match=message):
            Bundle.open(tiny.pack(tmp_path / f"{number}.efm", content(**change)))


def _model(**changes: Any) -> list[dict[str, Any]]:
    return [tiny.model_entry("n.onnx", NETWORK, "uint8", "NCHW") | changes]


DECODE = tiny.manifest([])["decode"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "1"}, "manifest.schema must be an integer"),
        ({"schema": True}, "manifest.schema must be an integer"),
        ({"schema": 0}, "manifest.schema must be an integer from 1"),
        ({"min_sdk": "new"}, "manifest.min_sdk must be a version such as 0.1.0, but got 'new'"),
        ({"name": 5}, "manifest.name must be a string"),
        ({"name": "a\nb"}, "manifest.name must be a string"),
        ({"models": []}, "manifest.models must be a list of 1 to 64 items, but got 'one of 0'"),
        ({"models": [3]}, r"manifest.models\[0\] must be an object, but got 3"),
        ({"models": _model() * 2}, "must name different files"),
        ({"models": _model(file="../../etc/passwd")}, r"manifest.models\[0\].file must be"),
        ({"models": _model(file="manifest.json")}, "file must be a network"),
        ({"models": _model(sha256="abc")}, "sha256 must be"),
        ({"models": _model(format="pt")}, "format must be one of onnx, tflite, .*but got 'pt'"),
        ({"models": _model(size=[320])}, r"size must be \[width, height\]"),
        ({"models": _model(size=[320, 10**9])}, "size must be"),
        ({"models": _model(size=[320, 250])}, "size must be multiples of size_multiple 16"),
        ({"models": _model(size_multiple=4)}, "size_multiple must be a multiple of the finest stride 8"),
        ({"models": _model(outputs=[])}, "outputs must be a list of 3"),
        ({"models": _model(outputs=_model()[0]["outputs"][:2] * 2)}, "outputs must be a list of 3"),
        ({"models": _model(outputs=[_model()[0]["outputs"][0]] * 3)}, r"outputs must be one for each stride of"),
        ({"models": _model(input=_model()[0]["input"] | {"color": "yuv"})}, "input.color must be one of rgb, bgr"),
        ({"models": _model(input=_model()[0]["input"] | {"scale": 0})}, "input.scale must be a number above 0"),
        ({"default_size": None}, "manifest.default_size must be"),
        ({"sizes": "all"}, "manifest.sizes must be a list"),
        ({"decode": DECODE | {"strides": [8, 16, 16]}}, "strides must rise"),
        ({"decode": DECODE | {"strides": [0]}}, "strides must be integers"),
        ({"decode": DECODE | {"min_score": 1.0}}, "min_score must be a number"),
        ({"decode": DECODE | {"channel_scale": {"8": [1.0] * 22, "16": [1.0] * 22}}}, "channel_scale.32 must be there"),
        ({"decode": DECODE | {"channel_scale": {s: [1.0] * 21 for s in ("8", "16", "32")}}}, "a list of 22"),
        ({"decode": DECODE | {"channel_scale": {s: [-1.0] * 22 for s in ("8", "16", "32")}}}, r"channel_scale.8\[0\]"),
        ({"landmarks": ["left_eye", "right_eye", "nose_tip", "a", "b"]}, "manifest.landmarks must be"),
        ({"pose": {"rotation": "camera_to_head", "angles": "300W-LP"}}, "manifest.pose.rotation must be one of"),
        ({"licence": None}, "manifest.licence must be"),
        ({"metrics": []}, "manifest.metrics must be an object, but got a list"),
    ],
)
def test_wrong_manifests_name_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Bundle.open(tiny.pack(tmp_path / "b.efm", content(**change)))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN", b'{"schema": 1e999}', b"null"])
def test_what_is_not_json(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BundleError, match="manifest"):
        Bundle.open(tiny.pack(tmp_path / "b.efm", {"manifest.json": text}))


def test_missing_parts(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"bundle must be a file or folder, but got .*nothing\.efm, which does not exist"
    ):
        Bundle.open(tmp_path / "nothing.efm")
    files = content()
    for number, missing in enumerate(files):
        kept = {name: data for name, data in files.items() if name != missing}
        for path in (tmp_path / f"{number}.efm", tmp_path / f"{number}"):
            with pytest.raises(BundleError, match=f"bundle must hold {missing}, but got"):
                Bundle.open(tiny.pack(path, kept))


def test_zip_bombs_are_refused_before_they_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MAX_FILE_BYTES", 1 << 20)
    bomb = tiny.pack(tmp_path / "bomb.efm", content() | {"n.onnx": bytes(4 << 20)})
    assert bomb.stat().st_size < 1 << 16
    with pytest.raises(BundleError, match=r"n\.onnx in .* must be at most 1048576 bytes long, but got 4194304"):
        Bundle.open(bomb)
    many = tiny.pack(tmp_path / "many.efm", {f"{i}": b"" for i in range(300)})
    with pytest.raises(BundleError, match="at most 256 files, but got 300"):
        Bundle.open(many)
    monkeypatch.setattr(bundle_module, "MAX_TOTAL_BYTES", 10)
    with pytest.raises(BundleError, match="at most 10 bytes"):
        Bundle.open(tiny.pack(tmp_path / "folder", content()))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.efm"
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for name, data in (*content().items(), ("n.onnx", b"other")):
            archive.writestr(name, data)
    with pytest.raises(BundleError, match="each file once"):
        Bundle.open(path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="must be stored or deflated, but got method 14"):
        Bundle.open(tiny.pack(tmp_path / "b.efm", content(), zipfile.ZIP_LZMA))


def test_selection_prefers_int8_and_the_exact_size(tmp_path: Path) -> None:
    fixed = tiny.model_entry("fixed.onnx", NETWORK, "uint8", "NCHW", (320, 256))
    floating = tiny.model_entry("float.onnx", NETWORK, "float32", "NCHW") | {"precision": "float32"}
    dynamic = tiny.model_entry("any.onnx", NETWORK, "uint8", "NCHW")
    lite = tiny.model_entry("lite.tflite", NETWORK, "int8", "NHWC", (320, 256))
    models = [floating, dynamic, fixed, lite]
    files = {model["file"]: NETWORK for model in models}
    manifest = tiny.manifest(models, sizes=[[320, 256], [64, 64], [100, 100]])
    bundle = Bundle.open(tiny.pack(tmp_path / "b.efm", {"manifest.json": json.dumps(manifest).encode()} | files))

    def chosen(*arguments: Any) -> str | None:
        model = bundle.select(*arguments)
        return model and model.file

    assert chosen(("onnx",), (320, 256)) == "fixed.onnx"
    assert chosen(("onnx",), (64, 96)) == "any.onnx"
    assert chosen(("onnx",), (64, 96), "float32") == "float.onnx"
    assert chosen(("tflite",), (320, 256)) == "lite.tflite"
    assert chosen(("tflite",), (64, 64)) is None
    assert chosen(("onnx",), (100, 100)) is None
    assert bundle.sizes() == ((320, 256), (64, 64))
    assert bundle.sizes(("tflite",)) == bundle.sizes("tflite") == ((320, 256),)
    assert chosen("onnx", [320, 256]) == "fixed.onnx"
    for wrong, message in (((("tfl",),), "formats must be of"), ((("onnx",), "320x256"), "size must be")):
        with pytest.raises(InvalidInputError, match=message):
            chosen(*wrong)


def test_every_tenth_byte_damaged(tmp_path: Path) -> None:
    """A damaged bundle is refused, or what was damaged was not read; a network that differs by a bit is never run."""
    whole = tiny.write_bundle(tmp_path / "whole.efm").read_bytes()
    intact = Bundle.open(tmp_path / "whole.efm")
    path = tmp_path / "damaged.efm"
    refused = 0
    for position in range(0, len(whole), 10):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            bundle = Bundle.open(path)
        except BundleError:
            refused += 1
        else:
            assert bundle.manifest == intact.manifest
            assert bundle.read(bundle.manifest.models[0]) == intact.read(intact.manifest.models[0])
    assert refused > 0.9 * len(whole) / 10


def test_truncated_anywhere(tmp_path: Path) -> None:
    whole = tiny.write_bundle(tmp_path / "whole.efm").read_bytes()
    path = tmp_path / "cut.efm"
    for length in range(0, len(whole), 10):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            Bundle.open(path)


@given(st.binary(max_size=400))
def test_any_bytes_as_a_manifest(data: bytes) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
VALID = json.loads(content()["manifest.json"])


@settings(max_examples=200)
@given(st.data())
def test_any_value_anywhere_in_a_manifest(data: st.DataObject) -> None:
    """Replace one value somewhere in a good manifest: it is refused by name, or gives a manifest of the right types."""
    raw = json.loads(json.dumps(VALID))
    node: Any = raw
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(json_values)
    try:
        manifest = Manifest.from_dict(raw)
    except BundleError:
        return
    assert np.all(np.isfinite([manifest.decode.channel_scale[s] for s in manifest.decode.strides]))
    assert all(isinstance(side, int) and side > 0 for size in manifest.sizes for side in size)
    assert {output.stride for output in manifest.models[0].outputs} == set(manifest.decode.strides)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_damage_never_crashes_the_engine(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "b.efm"
    if not path.exists():
        tiny.write_bundle(path)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    other = tmp_path / "damaged.efm"
    other.write_bytes(damaged)
    try:
        engine = FaceEngine(other, runtime="onnxruntime", warmup=False)
    except EdgeFaceError:
        return
    with engine:
        assert len(engine.detect(tiny.red_squares((64, 64), [(16, 40)]), color="bgr")) == 1


def test_a_written_bundle_asks_for_the_edgeface_that_knows_its_formats(tmp_path: Path) -> None:
    """0.1.0 calls a network for ncnn a damaged manifest; told the version, it says that it must be updated."""
    bundle = Bundle.find("edgeface-s")
    for formats, wanted in (({"onnx", "tflite", "ncnn"}, "0.2.0"), ({"onnx", "tflite"}, "0.1.0")):
        models = tuple(model for model in bundle.manifest.models if model.format in formats)
        write_bundle(tmp_path / "b.efm", replace(bundle.manifest, models=models, min_sdk="0.1.0"), bundle.files())
        assert Bundle.open(tmp_path / "b.efm").manifest.min_sdk == wanted
    assert bundle.manifest.min_sdk == "0.2.0"
