"""``edgeface doctor``: what is wrong with this machine for face perception, and what to do about it.

Each check is a function from a `Patient` to findings; a new one is a function and a line in `CHECKS`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from edgeface.boards import Host, Recognised, recognise
from edgeface.errors import EdgeFaceError, InvalidInputError
from edgeface.profiling.probe import probe
from edgeface.runtimes import RUNTIMES, installed
from edgeface.runtimes.cores import core_of, ranking
from edgeface.runtimes.telemetry import VARIABLE, enabled, too_late

__all__ = ["CHECKS", "Finding", "Level", "Patient", "examine", "patient"]

Level = Literal["ok", "unknown", "warning", "error"]

_DOTPROD = "dotprod"
_NEEDED_BYTES: Final = 150 << 20  # an engine with onnxruntime, a 1080p camera and Python itself
_SPINNING: Final = {"OMP_WAIT_POLICY": ("ACTIVE",), "GOMP_SPINCOUNT": ("INFINITY",), "KMP_BLOCKTIME": ("INFINITE",)}
_GLIBC: Final = {"onnxruntime": (2, 28), "ai-edge-litert": (2, 27)}
_RUNTIME_PACKAGES: Final = {
    "ncnn": "ncnn",
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "tflite": "tflite-runtime",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: "ok", "unknown" (cannot be seen here), "warning" (works, but not well) or "error" (does not work).
        check: short name.
        message: what was found.
        remedy: what to do; "" if nothing.
    """

    level: Level
    check: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """Everything that the checks look at, gathered beforehand so that tests can make one up.

    Attributes:
        host: the machine.
        here: its board, if it is a known one.
        machine: as ``uname -m`` says.
        pointer_bits: of this Python, 32 or 64.
        python: its version.
        glibc: version of the C library; None if it is another.
        packages: versions of what is installed.
        environment: the process's variables.
        isa: instruction set that the C++ core uses; None if the core cannot be imported, with `core_error`.
        core_error: why not.
        engine_error: why the default engine does not find faces in a blank frame; None if it does run.
        engine: one line on that engine.
        idle_cores: how many cores this process kept busy after a frame was done; None if that was not tried.
        broken: runtimes that are installed and do not work, and what happens.
        reporting: whether onnxruntime was imported with its telemetry on before anything here was looked at.
    """

    host: Host
    here: Recognised | None
    machine: str
    pointer_bits: int
    python: tuple[int, int]
    glibc: tuple[int, int] | None
    packages: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    isa: str | None = None
    core_error: str = ""
    engine_error: str | None = None
    engine: str = ""
    idle_cores: float | None = None
    broken: Mapping[str, str] = field(default_factory=dict)
    reporting: bool = False

    @property
    def arm64(self) -> bool:
        """Whether the kernel is an arm64 one."""
        return self.machine in ("aarch64", "arm64")


def patient(host: Host | None = None) -> Patient:
    """This machine, this Python and the default engine, tried out."""
    host = host or Host()
    reporting = too_late()
    isa, core_error = _core()
    broken: dict[str, str] = {}
    engine: tuple[str, str | None, float | None] = "", "the C++ core cannot be imported", None
    if isa is not None:
        tried = {name: probe(name) for name in RUNTIMES if installed(name)}
        broken = {name: what for name, what in tried.items() if what is not None}
        engine = _engine(broken)
    return Patient(
        host=host,
        here=recognise(host),
        machine=platform.machine(),
        pointer_bits=struct.calcsize("P") * 8,
        python=sys.version_info[:2],
        glibc=_glibc(),
        packages=_packages(),
        environment=dict(os.environ),
        isa=isa,
        core_error=core_error,
        engine=engine[0],
        engine_error=engine[1],
        idle_cores=engine[2],
        broken=broken,
        reporting=reporting,
    )


def examine(subject: Patient) -> list[Finding]:
    """All findings, in order of `CHECKS`."""
    return [finding for check in CHECKS for finding in check(subject)]


def check_board(p: Patient) -> Iterator[Finding]:
    if p.here is None:
        kinds = ", ".join(p.host.clusters()) or "no ARM cores"
        level: Level = "warning" if p.arm64 else "unknown"
        yield Finding(
            level,
            "board",
            f"no known board ({p.host.model or p.machine}; {kinds})",
            "see edgeface boards for the ones that are known",
        )
        return
    board = p.here.board
    wanted = board.recommended
    size = "x".join(map(str, wanted.size))
    yield Finding("ok", "board", f"{board.title} ({p.here.reason})")
    advice = (
        f"{wanted.model} {wanted.precision} {size}, runtime {wanted.runtime}, {wanted.threads} "
        f"thread{'s' * (wanted.threads > 1)} on CPUs {','.join(map(str, wanted.cpus))}"
    )
    yield Finding("ok", "recommended", f"{advice}. {wanted.why}")


