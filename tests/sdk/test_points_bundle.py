"""Bundles of a per-face network: read, written, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import points_bundle
from support.foreign import changed, flipped

from edgeface import FaceEngine
from edgeface.bundle import Bundle, write_bundle
from edgeface.errors import BundleError
from edgeface.manifest import POINTS_OUTPUTS, POINTS_STATE, Manifest
from edgeface.runtimes import choose_and_open, installed

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MADE = points_bundle.weights()
NETWORK = points_bundle.onnx_network(MADE)
RAW = points_bundle.manifest([points_bundle.entry("p.onnx", NETWORK)], metrics={"a": [1]})


def test_read_and_written_again(tmp_path: Path) -> None:
    manifest = Manifest.from_dict(RAW)
    assert manifest.decode.margin == 1.7
    assert manifest.decode.state == POINTS_STATE
    assert {o.role for o in manifest.models[0].outputs} == set(POINTS_OUTPUTS)
    assert not manifest.finds_faces
    assert manifest.to_dict() == RAW | {k: {} for k in ("training", "calibration", "lineage")}
    write_bundle(tmp_path / "again.efm", manifest, {"p.onnx": NETWORK})
    assert Bundle.open(tmp_path / "again.efm").manifest == manifest


@MANY
@given(st.data())
def test_any_manifest_gives_one_that_can_be_used_or_a_reason(data: st.DataObject) -> None:
    try:
        manifest = Manifest.from_json(json.dumps(changed(data.draw, RAW)))
    except BundleError as error:
        str(error).encode()
        return
    text = json.dumps(manifest.to_dict(), ensure_ascii=False, allow_nan=False)
    assert Manifest.from_json(text) == manifest
    if not manifest.finds_faces:
        assert all(m.size is not None and len(m.outputs) == 5 for m in manifest.models)


@MANY
@given(st.data())
def test_any_bytes(tmp_path: Path, data: st.DataObject) -> None:
    whole = points_bundle.write_bundle(tmp_path / "whole.efm", made=MADE).read_bytes()
    tail = data.draw(st.booleans())
    path = tmp_path / "b.efm"
    path.write_bytes(whole[:-250] + flipped(data.draw, whole[-250:]) if tail else flipped(data.draw, whole))
    try:
        bundle = Bundle.open(path)
    except BundleError:
        return
    assert bundle.read(bundle.manifest.models[0]) == NETWORK


def _outputs(**changes: Any) -> list[dict[str, Any]]:
    outputs = points_bundle.entry("p.onnx", NETWORK)["outputs"]
    return [outputs[0] | changes, *outputs[1:]]


@pytest.mark.parametrize(
    ("models", "decode", "message"),
    [
        ({}, {"margin": 0.2}, r"manifest.decode.margin must be a number above 0.4999 and at most 8, but got 0.2"),
        ({}, {"margin": True}, r"manifest.decode.margin must be a number"),
        ({}, {"state": ["mood"] * 9}, r"manifest.decode.state must be \['eye_right_open', .*but got \['mood'"),
        ({}, {"state": []}, "manifest.decode.state must be a list of 9"),
        (
            {"outputs": _outputs(role="age")},
            {},
            r"outputs\[0\].role must be one of points, depth, ",
        ),
        ({"outputs": _outputs(role="depth")}, {}, r"outputs must be one each of points, depth.*but got \['depth'"),
        ({"outputs": _outputs()[:4]}, {}, r"outputs must be a list of 5"),
        ({"outputs": _outputs(scale=0)}, {}, r"outputs\[0\].scale must be a number above 0"),
        ({"size": [112, 96], "size_multiple": 16}, {}, r"models\[0\].size must be a square under edgeface-points-v1"),
        ({"size": None}, {}, r"models\[0\].size must be a square under edgeface-points-v1, but got None"),
    ],
)
def test_refused(models: dict[str, Any], decode: dict[str, Any], message: str) -> None:
    raw = json.loads(json.dumps(RAW))
    raw["models"][0] |= models
    raw["decode"] |= decode
    with pytest.raises(BundleError, match=message):
        Manifest.from_dict(raw)


def test_it_finds_no_faces(tmp_path: Path) -> None:
    path = points_bundle.write_bundle(tmp_path / "p.efm")
    with pytest.raises(BundleError, match=r"must be one that finds faces .*but got points .*points="):
        FaceEngine(path)


@pytest.mark.parametrize("name", ["onnxruntime", "ncnn", "litert"])
def test_every_runtime_gives_what_the_weights_say(tmp_path: Path, name: str) -> None:
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    bundle = Bundle.open(points_bundle.write_bundle(tmp_path / "p.efm", ("onnx", "tflite", "ncnn"), made=MADE))
    choice, runtime = choose_and_open(bundle, name, (112, 112), None, threads=1, exact=False)
    spec = choice.model
    pixels = np.random.default_rng(3).integers(0, 256, (1, 3, 112, 112), dtype=np.uint8)
    real = (pixels.astype(np.float32) - 128) / 128
    tensor = pixels if spec.input.dtype == "uint8" else real
    found = runtime.run(tensor.transpose(0, 2, 3, 1) if spec.input.layout == "NHWC" else tensor)
    fields = real.reshape(3, 4, 28, 4, 28).mean((2, 4)).ravel()
    for output, array in zip(spec.outputs, found, strict=True):
        assert output.role is not None
        kernel, bias = MADE[output.role]
        assert array.shape == (1, len(bias))
        np.testing.assert_allclose(array[0], kernel @ fields + bias, atol=2e-3)
    runtime.close()
