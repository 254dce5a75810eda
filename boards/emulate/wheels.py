"""Cross-built wheels for other Pythons and for 32-bit ARM: installed beside their interpreter, and tried there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boards.emulate import root as rootfs
from boards.emulate.root import EmulationError

# Finds faces in a .npy of BGR pixels with the default model; nothing of it needs OpenCV.
_DETECT = """
import json, platform, sys
import numpy as np
from edgeface import FaceEngine
with FaceEngine(runtime="ncnn") as engine:
    faces = engine.detect(np.load(sys.argv[1]), color="bgr")
print(json.dumps([platform.python_version(), platform.machine(), engine.info.precision, faces.boxes.round(1).tolist()]))
"""


@dataclass(frozen=True)
class Machine:
    """An ARM: Debian's name of it, its emulator, a CPU of its, and what Debian gives to Python there."""

    architecture: str
    triplet: str
    emulator: str
    cpu: str
    packages: tuple[str, ...]  # of Debian, where the package index has no wheel
    platforms: tuple[str, ...]
    wheels: tuple[str, ...]


MACHINES = {
    "aarch64": Machine(
        "arm64",
        "aarch64-linux-gnu",
        "qemu-aarch64-static",
        "cortex-a72",
        (),
        tuple(f"manylinux{glibc}_aarch64" for glibc in rootfs.GLIBCS),
        ("numpy", *rootfs.BARE_WHEELS),
    ),
    "armv7l": Machine(
        "armhf",
        "arm-linux-gnueabihf",
        "qemu-arm-static",
        "cortex-a15",
        ("python3-numpy",),
        ("manylinux_2_31_armv7l",),
        rootfs.BARE_WHEELS,
    ),
}
#: Debian's releases by their Python.
SUITES = {"3.11": "bookworm", "3.13": "trixie"}


def _mirror() -> str:
    """Of Debian's main archive, as apt here uses it."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    found = [uri for uri in listed if "security" not in uri]
    if not found:
        raise EmulationError("apt must know a mirror of Debian, but has no list of packages: run apt-get update")
    return found[0]


def _root(machine: Machine, python: str) -> Path:
    """Debian of that Python, extracted and not configured; the package index's wheels are in its ``site``."""

    def make(partial: Path) -> None:
        packages = [
            f"python{python}-minimal",
            f"libpython{python}-stdlib",
            "libstdc++6",
            "zlib1g",
            "libgomp1",
            "libatomic1",
        ]
        options = [f"--architectures={machine.architecture}", "--variant=extract", "--mode=root", "--skip=check/qemu"]
        include = f"--include={','.join([*packages, *machine.packages])}"
        mirror = f"deb {_mirror()} {SUITES[python]} main"
        rootfs.run_tool(["mmdebstrap", *options, include, SUITES[python], str(partial), mirror], "mmdebstrap")
        if not (partial / "lib").exists():  # a link that Debian 13 makes when it is configured
            (partial / "lib").symlink_to("usr/lib")
        platforms = [f"--platform={platform}" for platform in machine.platforms]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial / "site"), "--no-deps"]
        pip += [*platforms, "--python-version", python, "--implementation", "cp", "--only-binary=:all:"]
        rootfs.run_tool([*pip, *machine.wheels], "pip")
        for link in ("blas", "lapack"):  # Debian's alternatives, which no script has set here
            for library in partial.glob(f"usr/lib/{machine.triplet}/{link}/lib{link}.so.3"):
                (library.parents[1] / library.name).symlink_to(f"{link}/{library.name}")

    return rootfs.into(rootfs.cache_dir() / f"wheel-root-{machine.architecture}-{python}", make)


def try_wheel(wheel: Path, picture: np.ndarray) -> str:
    """Install a wheel beside its Python, import it on the emulated machine, and find faces.

    Args:
        wheel: as cpp/cross/build_wheel.sh names it.
        picture: (h, w, 3) BGR.

    Returns:
        One line on what ran and what was found.

    Raises:
        EmulationError: a Python that Debian does not have, a wheel that does not run, or no face.
    """
    tag, platform = wheel.stem.split("-")[2], wheel.stem.split("-")[4]
    python, name = f"{tag[2]}.{tag[3:]}", next((name for name in MACHINES if platform.endswith(name)), "")
    if python not in SUITES or not name:
        raise EmulationError(
            f"wheel must be for Python {' or '.join(SUITES)} on {' or '.join(MACHINES)}, but got {wheel}"
        )
    machine = MACHINES[name]
    root = _root(machine, python)
    site = rootfs.unpack_wheel(wheel)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "picture.npy", picture)
        paths = [str(site), str(root / "site"), str(root / "usr/lib/python3/dist-packages")]
        command = [machine.emulator, "-cpu", machine.cpu, "-L", str(root), "-E", f"PYTHONPATH={':'.join(paths)}"]
        command += [str(root / f"usr/bin/python{python}"), "-P", "-B", "-c", _DETECT, f"{folder}/picture.npy"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise EmulationError(f"{wheel.name} must run on {machine.cpu}, but got:\n{done.stdout}{done.stderr[-3000:]}")
    version, machine_name, precision, boxes = json.loads(done.stdout.splitlines()[-1])
    if not boxes:
        raise EmulationError(f"{wheel.name} must find a face, but found none")
    return f"{wheel.name}: Python {version} on {machine_name}, {precision}: {len(boxes)} face at {boxes[0]}"