def check_governor(p: Patient) -> Iterator[Finding]:
    policies = p.host.policies()
    if not policies:
        yield Finding("unknown", "governor", "no cpufreq policies: a fixed clock, or a virtual machine")
    wanted = "performance" if p.here is None else p.here.board.governor
    for policy in policies:
        where = f"{policy.name} (CPUs {','.join(map(str, policy.cpus))})"
        if policy.governor == wanted:
            yield Finding("ok", "governor", f"{where}: {policy.governor}")
        elif policy.governor is not None:
            path = f"/sys/devices/system/cpu/cpufreq/{policy.name}/scaling_governor"
            yield Finding(
                "warning",
                "governor",
                f"{where}: {policy.governor}; the clock rises too late for single frames",
                f"echo {wanted} | sudo tee {path}",
            )


def check_clock(p: Patient) -> Iterator[Finding]:
    for policy in p.host.policies():
        if policy.maximum and policy.hardware_maximum and policy.maximum < policy.hardware_maximum:
            top, may = policy.maximum // 1000, policy.hardware_maximum // 1000
            remedy = "something has capped it: a power mode (nvpmodel), a thermal daemon, or scaling_max_freq itself"
            yield Finding("warning", "clock", f"{policy.name}: limited to {top} of {may} MHz", remedy)


def check_throttling(p: Patient) -> Iterator[Finding]:
    state = p.host.throttle()
    if state is None:
        text = "neither firmware, hwmon nor cooling devices report it"
        yield Finding(
            "unknown", "throttling", text, "compare the beginning and the end of a ten-minute edgeface profile"
        )
        return
    remedies = {
        "under_voltage": "a stronger supply and a shorter, thicker cable",
        "throttled": "a heat sink or fan, fewer threads",
        "soft_temperature_limit": "a heat sink or fan, fewer threads",
        "frequency_capped": "a stronger supply, and cooling: firmware caps the clock for either",
        "thermal_cooling": "a heat sink or fan, fewer threads",
    }
    for what in state.now:
        words = what.replace("_", " ")
        yield Finding("error" if what == "under_voltage" else "warning", "throttling", f"{words} now", remedies[what])
    for what in state.since_boot:
        if what not in state.now:
            words = what.replace("_", " ")
            yield Finding("warning", "throttling", f"{words} has happened since boot", remedies[what])
    if not state.now and not state.since_boot:
        yield Finding("ok", "throttling", f"none ({state.source})")


def check_temperature(p: Patient) -> Iterator[Finding]:
    zones = [zone for zone in p.host.zones() if zone.celsius is not None]
    if not zones:
        yield Finding("unknown", "temperature", "no thermal zones")
        return
    board = None if p.here is None else p.here.board
    # kernels call the same zone cpu-thermal, CPU-therm, cpu_thermal…
    alike = [zone for zone in zones if zone.kind.lower().startswith("cpu")]
    named = [zone for zone in zones if board is not None and zone.kind == board.thermal_zone] or alike
    zone = (named or sorted(zones, key=lambda zone: -(zone.celsius or 0)))[0]
    # passive trip points below what a hand can touch only step a fan
    passive = [trip for trip in zone.passive if trip >= 55]
    limit = board.throttle_c if board is not None and named else min(passive, default=80.0)
    celsius = zone.celsius or 0.0
    text = f"{zone.kind}: {celsius:.0f} °C, throttles from {limit:.0f} °C"
    if celsius >= limit - 10:
        yield Finding("warning", "temperature", text, "cool it before you measure, or measure with `edgeface profile`")
    else:
        yield Finding("ok", "temperature", text)


def check_instructions(p: Patient) -> Iterator[Finding]:
    cpus = p.host.cpus()
    if not p.arm64 or not cpus:
        return
    able = [cpu.number for cpu in cpus if _DOTPROD in cpu.features]
    promised = p.here is not None and p.here.board.has(_DOTPROD)
    if len(able) == len(cpus):
        yield Finding("ok", "dotprod", "all CPUs have the dot-product instructions: int8 pays")
    elif promised and not able:
        text = "this board's cores have the dot-product instructions, but Linux hides them"
        yield Finding(
            "warning", "dotprod", text, "a newer kernel (4.15 or later); on a virtual machine, its CPU model host"
        )
    elif able:
        some = ",".join(map(str, able))
        yield Finding(
            "warning", "dotprod", f"only CPUs {some} have the dot-product instructions", f"pin to CPUs {some}"
        )
    else:
        yield Finding(
            "ok",
            "dotprod",
            "no dot-product instructions: int8 saves memory, and few instructions or none",
            "let `edgeface bench --model A.efm --model B.efm` with a bundle of each say which is faster here",
        )


