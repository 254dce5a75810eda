"""The arm64 root: Debian's Python, the aarch64 wheels, and the counting plugin, kept outside the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
TRIPLET = "aarch64-linux-gnu"
APT_PACKAGES = ("gcc", "g++-aarch64-linux-gnu", "qemu-user", "qemu-user-static", "mmdebstrap")
ROOT_PACKAGES = (
    "python3.11-minimal,libpython3.11-stdlib,libpython3.11-dev,python3-distutils,libstdc++6,zlib1g,libatomic1,"
    "dash,coreutils,findutils,sed,tar,gzip,libgomp1"
)
# The versions that docs/boards.md was measured with.
WHEELS = (
    "onnxruntime==1.32.0",
    "numpy<2.5",
    "ai-edge-litert==2.3.0",
    "opencv-python-headless==5.0.0.93",
    "typer",
    "rich",
    "fastjsonschema",
    "pytest",
    "hypothesis",
    "jinja2",
)
# Without what it says it needs: requests and tqdm are for a zoo of models that it would download.
BARE_WHEELS = ("ncnn==1.0.20261020",)
GLIBCS = ("2014", "_2_17", "_2_27", "_2_28", "_2_34")

# MIDR part numbers of the cores that qemu models; onnxruntime's cpuinfo library crashes on the host's own file.
CPU_PARTS = {
    "cortex-a53": 0xD03,
    "cortex-a55": 0xD05,
    "cortex-a72": 0xD08,
    "cortex-a76": 0xD0B,
    "neoverse-n1": 0xD0C,
    "max": 0xD0B,
}
_BASE = "fp asimd evtstrm crc32 cpuid"
_DOT = f"{_BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
CPU_FEATURES = {name: _BASE if name in ("cortex-a53", "cortex-a72") else _DOT for name in CPU_PARTS}
#: Cores that qemu has no model of, and the model with the same instructions; kernels are chosen by the core's part.
QEMU_MODELS = {"cortex-a55": "cortex-a76"}
#: Major revision: runtimes believe a Cortex-A55 r0 to have no dot product; the ones on boards are r1 and r2.
VARIANTS = {"cortex-a55": 2}
CPU_FEATURES["max"] = f"{_DOT} i8mm bf16"


class EmulationError(RuntimeError):
    """The emulated board could not be built or a program failed in it."""


def cache_dir() -> Path:
    """Folder of the root, the wheels and the plugin: ``$XDG_CACHE_HOME/edgeface`` (``~/.cache/edgeface``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeface"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def root_dir() -> Path:
    return cache_dir() / f"arm64-root-{_digest(ROOT_PACKAGES)}"  # another list is another folder


def site_dir() -> Path:
    return cache_dir() / f"arm64-site-{_digest(' '.join(WHEELS + BARE_WHEELS))}"


def plugin_path() -> Path:
    return cache_dir() / "counter.so"


def run_tool(command: Sequence[str], what: str, env: Mapping[str, str] | None = None) -> None:
    """Run a program to its end, or raise an `EmulationError` with the last that it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        raise EmulationError(f"{what} failed ({' '.join(command)}):\n{done.stdout[-1500:]}{done.stderr[-3000:]}")


def into(target: Path, make: Callable[[Path], None]) -> Path:
    """Build next to *target* and move it in place at the end, so that a broken attempt is never taken for a result."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        make(partial)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
            shutil.rmtree(partial)  # another process was faster, and made the same
    return target


def cpuinfo(cpu: str, cores: int = 4) -> str:
    """Text of ``/proc/cpuinfo`` as an arm64 kernel prints it on *cores* cores of the type *cpu*."""
    if cpu not in CPU_PARTS:
        raise EmulationError(f"cpu must be one of {', '.join(CPU_PARTS)}, but got {cpu!r}")
    return "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {CPU_FEATURES[cpu]}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: {VARIANTS.get(cpu, 0):#x}\n"
        f"CPU part\t: 0x{CPU_PARTS[cpu]:03x}\nCPU revision\t: 3\n\n"
        for core in range(cores)
    )


