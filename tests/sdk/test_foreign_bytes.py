"""Every parser of foreign bytes gives a result or an error of ours, whatever the bytes. (Labels: tests/quantize.)"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import tiny
from support.foreign import changed, flipped

from edgeface.boards import load_boards, parse_board
from edgeface.boards.board import data_folder
from edgeface.bundle import Bundle
from edgeface.cli.app import main
from edgeface.errors import BundleError, EdgeFaceError, InvalidInputError
from edgeface.images import decode_image
from edgeface.manifest import Manifest
from edgeface.profiling.compare import columns_of, compare_columns
from edgeface.profiling.html import render_compare
from edgeface.profiling.report import read_report
from edgeface.sources.raw import RawSource

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NETWORK = tiny.onnx_network()
MANIFEST = tiny.manifest([tiny.model_entry("n.onnx", NETWORK, "uint8", "NCHW")], metrics={"a": [1, {"b": 2}]})


@MANY
@given(st.data())
def test_manifests(data: st.DataObject) -> None:
    text = json.dumps(changed(data.draw, MANIFEST))
    try:
        manifest = Manifest.from_json(text)
    except BundleError as error:
        str(error).encode()
        return
    json.dumps(manifest.to_dict(), ensure_ascii=False, allow_nan=False).encode()  # so can be written and printed


@pytest.mark.parametrize("depth", [65, 500, 5000, 200_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_nested_manifests(depth: int, brackets: str) -> None:
    opening, closing = (brackets[:1], brackets[1:]) if brackets == "[]" else ('{"a":', "}")
    nested = opening * depth + ("1" if opening != "[" else "") + closing * depth
    text = json.dumps(MANIFEST).replace('"metrics": {', '"metrics": {"deep": ' + nested + ", ")
    with pytest.raises(BundleError, match="manifest must be"):
        Manifest.from_json(text)


@pytest.mark.parametrize("value", ['"\\ud800"', '{"\\udfff": 1}', "NaN", "Infinity", "-Infinity", "1e999"])
def test_halves_of_characters_and_numbers_that_are_none(value: str) -> None:
    text = json.dumps(MANIFEST).replace('"metrics": {', f'"metrics": {{"x": {value}, ')
    with pytest.raises(BundleError, match=r"a manifest's (texts|numbers) must be"):
        Manifest.from_json(text)


@MANY
@given(st.data())
def test_bundles(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    ) as archive:
        archive.writestr(zipfile.ZipInfo("manifest.json"), json.dumps(MANIFEST))
        archive.writestr(zipfile.ZipInfo("n.onnx"), NETWORK)
    path = tmp_path / "b.efm"
    whole = buffer.getvalue()
    tail = data.draw(st.booleans())  # where the zip's own structures are
    path.write_bytes(whole[:-250] + flipped(data.draw, whole[-250:]) if tail else flipped(data.draw, whole))
    try:
        bundle = Bundle.open(path)
    except BundleError:
        return
    assert bundle.read(bundle.manifest.models[0]) == NETWORK


BOARDS = {path.name: path.read_text(encoding="utf-8") for path in sorted(data_folder().glob("*.toml"))}


@MANY
@given(st.data())
def test_board_files(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(BOARDS)))
    lines = BOARDS[name].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key = lines[at].partition("=")[0]
    lines[at] = data.draw(
        st.sampled_from(
            ["", "[", f"{key}= []", f"{key}= -1", f"{key}= nan", f'{key}= "\\u0000"', f"{key}= {{ a = 1 }}"]
        )
        | st.text(max_size=10)
    )
    with contextlib.suppress(InvalidInputError):
        assert parse_board("\n".join(lines), name).name in load_boards()


def test_nested_board_files() -> None:
    for text in ("a = " + "[" * 100_000, "[" + "a." * 100_000 + "a]", "a = " + "{ a = " * 5000 + "1" + " }" * 5000):
        with pytest.raises(InvalidInputError, match=r"x\.toml must"):
            parse_board(text, "x.toml")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("report")
    bundle = tiny.write_bundle(folder / "tiny.efm")
    out = folder / "report.json"
    command = ["bench", "--model", str(bundle), "--runtime", "onnxruntime", "--duration", "0.1", "--runs", "2"]
    assert main([*command, "--out", str(out)]) == 0
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@MANY
@given(st.data())
def test_reports_and_what_compare_makes_of_them(report: dict[str, Any], tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(changed(data.draw, report)))
    try:
        columns = columns_of([("a", report), ("b", read_report(path))])
        render_compare(columns, compare_columns(columns, allow_different=True), "now", 0.95).encode()
    except EdgeFaceError:
        pass


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"NaN", b'{"schema": 1e999}', b"null", b"[1]"]
)
def test_what_is_no_report(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text)
    with pytest.raises(InvalidInputError, match="must"):
        read_report(path)


@MANY
@given(st.data())
def test_pictures(data: st.DataObject) -> None:
    import cv2

    kind = data.draw(st.sampled_from([".jpg", ".png", ".gif", ".bmp", ".webp", ".tiff", ".ppm", ".jp2", ".avif"]))
    whole = cv2.imencode(kind, tiny.red_squares((64, 48), [(8, 8)]))[1].tobytes()
    try:
        image = decode_image(flipped(data.draw, whole), max_pixels=100_000)
    except EdgeFaceError:
        return
    assert image.dtype == np.uint8
    assert image.shape[0] * image.shape[1] <= 100_000


@MANY
@given(
    st.binary(max_size=400),
    st.sampled_from(["bgr", "rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy", "rgba", ""]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.none() | st.lists(st.integers(0, 60), max_size=4),
)
def test_raw_frames(tmp_path: Path, data: bytes, color: str, size: tuple[int, int], strides: list[int] | None) -> None:
    path = tmp_path / "frames.raw"
    path.write_bytes(data)
    try:
        with RawSource(path, color=color, size=size, strides=strides) as source:
            for _ in range(50):
                frame = source.read()
                if frame is None:
                    break
                assert frame.size == size
    except EdgeFaceError as error:
        assert "must" in str(error)