def check_cores(p: Patient) -> Iterator[Finding]:
    clusters = p.host.clusters()
    if len(clusters) > 1 and p.arm64:
        pinned = "" if p.here is None else ",".join(map(str, p.here.board.recommended.cpus))
        text = "; ".join(f"{core}: CPUs {','.join(map(str, cpus))}" for core, cpus in clusters.items())
        remedy = f"taskset -c {pinned} …, or FaceEngine(affinity=…)" if pinned else "pin to the fast ones"
        yield Finding(
            "ok", "clusters", f"big and small cores ({text}): threads across both run at the small ones' pace", remedy
        )
    off = p.host.offline()
    if off:
        yield Finding(
            "warning",
            "cores",
            f"CPUs {','.join(map(str, off))} are off",
            "switch them on: sudo nvpmodel -m 0 (Jetson), or no maxcpus= on the kernel's command line",
        )


def check_wheel(p: Patient) -> Iterator[Finding]:
    if p.isa is None:
        yield Finding(
            "error", "wheel", f"the C++ core cannot be imported: {p.core_error}", "reinstall edgeface for this Python"
        )
        return
    if p.arm64 and p.pointer_bits == 32:
        yield Finding(
            "error",
            "wheel",
            "a 32-bit Python under a 64-bit kernel: no runtime but tflite-runtime has wheels for it",
            "install a 64-bit image",
        )
    elif p.arm64 and "scalar" in p.isa:
        yield Finding(
            "warning", "wheel", "the core runs its plain C++ kernels on ARM", "unset EDGEFACE_ISA, or reinstall"
        )
    else:
        yield Finding("ok", "wheel", f"core runs with {p.isa} kernels, Python {p.python[0]}.{p.python[1]}")
    for package, floor in _GLIBC.items():
        if p.glibc is not None and p.glibc < floor and package not in p.packages:
            have, needs = ".".join(map(str, p.glibc)), ".".join(map(str, floor))
            text = f"glibc {have} is too old for the wheels of {package} (they need {needs})"
            yield Finding("warning", "wheel", text, "a newer image, or a container")


def check_packages(p: Patient) -> Iterator[Finding]:
    numpy = p.packages.get("numpy", "0")
    tflite = p.packages.get("tflite-runtime")
    if tflite is not None and int(numpy.split(".")[0]) >= 2:
        text = f"tflite-runtime {tflite} does not work with numpy {numpy}"
        yield Finding(
            "error", "numpy", text, "pip install ai-edge-litert, or pip install 'numpy<2' 'opencv-python-headless<4.12'"
        )
    runtimes = [name for name in _RUNTIME_PACKAGES.values() if name in p.packages]
    if not runtimes:
        yield Finding("error", "runtime", "none is installed", "pip install ncnn")
        return
    have = ", ".join(f"{name} {p.packages[name]}" for name in runtimes)
    least = next(iter(ranking(core_of(host=p.host, machine=p.machine))), None)
    if p.arm64 and least is not None and _RUNTIME_PACKAGES[least.runtime] not in runtimes:
        text = f"{have}; {least.runtime} executes fewer instructions on these cores"
        yield Finding("warning", "runtime", text, RUNTIMES[least.runtime].install)
    else:
        yield Finding("ok", "runtime", have)


def check_runtimes(p: Patient) -> Iterator[Finding]:
    for name, what in p.broken.items():
        others = [other for other in RUNTIMES if _RUNTIME_PACKAGES[other] in p.packages and other not in p.broken]
        remedy = f"runtime='{others[0]}', or another version of {name}" if others else f"another version of {name}"
        yield Finding("error", "runtime", f"{name} {what}", remedy)


def check_telemetry(p: Patient) -> Iterator[Finding]:
    if "onnxruntime" not in p.packages:
        return
    value = p.environment.get(VARIABLE)
    if p.reporting:
        text = "onnxruntime was imported before edgeface, and reports to its maker"
        yield Finding("warning", "telemetry", text, f"export {VARIABLE}=1, or import edgeface.runtimes.telemetry first")
    elif value is not None and enabled(value):
        text = f"{VARIABLE}={value} lets onnxruntime report to its maker"
        yield Finding("warning", "telemetry", text, f"export {VARIABLE}=1")
    else:
        yield Finding("ok", "telemetry", "edgeface switches onnxruntime's off")