def missing_tools() -> list[str]:
    """Programs of :data:`APT_PACKAGES` that are not installed."""
    tools = ("gcc", f"{TRIPLET}-g++", "qemu-aarch64", "qemu-aarch64-static", "mmdebstrap")
    return [tool for tool in tools if shutil.which(tool) is None]


def build_root() -> Path:
    """Debian 12 arm64, extracted and not configured: nothing of it has to run while it is made."""

    def make(partial: Path) -> None:
        options = ["--architectures=arm64", "--variant=extract", "--mode=root", "--skip=check/qemu"]
        run_tool(["mmdebstrap", *options, f"--include={ROOT_PACKAGES}", "bookworm", str(partial)], "mmdebstrap")

    root = into(root_dir(), make)
    (root / "proc").mkdir(exist_ok=True)
    return root


def pip_target_options(python: str = "3.11", abi_platforms: Sequence[str] = GLIBCS) -> list[str]:
    """pip options that select aarch64 wheels for CPython *python*, whatever the host is."""
    platforms = [f"--platform=manylinux{glibc}_aarch64" for glibc in abi_platforms]
    return [*platforms, "--python-version", python, "--implementation", "cp", "--only-binary=:all:"]


def build_site() -> Path:
    """The aarch64 wheels, unpacked to a folder for ``PYTHONPATH``."""

    def make(partial: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial)]
        run_tool([*pip, *pip_target_options(), *WHEELS], "pip")
        run_tool([*pip, *pip_target_options(), "--no-deps", *BARE_WHEELS], "pip")

    return into(site_dir(), make)


def versions() -> dict[str, str]:
    """Of what a count depends on beside the network: the pinned wheels and qemu."""
    pinned = dict(wheel.split("==") for wheel in WHEELS + BARE_WHEELS if "==" in wheel)
    qemu = subprocess.run(["qemu-aarch64", "--version"], check=False, capture_output=True, text=True).stdout
    return {**pinned, "qemu": qemu.partition("version ")[2].split(" ")[0] or "unknown"}


def unpack_wheel(wheel: Path) -> Path:
    """A wheel's contents in a folder for ``PYTHONPATH``, named after its bytes."""
    if not wheel.is_file():
        raise EmulationError(f"wheel must be a file, but got {wheel}")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]

    def make(partial: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial)

    return into(cache_dir() / f"wheel-{digest}", make)


def cross_build_wheel() -> Path:
    """The aarch64 wheel of this checkout, built by ``cpp/cross/build_wheel.sh`` (about half a minute)."""
    output = cache_dir() / "wheels"
    shutil.rmtree(output, ignore_errors=True)
    environment = {**os.environ, "PYTHON": os.environ.get("PYTHON", sys.executable)}
    run_tool(["bash", str(REPOSITORY / "cpp/cross/build_wheel.sh"), str(output)], "the cross build", environment)
    (wheel,) = output.glob("edgeface-*aarch64.whl")
    return wheel


def build_plugin() -> Path:
    """Compile ``counter.c``; again when the source is newer."""
    source, plugin = HERE / "counter.c", plugin_path()
    if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
        plugin.parent.mkdir(parents=True, exist_ok=True)
        partial = plugin.with_suffix(f".{os.getpid()}")
        run_tool(
            ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(partial), str(source)], "gcc"
        )
        partial.rename(plugin)
    return plugin


def build_all() -> None:
    """Make whatever is missing of root, wheels and plugin (from nothing: about a minute)."""
    missing = missing_tools()
    if missing:
        install = f"apt-get install -y --no-install-recommends {' '.join(APT_PACKAGES)}"
        raise EmulationError(f"programs missing: {', '.join(missing)}; install them with: {install}")
    build_root()
    build_site()
    build_plugin()
