"""Runtime rknn against a librknnrt.so made for the tests, which holds its caller to Rockchip's header.

``RKNN_API_H=FILE`` compiles that library against Rockchip's own ``rknn_api.h``, which is not in the repository.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from edgeface.compiling import drivers
from edgeface.compiling.drivers import RKNN_LIBRARY
from edgeface.compiling.rockchip import PYTHON
from edgeface.engine import FaceEngine
from edgeface.errors import BundleError, RuntimeFailedError, RuntimeUnavailableError
from edgeface.runtimes import rknn

SOURCE = Path(__file__).parents[1] / "support" / "fake_rknn.c"
SIZE = (64, 48)
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def build(folder: Path, version: str = "2.5.0") -> Path:
    """The library, with a version that drivers reads out of it."""
    header = os.environ.get("RKNN_API_H")
    options = [] if header is None else [f'-DRKNN_API_H="{Path(header).resolve()}"']
    out = folder / f"librknnrt-{version}.so"
    command = ["cc", "-std=c11", "-O1", "-fPIC", "-shared", f'-DFAKE_VERSION="{version}"', *options]
    subprocess.run([*command, "-o", str(out), str(SOURCE)], check=True)
    return out


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("rknn"))


@pytest.fixture
def board(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine, as an rk3588 with its library."""
    monkeypatch.setenv(RKNN_LIBRARY, str(library))
    monkeypatch.setattr(drivers, "board_of", lambda root=Path("/"): "rk3588")


def network(status: int = 0, size: tuple[int, int] = SIZE, strides: tuple[int, ...] = tiny.STRIDES) -> bytes:
    """What fake_rknn.c takes for a network."""
    levels = [struct.pack("<i22f", stride, *tiny.weights(stride, "uint8")[1]) for stride in strides]
    return b"FAKE" + struct.pack("<4i", status, *size, len(strides)) + b"".join(levels)


def bundle(path: Path, data: bytes | None = None, target: str = "rk3588", version: str = "2.5.0") -> Path:
    """The tiny network, as `edgeface compile` writes it."""
    data = network() if data is None else data
    entry = tiny.model_entry("tiny.rknn", data, "uint8", "NHWC", SIZE)
    for output in entry["outputs"]:
        output["layout"] = "NCHW"
    entry["target"] = {"name": target, "tool": "rknn-toolkit2", "version": version}
    text = json.dumps(tiny.manifest([entry], default_size=list(SIZE), sizes=[list(SIZE)])).encode()
    return tiny.pack(path, {"manifest.json": text, "tiny.rknn": data})


def test_structures_are_laid_out_as_the_header_says(library: Path) -> None:
    loaded = ctypes.CDLL(str(library))
    length = ctypes.c_int.in_dll(loaded, "fake_layout_length").value
    wanted = list((ctypes.c_int * length).in_dll(loaded, "fake_layout"))
    got = []
    for kind in (rknn.InOutNum, rknn.TensorAttr, rknn.SdkVersion, rknn.Input, rknn.Output):
        got += [ctypes.sizeof(kind), *(getattr(kind, name).offset for name, _ in kind._fields_)]
    assert got == wanted


@pytest.mark.parametrize("runtime", ["auto", "rknn"])
def test_the_face_is_found_where_it_is(tmp_path: Path, board: None, library: Path, runtime: str) -> None:
    loaded = ctypes.CDLL(str(library))
    alive = ctypes.c_int.in_dll(loaded, "fake_alive")
    with FaceEngine(bundle(tmp_path / "t.efm"), runtime=runtime) as engine:
        assert alive.value == 1
        for corner in ((16, 24), (40, 8), (16, 24)):  # the buffers are the same ones
            faces = engine.detect(tiny.red_squares(SIZE, [corner]), color="bgr")
            assert len(faces) == 1
            centre = faces.boxes[0].reshape(2, 2).mean(axis=0)
            np.testing.assert_allclose(centre, np.add(corner, 4), atol=0.01)
            np.testing.assert_allclose(faces.angles[0], tiny.ANGLES, atol=1e-3)
        assert engine.info.runtime == "rknn"
        assert engine.info.runtime_version == "2.5.0 (driver 0.9.8)"
        assert engine.info.reason == ("requested" if runtime == "rknn" else "compiled for rk3588")
    assert alive.value == 0


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (-3, RuntimeUnavailableError, r"RKNN_ERR_DEVICE_UNAVAILABLE \(-3\): no NPU driver answers"),
        (-10, RuntimeUnavailableError, r"RKNN_ERR_DEVICE_UNMATCH \(-10\): update the kernel's NPU driver"),
        (-13, RuntimeUnavailableError, r"RKNN_ERR_TARGET_PLATFORM_UNMATCH \(-13\): compile the bundle for this"),
        (-4, RuntimeFailedError, r"rknn_init must take tiny.rknn, but got RKNN_ERR_MALLOC_FAIL \(-4\)$"),
        (-99, RuntimeFailedError, r"rknn_init must take tiny.rknn, but got status \(-99\)$"),
    ],
)
def test_what_the_library_refuses(tmp_path: Path, board: None, status: int, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        FaceEngine(bundle(tmp_path / "t.efm", network(status)), runtime="rknn")


def test_a_network_other_than_its_manifest(tmp_path: Path, board: None, library: Path) -> None:
    alive = ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "fake_alive")
    cases: list[tuple[bytes, type[Exception], str]] = [
        (b"no network of anyone", RuntimeFailedError, "RKNN_ERR_MODEL_INVALID"),
        (network(size=(96, 48)), BundleError, r"tensor image of the network must be uint8 \[1, 48, 64, 3\], but got"),
        (network(strides=(8, 16)), BundleError, "must have 1 input and 3 outputs, but got 1 and 2"),
        (network(strides=(8, 32, 16)), BundleError, r"tensor p16 of the network must be float32 \[1, 22, 3, 4\]"),
    ]
    for number, (data, error, said) in enumerate(cases):
        with pytest.raises(error, match=said):
            FaceEngine(bundle(tmp_path / f"{number}.efm", data), runtime="rknn")
    assert alive.value == 0  # what was opened before the fault was seen is let go


