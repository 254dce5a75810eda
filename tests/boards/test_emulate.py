"""The parts of the emulated boards that need no emulator, and, where it is set up, the counter itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from boards.emulate import mca, table
from boards.emulate import root as rootfs
from boards.emulate.__main__ import main, parser
from boards.emulate.guest_run import HERE, count_python, guest_command, parse_counts
from boards.emulate.networks import Network
from boards.emulate.root import EmulationError
from edgeface.boards import Host, load_boards

RECORDS = """mark 4 total=100 ldst=10 simd=50 branch=20 int=20 dot=0 mmla=0
mark 5 total=350 ldst=60 simd=150 branch=70 int=70 dot=7 mmla=0
exit total=400 ldst=70 simd=160 branch=90 int=80 dot=7 mmla=0
symbol main 25
symbol operator new(unsigned long) 3
"""


def test_records_of_the_counter() -> None:
    marks, end, symbols = parse_counts(RECORDS)
    assert marks[5]["total"] - marks[4]["total"] == 250
    assert marks[5]["dot"] == 7
    assert end["total"] == 400
    assert symbols == {"main": 25, "operator new(unsigned long)": 3}
    with pytest.raises(EmulationError, match="no final record"):
        parse_counts("mark 1 total=3\n")


@pytest.mark.parametrize("cpu", sorted(rootfs.CPU_PARTS))
def test_cpuinfo_reads_as_that_core(cpu: str, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(rootfs.cpuinfo(cpu))
    cpus = Host(tmp_path).cpus()
    assert [c.number for c in cpus] == [0, 1, 2, 3]
    assert all(c.core == (cpu if cpu != "max" else "cortex-a76") for c in cpus)
    assert ("dotprod" in cpus[0].features) == (cpu not in ("cortex-a53", "cortex-a72"))
    with pytest.raises(EmulationError, match="cpu must be one of"):
        rootfs.cpuinfo("pentium")


def test_every_board_can_be_emulated() -> None:
    assert {board.emulate for board in load_boards().values()} <= set(rootfs.CPU_PARTS)


def test_runtime_by_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.onnx", "a.tflite", "a.bin")]
    for file in files:
        file.write_bytes(b"network")
    assert [Network.of(file, (320, 240)).runtime for file in files[:2]] == ["onnxruntime", "litert"]
    assert Network.of(files[2], (320, 240), runtime="litert").runtime == "litert"
    with pytest.raises(EmulationError, match=r"model must end in \.onnx or \.tflite or \.param, but got .*a\.bin"):
        Network.of(files[2], (320, 240))
    with pytest.raises(EmulationError, match="model must be a file, but got"):
        Network.of(tmp_path / "b.onnx", (320, 240))


def test_extra_networks(tmp_path: Path) -> None:
    for name in ("y.onnx", "s-float32-320x240.tflite"):
        (tmp_path / name).write_bytes(b"network")
    given = (f"{tmp_path}/y.onnx", f"{tmp_path}/y.onnx@64x32", f"{tmp_path}/s-float32-320x240.tflite")
    found = [table.extra(text, (320, 320)) for text in given]
    assert [(n.name, n.size) for n in found] == [("y", (320, 320)), ("y", (64, 32)), ("s-float32", (320, 240))]
    with pytest.raises(EmulationError, match=r"extra must be FILE\[@WIDTHxHEIGHT\]\[:RUNTIME\], but got"):
        table.extra(f"{tmp_path}/y.onnx@big", (320, 320))


LOOPS = """
_Z5outerv:
\tmov\tx0, 0
.L2:
\tmov\tx1, 0
.L3:
\tldr\tq0, [x2], 16
\tadd\tv1.4s, v1.4s, v0.4s
\tadd\tx1, x1, 1
\tcmp\tx1, 9
\tbne\t.L3
\tadd\tx0, x0, 1
\tcmp\tx0, 9
\tbne\t.L2
\tcbz\tx0, .L4
\tret
.L4:
\tret
plain:
.L7:
\tsub\tx0, x0, 1
\tcbnz\tx0, .L7
"""


def test_a_second_option_adds_networks() -> None:
    arguments = parser().parse_args(["table", "--extra", "a.onnx", "--extra", "b.onnx", "c.onnx"])
    assert arguments.extra == ["a.onnx", "b.onnx", "c.onnx"]
    assert parser().parse_args(["table"]).extra == []


def test_innermost_loops_are_found_and_outer_ones_are_not() -> None:
    loops = list(mca.innermost_loops(LOOPS))
    assert [(loop.function, loop.number, len(loop.lines)) for loop in loops] == [("_Z5outerv", 1, 5), ("plain", 1, 2)]
    assert loops[0].lines[0] == "\tldr\tq0, [x2], 16"


@pytest.mark.skipif(shutil.which("llvm-mca-19") is None, reason="llvm-19 is not installed")
def test_cycles_of_a_known_loop() -> None:
    (_, loop) = mca.innermost_loops(LOOPS)
    cost = mca.cost(loop, "cortex-a53")
    assert cost.instructions == 2
    assert cost.cycles == pytest.approx(3, abs=0.1)  # the next sub waits for this one: 3 cycles in LLVM's A53
    with pytest.raises(EmulationError, match="llvm-mca refused"):
        mca.cost(mca.Loop("x", 1, ("\tnonsense",)), "cortex-a53")


def test_networks_of_a_bundle(tmp_path: Path) -> None:
    models = [
        {"file": "n.onnx", "precision": "int8", "size": None, "size_multiple": 32},
        {"file": "n-320x240.tflite", "precision": "int8", "size": [320, 240], "size_multiple": 32},
        {"file": "n-320x320.tflite", "precision": "int8", "size": [320, 320], "size_multiple": 32},
    ]
    with zipfile.ZipFile(tmp_path / "n.efm", "w") as archive:
        archive.writestr("manifest.json", json.dumps({"name": "n", "models": models}))
        for model in models:
            archive.writestr(str(model["file"]), b"network")
    found = list(table.networks_of(tmp_path / "n.efm", tmp_path / "out", [(320, 240), (320, 320)]))
    assert [(c.path.name, c.name, c.size) for c in found] == [
        ("n.onnx", "n-int8", (320, 320)),  # 240 is no multiple of 32
        ("n-320x240.tflite", "n-int8", (320, 240)),
        ("n-320x320.tflite", "n-int8", (320, 320)),
    ]


def test_tables(tmp_path: Path) -> None:
    names = ("n-int8.tflite", "m.onnx", "n-float32.tflite")
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 2000)
    networks = [Network.of(tmp_path / name, (320, 240), Path(name).stem) for name in names]
    counts = {"cortex-a76": [{"total": 10_040_000}, {"total": 5_000_000}, {"total": 25_340_000}]}
    records = table.records_of(networks, counts)
    assert [r["network"] for r in records] == ["m", "n-float32", "n-int8"]
    stage = {"stage": "decode", "kernels": "best", "frame": "f", "instructions": {"cortex-a76": 123_456}}
    text = table.markdown(records, [stage], ["cortex-a76"])
    assert "| network | runtime | input | file, kB | Cortex-A76 |" in text
    assert "| n-float32 | litert | 320x240 | 2 | 25.3 |" in text
    assert "| n | litert | 320x240 | 2.52 |" in text
    assert "| decode | best | 0.12 |" in text


def test_the_page_shows_what_was_measured() -> None:
    results = json.loads(table.RESULTS.read_text(encoding="utf-8"))
    shown = table.PAGE.read_text(encoding="utf-8").partition(table.BEGIN)[2].partition(table.END)[0]
    best = table.BEST_PAGE.read_text(encoding="utf-8").partition(table.BEST_BEGIN)[2].partition(table.BEST_END)[0]
    assert best.strip() == table.best_markdown(json.loads(table.RESULTS.read_text(encoding="utf-8"))["networks"])
    auto = table.AUTO_PAGE.read_text(encoding="utf-8").partition(table.AUTO_BEGIN)[2].partition(table.AUTO_END)[0]
    followed = table.cores(results["networks"])
    assert json.loads(table.CORES.read_text(encoding="utf-8")) == followed
    assert auto.strip() == table.auto_markdown(followed)
    assert shown.strip() == table.markdown(results["networks"], results["stages"], (*table.CPUS, HERE))


def test_the_page_has_the_marks_that_the_table_needs() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert page.count(table.BEGIN) == page.count(table.END) == 1
    assert page.index(table.BEGIN) < page.index(table.END)


@pytest.mark.parametrize(
    "arguments", [["count"], ["count", "x.onnx", "--size", "big"], ["count", "x", "--cpu", "pentium"], []]
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(arguments)
    assert "usage" in capsys.readouterr().err


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert main(["root"]) == 1
    assert "programs missing: gcc, aarch64-linux-gnu-g++" in capsys.readouterr().err


ready = bool(not rootfs.missing_tools() and rootfs.root_dir().exists() and rootfs.site_dir().exists())


@pytest.mark.skipif(not ready, reason="no emulated root (python -m boards.emulate root)")
def test_the_counter_counts_what_the_guest_does() -> None:
    """A loop of twice as many turns has twice as many instructions between its marks, on each core alike."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from run_network import mark\n"
        "for k, n in enumerate((0, 2000, 4000)):\n"
        "    mark(2 * k)\n"
        "    for i in range(n): pass\n"
        "    mark(2 * k + 1)\n"
    )
    marks, _, _ = count_python(["-c", program, str(rootfs.HERE / "guest")], "cortex-a53")
    empty, two, four = (marks[2 * k + 1]["total"] - marks[2 * k]["total"] for k in range(3))
    assert (four - empty) / (two - empty) == pytest.approx(2, rel=0.02)
    # between marks only: while NumPy starts its threads, two of them may add to one counter at once
    kinds = {k: marks[5][k] - marks[4][k] for k in ("ldst", "simd", "branch", "int", "total")}
    assert kinds.pop("total") == sum(kinds.values())


