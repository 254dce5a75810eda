"""Compiled bundles: what the tools make, what the reports say, and who refuses them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeface.bundle import Bundle, bundled_models
from edgeface.cli.app import main
from edgeface.compiling import TARGETS, compile_bundle
from edgeface.compiling.drivers import board_of, rknn_version, why_not
from edgeface.compiling.rockchip import PYTHON
from edgeface.compiling.tflite_file import custom_operators, in_one_piece
from edgeface.engine import FaceEngine
from edgeface.errors import BundleCorruptError, BundleError, InvalidInputError, RuntimeUnavailableError
from edgeface.golden import read_golden

needs_tflite = pytest.mark.usefixtures("tflite")


@pytest.fixture(scope="module")
def tflite() -> None:
    pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory, tflite: None) -> Path:
    """edgeface-s for TensorFlow Lite Micro: its weights lie behind the flatbuffer, or did."""
    pytest.importorskip("tflite_micro")
    return compile_bundle(Bundle.find("edgeface-s"), "tflm", tmp_path_factory.mktemp("tflm") / "s.efm").path


@pytest.fixture(scope="module")
def ethos(tmp_path_factory: pytest.TempPathFactory, tflite: None) -> Path:
    pytest.importorskip("ethosu")
    return compile_bundle(Bundle.find("edgeface-n"), "ethos-u65-256", tmp_path_factory.mktemp("vela") / "n.efm").path


def test_tflm_computes_the_reference_kernels_integers(micro: Path) -> None:
    """compile_bundle compares every output to the bit, and fails where one differs; the arena is what TFLM used."""
    model = Bundle.open(micro).manifest.models[0]
    assert model.target is not None
    assert (model.format, model.target["name"], model.target["tool"]) == ("tflm", "tflm", "tflite-micro")
    assert "reference kernels" in model.target["equal_to"]
    assert 400_000 < model.target["arena_bytes"] < 900_000
    assert model.target["version"]


def test_a_network_with_other_weights_is_told(micro: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The comparison is real: an interpreter whose outputs are off by one is refused."""
    from edgeface.compiling import tflm
    from edgeface.errors import RuntimeFailedError

    right = tflm.run

    def off_by_one(*arguments: object) -> object:
        outputs, figures = right(*arguments)  # type: ignore[arg-type]
        outputs[1] = outputs[1] ^ 1
        return outputs, figures

    monkeypatch.setattr(tflm, "run", off_by_one)
    with pytest.raises(RuntimeFailedError, match=r"must equal .*reference kernels, but differs by up to 1 steps"):
        compile_bundle(Bundle.find("edgeface-s"), "tflm", tmp_path / "x.efm")


