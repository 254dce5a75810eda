"""The offline bundle, installed in the emulated root as on a board: with its own script and no index in reach."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from boards.emulate import root as rootfs
from boards.emulate.root import EmulationError


def _without_network() -> list[str]:
    """Command that takes the network away from the one after it, where this user may do that."""
    command = ["unshare", "--net"]
    may = (
        shutil.which("unshare") and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    )
    return command if may else []


def install_and_detect(wheel: Path, board: str, cpu: str, picture: Path) -> str:
    """Pack, install, and run ``edgeface detect --format jsonl`` on *picture*; what all of that printed.

    Programs of the root start each other here (a shell, sed, Python, pip), which takes proot.

    Raises:
        EmulationError: proot is missing, the script failed, or no face was found.
    """
    from edgeface.boards.pack import pack_board

    if shutil.which("proot") is None:
        raise EmulationError("proot is missing; install it with: apt-get install proot")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tar_path = pack_board(board, python="3.11", wheel=wheel, out=work / "bundle.tar")
        print(f"{tar_path.stat().st_size / 1e6:.0f} MB in the bundle", flush=True)
        with tarfile.open(tar_path) as tar:
            tar.extractall(work, filter="data")
        (bundle,) = (path for path in work.iterdir() if path.is_dir())
        shutil.copy(picture, work / "picture.jpg")
        (work / "cpuinfo").write_text(rootfs.cpuinfo(cpu))
        command = f"./{bundle.name}/install.sh --prefix /bundle/installed && "
        command += "./installed/bin/edgeface detect --format jsonl picture.jpg"
        done = subprocess.run(
            [
                *_without_network(),
                *("proot", "-q", f"qemu-aarch64-static -cpu {cpu}", "-r", str(rootfs.root_dir())),
                *(
                    "-b",
                    "/proc",
                    "-b",
                    f"{work / 'cpuinfo'}:/proc/cpuinfo",
                    "-b",
                    "/dev",
                    "-b",
                    "/sys",
                    "-b",
                    f"{work}:/bundle",
                    "-w",
                    "/bundle",
                ),
                *("/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "HOME=/tmp", "/bin/sh", "-c", command),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode or '"faces": [{' not in done.stdout:
            raise EmulationError(
                f"the bundle must install and find faces, but got:\n{done.stdout}{done.stderr[-3000:]}"
            )
        return done.stdout