@pytest.mark.skipif(not ready, reason="no emulated root (python -m boards.emulate root)")
def test_a_failing_guest_is_an_error() -> None:
    from boards.emulate.guest_run import run_python

    with pytest.raises(EmulationError, match=r"ended with status 3:\n(.*\n)*.*no luck"):
        run_python(["-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])
    command = guest_command(["x.py"], "cortex-a53", python_path=[Path("/site")])
    assert command[:3] == ["qemu-aarch64-static", "-cpu", "cortex-a53"]
    done = subprocess.run(
        guest_command(["-c", "import platform; print(platform.machine())"]), check=True, capture_output=True, text=True
    )
    assert done.stdout == "aarch64\n"


def test_the_last_table_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(network: str, **totals: int) -> dict[str, Any]:
        counts = {cpu: {"total": total} for cpu, total in totals.items()}
        return {"network": network, "runtime": "ncnn", "size": [320, 320], "bytes": 1, "instructions": counts}

    monkeypatch.setattr(table, "RESULTS", tmp_path / "last.json")
    last = {"versions": {"qemu": "7.2"}, "networks": [record("a-int8", a53=1, a72=2), record("b-int8", a53=3)]}
    table.RESULTS.write_text(json.dumps(last))
    found = table.kept([record("a-int8", a53=9, a76=4), record("c-int8", a76=5)], {"qemu": "7.2", "ncnn": "1"})
    assert found == [record("a-int8", a53=9, a72=2, a76=4), record("b-int8", a53=3), record("c-int8", a76=5)]
    with pytest.raises(EmulationError, match=r"--keep must find a table of the same versions, but got other .*qemu"):
        table.kept([], {"qemu": "8.0"})


def test_auto_follows_one_network() -> None:
    counts = {"cortex-a53": {"total": 53_240_000}}
    same = {"runtime": "ncnn", "bytes": 1, "instructions": counts}
    records = [
        {"network": "edgeface-s-int8", "size": [320, 320], **same},
        {"network": "edgeface-s-float32", "size": [320, 320], **same, "instructions": {"cortex-a53": {"total": 5}}},
        {"network": "edgeface-s-int8", "size": [320, 240], **same},
        {"network": "edgeface-n-int8", "size": [320, 320], **same},
    ]
    assert table.cores(records)["cores"] == {"cortex-a53": [["ncnn", "float32", 0.0], ["ncnn", "int8", 53.2]]}


def test_files_for_ncnn_are_counted_with_their_weights(tmp_path: Path) -> None:
    (tmp_path / "a.param").write_bytes(b"12")
    (tmp_path / "a.bin").write_bytes(b"345")
    assert Network.of(tmp_path / "a.param", (320, 320)).bytes == 5
    for name in ("a.tflite", "a.bin"):
        (tmp_path / name).write_bytes(b"1")
        with pytest.raises(EmulationError, match=r"model for ncnn must end in \.param or \.onnx"):
            Network.of(tmp_path / name, (320, 320), runtime="ncnn")


@pytest.mark.parametrize("name", ["cp312-cp312-manylinux_2_17_aarch64", "cp313-cp313-manylinux_2_28_x86_64"])
def test_a_wheel_that_no_emulated_python_takes(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = tmp_path / f"edgeface-0.2.0-{name}.whl"
    wheel.write_bytes(b"")
    assert main(["wheel", str(wheel)]) == 1
    assert "wheel must be for Python 3.11 or 3.13 on aarch64 or armv7l, but got" in capsys.readouterr().err


def test_padding_is_not_taken_for_int8() -> None:
    """16-bit floats are switched off for int8 alone; MediaPipe's detector has Padding layers with a parameter 8."""
    from boards.emulate.guest.run_network import is_int8

    assert is_int8("7767517\n1 2\nConvolutionDepthWise c 1 1 a b 0=8 1=3 6=72 7=8 8=1\n")
    assert not is_int8("Padding p 1 1 a b 0=0 5=0.0 8=4\nConvolution c 1 1 b c 0=8 1=3 18=0.5\n")
