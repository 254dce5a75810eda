"""Runtimes that are broken or half removed, and versions that no metadata tells: "auto" goes on, errors are ours."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from support import tiny

from edgeface import FaceEngine
from edgeface.cli.app import main
from edgeface.errors import RuntimeUnavailableError
from edgeface.runtimes import installed
from edgeface.runtimes.probing import is_installed, version_of

both = pytest.mark.skipif(
    not (installed("litert") and installed("onnxruntime")),
    reason="ai-edge-litert and onnxruntime are not both installed",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", tflite_sizes=((64, 64),))


def remove(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)


BROKEN = {
    "an empty package": "",
    "an import that fails": "import nothing_of_the_kind",
    "an attribute that is missing": "import sys\nsys.nothing",
    "a library that cannot be loaded": "import ctypes\nctypes.CDLL('/nothing.so')",
    "an error of its own": "raise SystemError('built for another Python')",
}


@both
@pytest.mark.parametrize("how", BROKEN)
def test_auto_goes_on_where_a_runtime_is_broken(
    how: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(BROKEN[how])
    remove(monkeypatch, "ai_edge_litert")
    monkeypatch.syspath_prepend(str(tmp_path))
    with FaceEngine(bundle, size=(64, 64), precision="int8") as engine:
        assert engine.info.runtime == "onnxruntime"
    with pytest.raises(RuntimeUnavailableError, match=r"runtime litert must be importable, but got \w+: "):
        FaceEngine(bundle, size=(64, 64), runtime="litert")
    for name in [n for n in sys.modules if n.startswith("ai_edge_litert")]:  # undoing brings back what was there before
        del sys.modules[name]


@both
def test_a_folder_that_a_removal_left_is_no_runtime(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "left_behind" / "capi").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("left_behind")
    monkeypatch.setitem(sys.modules, "put_by_hand", types.ModuleType("put_by_hand"))
    assert not is_installed("put_by_hand")
    assert not is_installed("edgeface.nothing.at_all")


@both
def test_a_version_is_found_without_metadata(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    for runtime in ("litert", "onnxruntime"):
        with FaceEngine(bundle, size=(64, 64), runtime=runtime) as engine:
            assert engine.info.runtime_version[0].isdigit()
    assert version_of("nothing_of_the_kind") == "unknown"
    monkeypatch.setitem(sys.modules, "without_version", types.ModuleType("without_version"))
    assert version_of("without_version") == "unknown"


def test_an_instruction_set_that_is_none_is_named(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import numpy as np, sys\n"
        "from edgeface import FaceEngine, Frame\n"
        "from edgeface.errors import InvalidInputError\n"
        "from edgeface.pixels import to_bgr\n"
        "frame = Frame.from_array(np.zeros((8, 8, 3), np.uint8), 'bgr')\n"
        "for call in (lambda: FaceEngine(sys.argv[1], runtime='onnxruntime'), lambda: to_bgr(frame)):\n"
        "    try:\n"
        "        call()\n"
        "    except InvalidInputError as error:\n"
        "        print(error)\n"
    )
    for name in ("foo", "neon" if _on_x86() else "avx2", " "):
        environment = {"EDGEFACE_ISA": name, "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(bundle)], env=environment, capture_output=True, text=True, check=True
        )
        start = "EDGEFACE_ISA must be one that this CPU and this build have (scalar"
        said = done.stdout.splitlines()
        assert len(said) == 2
        assert all(line.startswith(start) and line.endswith(f"but got {name!r}") for line in said)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edgeface", "doctor"],
        env={"EDGEFACE_ISA": "foo", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "EDGEFACE_ISA" in done.stdout
    assert main(["--version"]) == 0


def _on_x86() -> bool:
    import platform

    return platform.machine() in ("x86_64", "AMD64")