def test_an_inference_that_fails(tmp_path: Path, board: None, library: Path) -> None:
    status = ctypes.c_int.in_dll(ctypes.CDLL(str(library)), "fake_run_status")
    picture = tiny.red_squares(SIZE, [(16, 24)])
    with FaceEngine(bundle(tmp_path / "t.efm"), runtime="rknn") as engine:
        status.value = -2
        with pytest.raises(RuntimeFailedError, match=r"rknn_run must take tiny.rknn, but got RKNN_ERR_TIMEOUT \(-2\)"):
            engine.detect(picture, color="bgr")
        assert len(engine.detect(picture, color="bgr")) == 1


@pytest.mark.parametrize("runtime", ["auto", "rknn"])
def test_another_processor_or_an_older_library(tmp_path: Path, board: None, runtime: str) -> None:
    with pytest.raises(BundleError, match=r"compiled for rk3576 .*, but this machine's processor is rk3588"):
        FaceEngine(bundle(tmp_path / "a.efm", target="rk3576"), runtime=runtime)
    with pytest.raises(BundleError, match=r"which needs a librknnrt.so of at least this version, but .* is 2\.5\.0"):
        FaceEngine(bundle(tmp_path / "b.efm", version="2.6.0"), runtime=runtime)


def test_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RKNN_LIBRARY, str(tmp_path / "librknnrt.so"))
    path = bundle(tmp_path / "t.efm")
    with pytest.raises(
        RuntimeUnavailableError, match=r"rknn is not installed \(Rockchip's librknnrt.so, see docs/comp"
    ):
        FaceEngine(path, runtime="rknn")
    with pytest.raises(
        BundleError, match=r"rknn is not installed .*but this machine's processor is none of Rockchip's"
    ):
        FaceEngine(path)


def test_a_bundle_that_is_not_compiled(board: None) -> None:
    with pytest.raises(BundleError, match=r"must have a network for rknn 320x240, but got none \(rknn has no int8"):
        FaceEngine("edgeface-n", runtime="rknn")
    assert "rknn" not in FaceEngine("edgeface-n").info.reason


def test_a_library_that_is_another(tmp_path: Path, board: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.so").write_text("no library; librknnrt version: 2.5.0")
    (tmp_path / "empty.c").write_text('const char text[] = "librknnrt version: 2.5.0";')
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "empty.so", tmp_path / "empty.c"], check=True)
    for name in ("text.so", "empty.so"):
        monkeypatch.setenv(RKNN_LIBRARY, str(tmp_path / name))
        with pytest.raises(RuntimeUnavailableError, match=rf"{name} must be Rockchip's librknnrt.so, but got"):
            FaceEngine(bundle(tmp_path / f"{name}.efm"), runtime="rknn")


@pytest.mark.skipif(not os.environ.get(PYTHON), reason=f"{PYTHON} names no environment with rknn-toolkit2")
def test_rockchips_own_library_says_that_no_board_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolkit has these functions for boards on a cable: the only library of Rockchip's that a PC can load."""
    script = "import pathlib, rknn.api as a; print(pathlib.Path(a.__file__).parent)"
    folder = subprocess.run([os.environ[PYTHON], "-c", script], check=True, capture_output=True, text=True).stdout
    (found,) = Path(folder.strip().splitlines()[-1]).rglob("librknn_api.so")
    monkeypatch.setenv(RKNN_LIBRARY, str(found))
    monkeypatch.setattr(drivers, "board_of", lambda root=Path("/"): "rk3588")
    with pytest.raises(RuntimeUnavailableError, match="RKNN_ERR_DEVICE_UNAVAILABLE"):
        FaceEngine(bundle(tmp_path / "t.efm"), runtime="rknn")