def test_the_arena_that_is_reported_is_enough_and_less_is_not(micro: Path) -> None:
    from edgeface.compiling import tflm
    from edgeface.errors import RuntimeFailedError

    bundle = Bundle.open(micro)
    model = bundle.manifest.models[0]
    network, image = bundle.read(model), read_golden(bundle).networks[model.file].input
    arena = model.target["arena_bytes"]  # type: ignore[index]
    outputs, _ = tflm.run(network, image, arena + 15_000)  # the wheel's recording allocator uses some itself
    wanted = read_golden(bundle).networks[model.file].outputs.values()
    assert all(any(np.array_equal(a, b) for a in outputs) for b in wanted)
    with pytest.raises(RuntimeFailedError):
        tflm.run(network, image, arena // 2)


def test_the_c_array_is_the_network(micro: Path, tmp_path: Path) -> None:
    """A C compiler reads it, and its bytes are the file's."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    bundle = Bundle.open(micro)
    source = micro.with_suffix(".c")
    program = tmp_path / "print.c"
    program.write_text(
        '#include <stdio.h>\n#include "s.h"\n'
        "int main(void) { return fwrite(s, 1, S_BYTES, stdout) != S_BYTES || (unsigned long)s % 16; }\n"
    )
    subprocess.run(
        [compiler, "-I", str(micro.parent), str(program), str(source), "-o", str(tmp_path / "print")], check=True
    )
    assert subprocess.run([tmp_path / "print"], check=True, capture_output=True).stdout == bundle.read(
        bundle.manifest.models[0]
    )
    arena = bundle.manifest.models[0].target["arena_bytes"]  # type: ignore[index]
    assert f"#define S_ARENA_BYTES {arena}" in micro.with_suffix(".h").read_text()


@needs_tflite
@pytest.mark.parametrize("name", ["edgeface-s", "edgeface-n"])
def test_one_piece_has_the_same_weights(name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    bundle = Bundle.find(name)
    model = bundle.select(("tflite",), (320, 240))
    assert model is not None
    network = bundle.read(model)
    whole = in_one_piece(network)
    assert in_one_piece(whole) == whole
    image = read_golden_input(model.input.dtype)
    found = []
    for data in (network, whole):
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        found.append([interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def read_golden_input(dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, (1, 240, 320, 3)).astype(dtype)


@needs_tflite
def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(BundleCorruptError, match="must be an intact TFLite file"):
        in_one_piece(b"TFL3 but nothing else")


def test_ethos_runs_all_of_it_and_the_report_has_figures(ethos: Path) -> None:
    bundle = Bundle.open(ethos)
    model = bundle.manifest.models[0]
    assert model.target is not None
    assert custom_operators(bundle.read(model)) == (0, {"ethos-u": 1})
    report = model.target
    assert report["on_npu"] == 1.0
    assert 500_000 < report["cycles"] < 5_000_000
    assert report["cycles"] / report["clock_hz"] == pytest.approx(report["milliseconds"] / 1e3, rel=0.01)
    assert 0 < report["sram_bytes"] <= 512 * 1024
    assert report["sram_traffic_bytes"] > report["tensor_bytes"]
    assert report["version"] == "5.2.0"
    assert re.fullmatch(r"[0-9a-f]{64}", report["source"]["sha256"])
    assert read_golden(bundle).networks[model.file].outputs.keys() == {o.name for o in model.outputs}


def test_the_engine_says_why_it_does_not_run_a_compiled_network(ethos: Path, micro: Path) -> None:
    with pytest.raises(
        BundleError, match=r"compiled for ethos-u65-256 by ethos-u-vela 5\.2\.0, which needs .* no /dev/ethosu0"
    ):
        FaceEngine(ethos)
    with pytest.raises(BundleError, match="is for TensorFlow Lite Micro in firmware"):
        FaceEngine(micro)


def rknn_bundle(tmp_path: Path, target: str = "rk3588", version: str = "2.5.0") -> Path:
    """A bundle whose manifest says that it holds a network for Rockchip; for what looks at the manifest."""
    from dataclasses import replace

    from edgeface.bundle import write_bundle

    bundle = Bundle.find("edgeface-s")
    model = replace(
        bundle.manifest.models[0],
        format="rknn",
        size=(320, 240),
        target={"name": target, "tool": "rknn-toolkit2", "version": version},
    )
    write_bundle(
        tmp_path / "x.efm",
        replace(bundle.manifest, models=(model,)),
        {model.file: bundle.read(bundle.manifest.models[0])},
    )
    return tmp_path / "x.efm"


@pytest.mark.parametrize(
    ("compatible", "library", "reason"),
    [
        (None, None, "but this machine's processor is none of Rockchip's"),
        ("radxa,zero3\0rockchip,rk3566\0", None, "but this machine's processor is rk3566"),
        ("radxa,rock-5b\0rockchip,rk3588\0", None, "which needs librknnrt.so, but this machine has none"),
        (
            "radxa,rock-5c\0rockchip,rk3588s\0",
            b"..librknnrt version: 2.3.2 (429f97ae6b@2025)..",
            "but this machine's is 2.3.2",
        ),
        ("radxa,rock-5b\0rockchip,rk3588\0", b"..librknnrt version: 2.5.0 (x)..", None),
        ("radxa,rock-5b\0rockchip,rk3588\0", b"..librknnrt version: 2.10.1 (x)..", None),
    ],
)
def test_a_rockchip_network_that_does_not_fit_says_why(
    tmp_path: Path, compatible: str | None, library: bytes | None, reason: str | None
) -> None:
    model = Bundle.open(rknn_bundle(tmp_path)).manifest.models[0]
    if compatible is not None:
        (tmp_path / "proc/device-tree").mkdir(parents=True)
        (tmp_path / "proc/device-tree/compatible").write_text(compatible)
    if library is not None:
        (tmp_path / "usr/lib").mkdir(parents=True)
        (tmp_path / "usr/lib/librknnrt.so").write_bytes(library)
    said = why_not(model, tmp_path)
    assert (said is None) if reason is None else (said is not None and reason in said)
    if said is not None:
        assert said.startswith(f"{model.file} is compiled for rk3588 by rknn-toolkit2 2.5.0, ")


def test_the_doctor_says_so_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from edgeface.profiling.compiled import examine_bundle

    path = rknn_bundle(tmp_path)
    (finding,) = examine_bundle(Bundle.open(path), tmp_path / "nothing here")
    assert (finding.level, finding.check) == ("error", "compiled")
    assert "none of Rockchip's" in finding.message
    assert main(["doctor", "--json", str(path)]) == 1
    assert json.loads(capfd.readouterr().out)[-1]["check"] == "compiled"


def test_what_the_device_tree_says(tmp_path: Path) -> None:
    assert board_of(tmp_path) is None
    (tmp_path / "lib.so").write_bytes(b"nothing")
    assert rknn_version(tmp_path / "lib.so") is None


def test_a_compiled_network_without_its_target_is_no_manifest(tmp_path: Path) -> None:
    from support.ncnn_bundles import read_zip, write_zip

    manifest, files = read_zip(rknn_bundle(tmp_path))
    del manifest["models"][0]["target"]
    with pytest.raises(BundleError, match=r"models\[0\]\.target must be there"):
        Bundle.open(write_zip(tmp_path / "y.efm", manifest, files))


def test_wrong_arguments_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.find("edgeface-n")
    with pytest.raises(InvalidInputError, match="target must be one of tflm, ethos-u55-32"):
        compile_bundle(bundle, "z80")
    with pytest.raises(BundleError, match="must have a int8 tflite network of 96x96 to compile for tflm"):
        compile_bundle(bundle, "tflm", size=(96, 96))
    with pytest.raises(InvalidInputError, match="photos must be left out for rk3588"):
        compile_bundle(bundle, "rk3588", photos=[tmp_path])
    with pytest.raises(InvalidInputError, match="photos must be given for rv1106"):
        compile_bundle(bundle, "rv1106")
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(RuntimeUnavailableError, match="EDGEFACE_RKNN_PYTHON must name the Python"):
        compile_bundle(bundle, "rk3588")


def test_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], tflite: None) -> None:
    pytest.importorskip("ethosu")
    assert main(["compile", "--list"]) == 0
    assert [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()] == list(TARGETS)
    assert main(["compile", "edgeface-n", "--target", "ethos-u55-128", "--out", str(tmp_path / "n.efm")]) == 0
    assert json.loads(capfd.readouterr().out)["name"] == "ethos-u55-128"
    assert main(["compile", "edgeface-n", "--target", "z80"]) == 1
    assert main(["compile", "edgeface-n"]) == 2


@pytest.mark.skipif(not os.environ.get(PYTHON), reason=f"{PYTHON} names no environment with rknn-toolkit2")
@pytest.mark.parametrize("target", ["rk3588", "rk3576", "rk3566", "rk3562", "rv1126b"])
def test_rockchip_simulates_the_onnx_network(target: str, tmp_path: Path) -> None:
    bundle = Bundle.open(compile_bundle(Bundle.find("edgeface-n"), target, tmp_path / "n.efm").path)
    model = bundle.manifest.models[0]
    assert model.target is not None
    assert (model.format, model.target["name"]) == ("rknn", target)
    assert model.target["largest_difference_to_onnx"] < 0.2
    golden = read_golden(bundle).networks[model.file]
    assert "simulator" in golden.by
    assert (golden.input.dtype, golden.input.shape) == (np.uint8, (1, 240, 320, 3))


def test_every_bundled_network_still_needs_no_target() -> None:
    for path in bundled_models().values():
        assert all(model.target is None for model in Bundle.open(path).manifest.models)
        assert "target" not in json.dumps(Bundle.open(path).manifest.to_dict()["models"])
