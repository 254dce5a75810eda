"""What the doctor says about made-up machines."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support.trees import TREES, put

from edgeface.boards import Host, recognise
from edgeface.cli.app import main
from edgeface.engine import FaceEngine
from edgeface.profiling.doctor import Finding, Patient, _busy_cores, _engine, examine
from edgeface.profiling.probe import probe
from edgeface.runtimes import RUNTIMES, installed


def healthy(root: Path, name: str = "rpi5") -> Patient:
    """A board with nothing wrong, except for what the tree of *name* says."""
    host = Host(TREES[name].write(root))
    for policy in host.policies():
        put(root, f"sys/devices/system/cpu/cpufreq/{policy.name}/scaling_governor", "performance\n")
    return Patient(
        host=host,
        here=recognise(host),
        machine="aarch64",
        pointer_bits=64,
        python=(3, 11),
        glibc=(2, 36),
        packages={"numpy": "2.4.6", "ncnn": "1", "ai-edge-litert": "2.3.0", "onnxruntime": "1.32.0"},
        isa="neon",  # all that the core says on ARM: its kernels have no use for the dot product
        engine="edgeface-s int8",
    )


def worst(findings: list[Finding], check: str) -> Finding:
    """The most serious finding of one check."""
    order = ["ok", "unknown", "warning", "error"]
    return max((f for f in findings if f.check == check), key=lambda f: order.index(f.level))


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_healthy_board_has_no_errors_and_no_warnings(name: str, tmp_path: Path) -> None:
    serious = [f for f in examine(healthy(tmp_path, name)) if f.level in ("warning", "error")]
    # big.LITTLE with the dot product on some cores only is worth a warning even when all is well
    assert {f.check for f in serious} <= ({"dotprod"} if name == "generic-cortex-a72" else set()), serious


@pytest.mark.parametrize("name", sorted(name for name in TREES if TREES[name].governors))
def test_the_governor_of_the_image_is_wrong_and_the_remedy_sets_it(name: str, tmp_path: Path) -> None:
    patient = healthy(tmp_path, name)
    TREES[name].write(tmp_path)  # back to what the image brings
    found = [f for f in examine(patient) if f.check == "governor"]
    assert len(found) == len(TREES[name].governors)
    for finding in found:
        assert finding.level == "warning"
        assert finding.remedy.startswith("echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy")


def test_under_voltage_is_an_error_and_history_a_warning(tmp_path: Path) -> None:
    patient = healthy(tmp_path, "rpi4")
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "50001\n")
    found = {(f.level, f.message) for f in examine(patient) if f.check == "throttling"}
    assert found == {("error", "under voltage now"), ("warning", "throttled has happened since boot")}


def test_heat(tmp_path: Path) -> None:
    patient = healthy(tmp_path, "rk3568")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "66000\n")
    finding = worst(examine(patient), "temperature")
    assert (finding.level, finding.message) == ("warning", "cpu-thermal: 66 °C, throttles from 70 °C")


def test_a_zone_by_another_name_and_trip_points_of_the_fan(tmp_path: Path) -> None:
    """Mainline Linux on a Jetson Nano: cpu-thermal with passive trip points at 30 °C, which only step the fan."""
    patient = healthy(tmp_path, "jetson-nano")
    put(tmp_path, "sys/class/thermal/thermal_zone1/type", "cpu-thermal\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/trip_point_0_temp", "30000\n")
    finding = worst(examine(patient), "temperature")
    assert (finding.level, finding.message) == ("ok", "cpu-thermal: 38 °C, throttles from 98 °C")
    finding = worst(examine(replace(patient, here=None)), "temperature")
    assert (finding.level, finding.message) == ("ok", "cpu-thermal: 38 °C, throttles from 80 °C")


def test_a_capped_clock_and_switched_off_cores(tmp_path: Path) -> None:
    patient = healthy(tmp_path, "jetson-nano")
    put(tmp_path, "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "918000\n")
    put(tmp_path, "sys/devices/system/cpu/offline", "2-3\n")
    findings = examine(patient)
    assert worst(findings, "clock").message == "policy0: limited to 918 of 1479 MHz"
    assert worst(findings, "cores").message == "CPUs 2,3 are off"


def test_dotprod(tmp_path: Path) -> None:
    assert "int8 pays" in worst(examine(healthy(tmp_path / "a", "rpi5")), "dotprod").message
    assert "few instructions or none" in worst(examine(healthy(tmp_path / "b", "rpi4")), "dotprod").message


def test_a_kernel_that_hides_the_dot_product(tmp_path: Path) -> None:
    patient = healthy(tmp_path, "rpi5")
    put(tmp_path, "proc/cpuinfo", (tmp_path / "proc/cpuinfo").read_text().replace("asimddp", ""))
    finding = worst(examine(patient), "dotprod")
    assert (finding.level, "Linux hides them" in finding.message) == ("warning", True)
    assert "kernel" in finding.remedy


def test_threads_that_spin_are_seen_for_real() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=lambda: all(not stop.is_set() for _ in itertools.count()))
    thread.start()
    try:
        spinning = _busy_cores(0.3)
    finally:
        stop.set()
        thread.join()
    assert spinning > 5 * _busy_cores(0.3)


def test_every_warning_says_what_to_do(tmp_path: Path) -> None:
    """All at once: the worst board there is."""
    patient = healthy(tmp_path, "rpi4")
    TREES["rpi4"].write(tmp_path)
    put(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "f000f\n")
    put(tmp_path, "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq", "600000\n")
    put(tmp_path, "sys/devices/system/cpu/offline", "3\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "84000\n")
    put(tmp_path, "proc/meminfo", "MemAvailable: 90000 kB\nSwapTotal: 102400 kB\nSwapFree: 51200 kB\n")
    put(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102400 51200 -2\n")
    put(tmp_path, "proc/loadavg", "3.90 2.0 1.0 5/123 4567\n")
    ill = replace(
        patient,
        glibc=(2, 17),
        packages={"numpy": "2.4.6", "tflite-runtime": "2.14.0"},
        environment={"OMP_WAIT_POLICY": "ACTIVE"},
        isa="scalar",
        engine_error="no such model",
        idle_cores=2.0,
    )
    serious = [f for f in examine(ill) if f.level in ("warning", "error")]
    wanted = "governor clock throttling temperature cores wheel numpy runtime spinning load memory swap engine"
    assert {f.check for f in serious} == set(wanted.split())
    assert all(len(f.remedy) > 5 for f in serious), [f for f in serious if len(f.remedy) <= 5]


@pytest.mark.parametrize(
    ("change", "check", "level", "message"),
    [
        ({"isa": None, "core_error": "wrong ELF class"}, "wheel", "error", "wrong ELF class"),
        ({"pointer_bits": 32}, "wheel", "error", "32-bit Python under a 64-bit kernel"),
        ({"isa": "scalar"}, "wheel", "warning", "plain C++ kernels on ARM"),
        (
            {"glibc": (2, 27), "packages": {"numpy": "2", "ai-edge-litert": "2"}},
            "wheel",
            "warning",
            "glibc 2.27 is too old",
        ),
        (
            {"packages": {"numpy": "2.4.6", "tflite-runtime": "2.14.0"}},
            "numpy",
            "error",
            "2.14.0 does not work with numpy 2.4.6",
        ),
        ({"packages": {"numpy": "2.4.6"}}, "runtime", "error", "none is installed"),
        ({"packages": {"numpy": "2.4.6", "onnxruntime": "1.32"}}, "runtime", "warning", "ncnn executes fewer"),
        ({"broken": {"ncnn": "dies of SIGILL"}}, "runtime", "error", "ncnn dies of SIGILL"),
        ({"reporting": True}, "telemetry", "warning", "onnxruntime was imported before edgeface"),
        ({"environment": {"ORT_DISABLE_TELEMETRY": "0"}}, "telemetry", "warning", "lets onnxruntime report"),
        ({"environment": {"OMP_WAIT_POLICY": "active"}}, "spinning", "warning", "OMP_WAIT_POLICY=active"),
        ({"idle_cores": 1.9}, "spinning", "warning", "use 1.9 cores while there is nothing to do"),
        ({"engine_error": "no such model"}, "engine", "error", "no such model"),
        ({"here": None}, "board", "warning", "no known board"),
    ],
)
def test_one_thing_wrong(change: dict[str, object], check: str, level: str, message: str, tmp_path: Path) -> None:
    finding = worst(examine(replace(healthy(tmp_path), **change)), check)  # type: ignore[arg-type]
    assert finding.level == level
    assert message in finding.message
    assert finding.remedy


def test_memory_swap_and_load(tmp_path: Path) -> None:
    patient = healthy(tmp_path)
    put(tmp_path, "proc/meminfo", "MemAvailable: 90000 kB\nSwapTotal: 102400 kB\nSwapFree: 51200 kB\n")
    put(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102400 51200 -2\n")
    put(tmp_path, "proc/loadavg", "3.90 2.0 1.0 5/123 4567\n")
    findings = examine(patient)
    assert "87 MiB are free" in worst(findings, "memory").message
    assert worst(findings, "swap").message.startswith("50 MiB are swapped out to /var/swap")
    assert worst(findings, "load").message == "3.9 processes want to run on 4 CPUs"


def test_big_little_is_told_where_to_run(tmp_path: Path) -> None:
    finding = worst(examine(healthy(tmp_path, "rock5b")), "clusters")
    assert "taskset -c 4,5" in finding.remedy


def test_the_command_tells_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    findings = json.loads(capsys.readouterr().out)
    assert {"board", "wheel", "runtime", "engine"} <= {finding["check"] for finding in findings}
    assert status == int(any(finding["level"] == "error" for finding in findings))
    assert main(["doctor"]) == status
    assert "runtime" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "dies of SIGILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "dies of SIGSEGV"),
        ("print('a'); print('no network'); raise SystemExit(3)", "no network"),
        ("raise ImportError('libgomp.so.1 is not there')", "ImportError: libgomp.so.1 is not there"),
        ("raise SystemExit(7)", "ends with status 7"),
    ],
)
def test_a_runtime_is_probed_in_a_process_of_its_own(code: str, said: str | None) -> None:
    assert probe("ncnn", [sys.executable, "-c", code]) == said


def test_the_runtimes_of_this_machine_work() -> None:
    assert {name: probe(name) for name in RUNTIMES if installed(name)} == {n: None for n in RUNTIMES if installed(n)}


def test_an_engine_that_would_die_is_not_tried() -> None:
    taken = FaceEngine().info.runtime
    _, error, idle = _engine({taken: "dies of SIGILL"})
    assert error == f"runtime='auto' takes {taken}, which dies of SIGILL"
    assert idle is None
