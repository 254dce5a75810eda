"""ef_bundle_* reads what `edgeface.bundle` reads, and refuses what it refuses, naming the key."""

from __future__ import annotations

import copy
import ctypes as c
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.c_engine import (
    ARGUMENT,
    BUNDLE,
    DTYPES,
    FILE,
    MISSING,
    NULL,
    OK,
    SIZE,
    TOO_NEW,
    BundleInfo,
    Config,
    Input,
    NetworkInfo,
    Output,
    open_bundle,
    room,
)
from support.ncnn_bundles import read_zip, write_zip

from edgeface import _core
from edgeface.bundle import Bundle, bundled_models
from edgeface.manifest import DECODE_RULE

SHIPPED = bundled_models()["edgeface-s"]


@pytest.mark.parametrize("name", bundled_models(DECODE_RULE))
@pytest.mark.parametrize("form", ["path", "memory"])
def test_it_says_what_python_says(library: c.CDLL, name: str, form: str) -> None:
    path = bundled_models()[name]
    python, data = Bundle.open(path), path.read_bytes()
    with open_bundle(library, path if form == "path" else data) as opened:
        info = BundleInfo()
        assert library.ef_bundle_describe(opened, c.byref(info)) == OK
        manifest = python.manifest
        assert (info.name.decode(), info.version.decode(), info.licence.decode()) == (
            manifest.name,
            manifest.version,
            manifest.licence,
        )
        assert (info.width, info.height) == manifest.default_size
        assert info.min_score == pytest.approx(manifest.decode.min_score)
        assert info.nms_iou == pytest.approx(manifest.decode.nms_iou)
        for index, model in enumerate(manifest.models):
            network = NetworkInfo()
            assert library.ef_bundle_network(opened, index, c.byref(network)) == OK
            assert (network.file.decode(), network.format.decode(), network.precision.decode()) == (
                model.file,
                model.format,
                model.precision,
            )
            assert (network.width, network.height) == (model.size or (0, 0))
            blob, size = c.c_void_p(), c.c_size_t()
            assert library.ef_bundle_file(opened, network.file, c.byref(blob), c.byref(size)) == OK
            assert c.string_at(blob, size.value) == python.read(model)
            made, outputs, count = Input(), (Output * 8)(*[Output() for _ in range(8)]), c.c_uint32(8)
            assert library.ef_bundle_input(opened, index, 0, 0, c.byref(made)) == OK
            assert library.ef_bundle_outputs(opened, index, 0, 0, outputs, c.byref(count)) == OK
            assert (made.width, made.height) == (model.size or manifest.default_size)
            assert (DTYPES[made.dtype], made.scale, made.zero_point) == (
                model.input.dtype,
                pytest.approx(model.input.scale),
                model.input.zero_point,
            )
            assert count.value == len(model.outputs)
            for output, spec in zip(outputs, model.outputs, strict=False):
                assert (output.stride, DTYPES[output.dtype], output.zero_point) == (
                    spec.stride,
                    spec.dtype,
                    spec.zero_point,
                )
                assert output.scale == pytest.approx(spec.scale)
                assert (output.columns, output.rows) == (-(-made.width // spec.stride), -(-made.height // spec.stride))
                assert output.channel_scales[:22] == pytest.approx(manifest.decode.channel_scale[spec.stride])


def test_the_network_for_a_size(library: c.CDLL) -> None:
    with open_bundle(library, SHIPPED) as opened:
        index = c.c_uint32(99)
        assert library.ef_bundle_find(opened, b"tflite", None, None, 320, 320, c.byref(index)) == OK
        network = NetworkInfo()
        library.ef_bundle_network(opened, index.value, c.byref(network))
        assert network.file == b"edgeface-s-int8-320x320.tflite"
        index.value = 99
        assert library.ef_bundle_find(opened, b"tflite", None, None, 96, 96, c.byref(index)) == MISSING
        assert index.value == 99
        assert b"tflite" in library.ef_last_error_message()
        assert library.ef_bundle_input(opened, 1, 640, 640, c.byref(Input())) == SIZE
        assert library.ef_last_error_field() == b"width"
        assert library.ef_bundle_network(opened, 99, c.byref(network)) == ARGUMENT
        assert library.ef_last_error_field() == b"index"


class Decoded:
    """Outputs of a network with a face in them, and ef_bundle_decode's result."""

    def __init__(self, library: c.CDLL, opened: c.c_void_p, index: int = 0) -> None:
        self.library, self.opened, self.index = library, opened, index
        self.outputs = (Output * 8)(*[Output() for _ in range(8)])
        self.count = c.c_uint32(8)
        assert library.ef_bundle_outputs(opened, index, 0, 0, self.outputs, c.byref(self.count)) == OK
        self.arrays = []
        for output in self.outputs[: self.count.value]:
            shape = (1, 22, output.rows, output.columns) if output.layout else (1, output.rows, output.columns, 22)
            array = np.zeros(shape, DTYPES[output.dtype])
            array[...] = output.zero_point
            cell = array[0, :, 2, 3] if output.layout else array[0, 2, 3, :]
            other = array[0, 0] if output.layout else array[0, :, :, 0]
            other[...] = output.zero_point - 60 if array.dtype != np.float32 else -9
            if output.stride == 32:
                cell[[4, 5, 16, 20]] += 40 if array.dtype != np.float32 else 1
                cell[0] = output.zero_point + 60 if array.dtype != np.float32 else 1
            self.arrays.append(array)
            output.data = array.ctypes.data
        self.context = c.c_void_p()
        config = Config(max_width=1, max_height=1, tensor_width=640, tensor_height=480)
        assert library.ef_create(c.byref(config), c.byref(self.context)) == OK

    def run(self) -> tuple[int, list[tuple[float, ...]]]:
        faces = room(10)
        status = self.library.ef_bundle_decode(
            self.opened, self.index, self.context, self.outputs, self.count.value, None, None, c.byref(faces)
        )
        return status, [tuple(faces.items[i].box) for i in range(faces.count)]


@pytest.mark.parametrize("index", [0, 1])
def test_outputs_decode_as_in_python_and_forgotten_channel_scales_are_refused(library: c.CDLL, index: int) -> None:
    python = Bundle.open(SHIPPED).manifest
    model = python.models[index]
    with open_bundle(library, SHIPPED) as opened:
        made = Decoded(library, opened, index)
        status, boxes = made.run()
        assert status == OK
        wanted = _core.decode(
            made.arrays,
            strides=[o.stride for o in model.outputs],
            layouts=[o.layout for o in model.outputs],
            scales=[o.scale for o in model.outputs],
            zero_points=[o.zero_point for o in model.outputs],
            channel_scales=[np.array(python.decode.channel_scale[o.stride], np.float32) for o in model.outputs],
            transform=np.array([[1.0, 0, 0], [0, 1, 0]]),
            min_score=python.decode.min_score,
            nms_iou=python.decode.nms_iou,
            max_faces=10,
        )
        assert len(boxes) == 1
        np.testing.assert_array_equal(np.array(boxes, np.float32), wanted[0])

        # the address: a pointer read from a structure shares its memory, and would be NULL with it
        kept = c.cast(made.outputs[1].channel_scales, c.c_void_p).value
        made.outputs[1].channel_scales = None
        assert made.run() == (ARGUMENT, [])
        assert library.ef_last_error_field() == b"outputs[1].channel_scales"
        assert b"this bundle has channel scales" in library.ef_last_error_message()
        made.outputs[1].channel_scales = c.cast(kept, c.POINTER(c.c_float))
        for field, wrong in (
            ("scale", 3.0),
            ("zero_point", 7),
            ("dtype", (made.outputs[0].dtype + 1) % 3),
            ("stride", 7),
        ):
            right = getattr(made.outputs[0], field)
            setattr(made.outputs[0], field, wrong)
            assert made.run() == (ARGUMENT, [])
            assert library.ef_last_error_field().decode() in (f"outputs[0].{field}", "outputs[1].stride")
            setattr(made.outputs[0], field, right)
        assert made.run()[0] == OK


def changed(manifest: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(manifest)
    at: Any = result
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "status", "field"),
    [
        (("schema",), 2, TOO_NEW, "manifest.schema"),
        (("schema",), "1", BUNDLE, "manifest.schema"),
        (("min_sdk",), "99.0.0", TOO_NEW, "manifest.min_sdk"),
        (("min_sdk",), "new", BUNDLE, "manifest.min_sdk"),
        (("decode", "rule"), "edgeface-v9", TOO_NEW, "manifest.decode.rule"),
        (("decode", "strides"), [8, 16, 16], BUNDLE, "manifest.decode.strides"),
        (("decode", "strides"), [8, 16, 1e9], BUNDLE, "manifest.decode.strides[2]"),
        (("decode", "channel_scale", "16"), None, BUNDLE, "manifest.decode.channel_scale.16"),
        (("decode", "channel_scale", "16", 3), 0, BUNDLE, "manifest.decode.channel_scale.16[3]"),
        (("decode", "min_score"), 1.5, BUNDLE, "manifest.decode.min_score"),
        (("default_size",), [320], BUNDLE, "manifest.default_size"),
        (("default_size",), [320, 99999], BUNDLE, "manifest.default_size[1]"),
        (("landmarks", 0), "left_eye", BUNDLE, "manifest.landmarks"),
        (("pose", "rotation"), "camera_to_head", BUNDLE, "manifest.pose.rotation"),
        (("models",), [], BUNDLE, "manifest.models"),
        (("models", 1, "file"), "../x", BUNDLE, "manifest.models[1].file"),
        (("models", 1, "sha256"), "0", BUNDLE, "manifest.models[1].sha256"),
        (("models", 1, "size"), [321, 240], BUNDLE, "manifest.models[1].size"),
        (("models", 1, "input", "dtype"), "float64", BUNDLE, "manifest.models[1].input.dtype"),
        (("models", 1, "outputs", 2, "stride"), 8, BUNDLE, "manifest.models[1].outputs[2].stride"),
        (("models", 1, "outputs", 0, "scale"), -1, BUNDLE, "manifest.models[1].outputs[0].scale"),
        (("models", 1, "outputs"), [], BUNDLE, "manifest.models[1].outputs"),
        (("licence",), None, BUNDLE, "manifest.licence"),
    ],
)
def test_a_wrong_value_is_named(
    library: c.CDLL, tmp_path: Path, path: tuple[str | int, ...], value: Any, status: int, field: str
) -> None:
    manifest, files = read_zip(SHIPPED)
    opened = open_bundle(library, write_zip(tmp_path / "x.efm", changed(manifest, path, value), files))
    assert (opened.status, opened.field.split(" ")[0]) == (status, field), opened.message
    assert opened.message.startswith(f"{field} must be ")
    assert not opened.value.value


def test_what_is_no_bundle(library: c.CDLL, tmp_path: Path) -> None:
    assert open_bundle(library, tmp_path / "none.efm").status == FILE
    assert open_bundle(library, b"PK no zip").status == BUNDLE
    assert library.ef_bundle_open(None, c.byref(c.c_void_p())) == NULL
    empty = tmp_path / "empty.efm"
    with zipfile.ZipFile(empty, "w"):
        pass
    assert open_bundle(library, empty).status == BUNDLE
    deep = tmp_path / "deep.efm"
    with zipfile.ZipFile(deep, "w") as archive:
        archive.writestr("manifest.json", "[" * 1_000_000)
    assert open_bundle(library, deep).status == BUNDLE
    with zipfile.ZipFile(tmp_path / "many.efm", "w") as archive:
        for i in range(300):
            archive.writestr(f"{i}", "")
    assert open_bundle(library, tmp_path / "many.efm").status == SIZE
    with zipfile.ZipFile(tmp_path / "bomb.efm", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * (5 << 20))
    assert open_bundle(library, tmp_path / "bomb.efm").status == SIZE


def test_another_network_under_the_name_is_refused(library: c.CDLL, tmp_path: Path) -> None:
    manifest, files = read_zip(SHIPPED)
    name = manifest["models"][1]["file"]
    files[name] = b"something else"
    with open_bundle(library, write_zip(tmp_path / "x.efm", manifest, files)) as opened:
        data, size = c.c_void_p(1), c.c_size_t()
        assert library.ef_bundle_file(opened, name.encode(), c.byref(data), c.byref(size)) == BUNDLE
        assert not data.value
        assert b"sha256" in library.ef_last_error_message()
        assert library.ef_bundle_file(opened, b"manifest.json", c.byref(data), c.byref(size)) == MISSING


def test_no_damaged_byte_is_more_than_a_status(library: c.CDLL) -> None:
    """Bytes changed at random, archives cut at random: a status, and never other bytes than the sha256 says."""
    whole = bundled_models()["edgeface-n"].read_bytes()
    python = Bundle.open(bundled_models()["edgeface-n"])
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 4])):
            # the directory, the headers and the manifest lie at the ends
            at = rng.choice([rng.randrange(len(data)), rng.randrange(4000), -1 - rng.randrange(700)])
            data[at] = rng.randrange(256)
        opened = open_bundle(library, bytes(data[: rng.choice([len(data), len(data), rng.randrange(len(data))])]))
        if opened.status:
            refused += 1
            continue
        with opened as value:
            for model in python.manifest.models:
                blob, size = c.c_void_p(), c.c_size_t()
                if library.ef_bundle_file(value, model.file.encode(), c.byref(blob), c.byref(size)) == OK:
                    assert c.string_at(blob, size.value) == python.read(model)
    assert 20 < refused < 150


def test_a_manifest_with_a_million_keys_is_a_status(library: c.CDLL, tmp_path: Path) -> None:
    manifest, files = read_zip(SHIPPED)
    manifest["more"] = {str(i): i for i in range(100_000)}
    assert len(json.dumps(manifest)) < 4 << 20
    with open_bundle(library, write_zip(tmp_path / "x.efm", manifest, files)):
        pass