def check_spinning(p: Patient) -> Iterator[Finding]:
    for variable, bad in _SPINNING.items():
        value = p.environment.get(variable, "")
        if value.upper() in bad:
            text = f"{variable}={value} makes idle threads burn a core"
            yield Finding("warning", "spinning", text, f"unset {variable}")
    if p.idle_cores is not None and p.idle_cores > 0.5:
        text = f"the runtime's threads use {p.idle_cores:.1f} cores while there is nothing to do"
        yield Finding(
            "warning",
            "spinning",
            text,
            "the runtimes of edgeface do not spin by themselves: look for OMP_*, KMP_* variables",
        )
    elif p.idle_cores is not None:
        yield Finding("ok", "spinning", "the runtime's threads sleep between frames")


def check_load(p: Patient) -> Iterator[Finding]:
    load, cpus = p.host.load(), len(p.host.cpus())
    if load is None or not cpus:
        yield Finding("unknown", "load", "not known")
    elif load > cpus * 0.75:
        yield Finding(
            "warning",
            "load",
            f"{load:.1f} processes want to run on {cpus} CPUs",
            "stop what else runs here; top shows it",
        )
    else:
        yield Finding("ok", "load", f"{load:.1f} on {cpus} CPUs")


def check_memory(p: Patient) -> Iterator[Finding]:
    memory = p.host.memory()
    free = memory.get("MemAvailable")
    if free is None:
        yield Finding("unknown", "memory", "not known")
    elif free < _NEEDED_BYTES:
        text = f"{free >> 20} MiB are free; an engine with a camera wants {_NEEDED_BYTES >> 20}"
        yield Finding("warning", "memory", text, "edgeface-n, a smaller input, or fewer services")
    else:
        yield Finding("ok", "memory", f"{free >> 20} MiB free")
    swaps = p.host.swaps()
    used = memory.get("SwapTotal", 0) - memory.get("SwapFree", 0)
    if swaps and used > 0:
        text = f"{used >> 20} MiB are swapped out to {', '.join(swaps)}: single frames may take seconds"
        yield Finding("warning", "swap", text, "sudo swapoff -a, or zram")
    elif swaps:
        yield Finding("ok", "swap", f"{', '.join(swaps)}, unused")


def check_engine(p: Patient) -> Iterator[Finding]:
    if p.engine_error is not None:
        yield Finding("error", "engine", f"the default engine does not run: {p.engine_error}", "see the findings above")
    else:
        yield Finding("ok", "engine", p.engine)


Check = Callable[[Patient], Iterator[Finding]]
CHECKS: Final[Sequence[Check]] = (
    check_board,
    check_governor,
    check_clock,
    check_throttling,
    check_temperature,
    check_instructions,
    check_cores,
    check_wheel,
    check_packages,
    check_runtimes,
    check_telemetry,
    check_spinning,
    check_load,
    check_memory,
    check_engine,
)


def _core() -> tuple[str | None, str]:
    try:
        from edgeface import _core

        return str(_core.isa()), ""
    except (ImportError, InvalidInputError) as error:
        return None, str(error)


def _engine(broken: Mapping[str, str]) -> tuple[str, str | None, float | None]:
    """What the default engine is, why it does not run, and the cores it keeps busy with no frame to look at.

    One that would take a broken runtime is not tried: this process would die with it.
    """
    import numpy as np

    from edgeface.bundle import Bundle
    from edgeface.engine import DEFAULT_MODEL, FaceEngine
    from edgeface.runtimes import choose

    try:
        bundle = Bundle.find(DEFAULT_MODEL)
        taken = choose(bundle, size=bundle.manifest.default_size, core=core_of()).runtime
        if taken in broken:
            return "", f"runtime='auto' takes {taken}, which {broken[taken]}", None
        with FaceEngine(threads=min(2, os.cpu_count() or 1)) as engine:
            engine.detect(np.zeros((240, 320, 3), np.uint8), color="bgr")
            idle = _busy_cores(0.2)
            info = engine.info
    except EdgeFaceError as error:
        return "", str(error), None
    width, height = info.size
    text = f"{info.model} {info.precision} {width}x{height} on {info.runtime} {info.runtime_version} ({info.reason})"
    return f"{text}, sha256 {info.sha256[:12]} checked", None, idle


def _busy_cores(seconds: float) -> float:
    """CPU time that this process takes while this thread sleeps, over the time that passes."""
    cpu, began = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - began)


def _glibc() -> tuple[int, int] | None:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    parts = version.split(".")
    return (int(parts[0]), int(parts[1])) if name == "glibc" and len(parts) >= 2 else None


def _packages() -> dict[str, str]:
    names = ("edgeface", "numpy", *_RUNTIME_PACKAGES.values(), "opencv-python-headless")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
