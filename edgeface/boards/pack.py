"""One tar with all that a board without a network needs."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgeface.boards.board import Board, data_folder, load_boards
from edgeface.errors import EdgeFaceError, must_be
from edgeface.files import written_whole
from edgeface.reading import check_output

__all__ = ["PackError", "pack_board", "platform_tags"]

DEPLOY: Final = Path(__file__).with_name("deploy")
_RUNTIMES: Final = {
    "ncnn": "ncnn",
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "tflite": "tflite-runtime",
}


class PackError(EdgeFaceError, RuntimeError):
    """pip could not find a wheel for the board."""


def pack_board(
    board: str,
    *,
    python: str = "3.11",
    wheel: Path | None = None,
    glibc: str = "2.36",
    out: Path | None = None,
    pip_options: Sequence[str] = (),
) -> Path:
    """Gather wheels, models, install script, unit and checksums in one tar.

    The same inputs give the same bytes: names are sorted, times and owners are zero.

    Args:
        board: a name of `load_boards`.
        python: version on the board, such as "3.11".
        wheel: the aarch64 wheel of edgeface. It must be given: nobody has registered that name on the package index,
            and install.sh would run as root what a stranger puts there.
        glibc: version of the board's C library; wheels that need a newer one are not taken.
        out: the tar; ``edgeface-BOARD-pyXY.tar`` in the current folder if None.
        pip_options: more options for ``pip download``.

    Returns:
        The path of the tar.

    Raises:
        InvalidInputError: no such board, a version that is none, no such wheel, or `out` is the wheel.
        PackError: no wheel of edgeface was given, or pip found no fitting wheels of the others.
    """
    known = load_boards()
    if board not in known:
        raise must_be("board", f"one of {', '.join(known)}", board)
    if not re.fullmatch(r"3\.\d{1,2}", python):
        raise must_be("python", "a version such as 3.11", python)
    if wheel is None:
        raise PackError(
            "the wheel of edgeface must be given, for edgeface is not on the package index, but got none"
            "; give a wheel of your own with --wheel (in a checkout cpp/cross/build_wheel.sh makes one)"
        )
    if not os.path.isfile(wheel):  # noqa: PTH113 - Path.is_file raises where a name is too long
        raise must_be("wheel", "a file", wheel)
    if out is not None:
        check_output("out", out, [wheel])
    if not re.fullmatch(r"edgeface-.+\.whl", wheel.name):
        raise must_be("wheel", "one of edgeface (edgeface-….whl)", wheel)
    name = f"edgeface-{board}-py{python.replace('.', '')}"
    out = Path(f"{name}.tar") if out is None else out
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / name
        _gather(root, known[board], python, wheel, platform_tags(glibc), pip_options)
        try:
            _write_tar(root, out)
        except OSError as error:
            raise must_be("out", "a file that can be written", f"{out}: {error.strerror}") from None
    return out


def platform_tags(glibc: str) -> list[str]:
    """Tags of the wheels that run on arm64 with this C library, newest first.

    Examples:
        >>> platform_tags("2.19")
        ['manylinux_2_19_aarch64', 'manylinux_2_18_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64']
    """
    match = re.fullmatch(r"2\.(\d{1,2})", glibc)
    if match is None or int(match[1]) < 17:
        raise must_be("glibc", "a version from 2.17", glibc)
    return [*(f"manylinux_2_{minor}_aarch64" for minor in range(int(match[1]), 16, -1)), "manylinux2014_aarch64"]


def _gather(
    root: Path, board: Board, python: str, wheel: Path, tags: Sequence[str], pip_options: Sequence[str]
) -> None:
    wheels = root / "wheels"
    wheels.mkdir(parents=True)
    runtime = _RUNTIMES[board.recommended.runtime]
    requirements = ["edgeface", runtime]
    _download([str(wheel), runtime, "pip"], wheels, python, tags, pip_options)
    packed = next(iter(wheels.glob("edgeface-*.whl")))
    _extract_models(packed, root / "models")
    shutil.copy(data_folder() / f"{board.name}.toml", root)
    for file in ("install.sh", "edgeface.service"):
        shutil.copy(DEPLOY / file, root)
    settings = f"board={board.name}\npython={python}\nrequirements={' '.join(requirements)}\n"
    (root / "bundle.env").write_text(settings, encoding="utf-8")
    readme = (DEPLOY / "README.txt").read_text(encoding="utf-8")
    for mark, text in {"TITLE": board.title, "PYTHON": python, "NAME": root.name, "BOARD": board.name}.items():
        readme = readme.replace(f"@{mark}@", text)
    (root / "README.txt").write_text(readme, encoding="utf-8")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files]
    (root / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def _download(what: Sequence[str], into: Path, python: str, tags: Sequence[str], pip_options: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(into)]
    command += [f"--platform={tag}" for tag in tags]
    command += ["--python-version", python, "--implementation", "cp", "--only-binary=:all:", *pip_options, *what]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-500:]]
        raise PackError(f"wheels must exist for {tags[0]} and Python {python}, but pip says: {' '.join(errors)}")


def _extract_models(wheel: Path, into: Path) -> None:
    into.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            if re.fullmatch(r"edgeface/models/[\w.-]+\.efm", entry):
                (into / Path(entry).name).write_bytes(archive.read(entry))


def _write_tar(root: Path, out: Path) -> None:
    with written_whole(out) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in [root, *sorted(root.rglob("*"))]:
            info = tarfile.TarInfo(str(path.relative_to(root.parent)))
            if path.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                data = path.read_bytes()
                info.size, info.mode = len(data), 0o755 if path.suffix == ".sh" else 0o644
                tar.addfile(info, io.BytesIO(data))
