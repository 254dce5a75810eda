"""Programs in the emulated root: plain, or counted by the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from boards.emulate import root as rootfs
from boards.emulate.root import EmulationError

DEFAULT_CPU = "cortex-a76"
#: An x86 with AVX2 and without VNNI, which is all that qemu knows of it.
HERE = "x86-64"
Counts = dict[str, int]


def _install_cpuinfo(cpu: str) -> Path:
    """A root view whose /proc/cpuinfo is that of *cpu*: one folder of links a CPU, so that parallel runs never race."""
    view = rootfs.cache_dir() / f"{rootfs.root_dir().name}-{cpu}"
    (view / "proc").mkdir(parents=True, exist_ok=True)
    for entry in rootfs.root_dir().iterdir():
        link = view / entry.name
        if entry.name != "proc" and not link.is_symlink():
            link.symlink_to(entry)
    text = rootfs.cpuinfo(cpu)
    file = view / "proc" / "cpuinfo"
    if not file.exists() or file.read_text() != text:
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(text)
        partial.rename(file)
    return view


def guest_command(
    argv: Sequence[str],
    cpu: str = DEFAULT_CPU,
    plugin: str = "",
    python_path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """The qemu command line that runs ``python3.11 argv…`` on *cpu*; on `HERE`, this very Python with its packages."""
    if cpu == HERE:
        shared = os.pathsep.join([*map(str, python_path), *filter(None, sys.path)])
        variables = {"PYTHONPATH": shared, "PYTHONHASHSEED": "0", **(env or {})}
        assigned = [word for key, value in variables.items() for word in ("-E", f"{key}={value}")]
        extra = ["-plugin", f"{plugin},getpid=39"] if plugin else []
        return ["qemu-x86_64", "-cpu", "max", *extra, *assigned, str(Path(sys.executable).resolve()), "-B", *argv]
    view = _install_cpuinfo(cpu)
    # Plugins need the dynamically linked qemu.
    command = ["qemu-aarch64" if plugin else "qemu-aarch64-static", "-cpu", rootfs.QEMU_MODELS.get(cpu, cpu)]
    command += ["-L", str(view)]
    if plugin:
        command += ["-plugin", plugin]
    path = os.pathsep.join(map(str, [*python_path, rootfs.site_dir()]))
    for key, value in {"PYTHONPATH": path, "PYTHONHASHSEED": "0", **(env or {})}.items():
        command += ["-E", f"{key}={value}"]
    return [*command, str(rootfs.root_dir() / "usr/bin/python3.11"), "-B", *argv]


def run_python(
    argv: Sequence[str], cpu: str = DEFAULT_CPU, python_path: Sequence[Path] = (), env: Mapping[str, str] | None = None
) -> str:
    """Run ``python3.11 argv…`` in the root on *cpu*; its standard output.

    Raises:
        EmulationError: the program ended with another status than 0.
    """
    done = subprocess.run(guest_command(argv, cpu, "", python_path, env), check=False, capture_output=True, text=True)
    if done.returncode:
        _raise_failed(argv, cpu, done)
    return done.stdout


def _raise_failed(argv: Sequence[str], cpu: str, done: subprocess.CompletedProcess[str]) -> NoReturn:
    output = done.stdout[-2000:] + done.stderr[-3000:]
    raise EmulationError(f"{' '.join(argv)} on {cpu} ended with status {done.returncode}:\n{output}")


def parse_counts(text: str) -> tuple[dict[int, Counts], Counts, dict[str, int]]:
    """Records of counter.c: counts at each marker, counts at the end, instructions by symbol."""
    marks: dict[int, Counts] = {}
    end: Counts = {}
    symbols: dict[str, int] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "symbol":
            name, _, count = rest.rpartition(" ")
            symbols[name] = int(count)
        elif kind == "mark":
            number, *fields = rest.split()
            marks[int(number)] = _fields(fields)
        elif kind == "exit":
            end = _fields(rest.split())
    if not end:
        raise EmulationError("the counting plugin wrote no final record")
    return marks, end, symbols


def _fields(fields: Sequence[str]) -> Counts:
    return {name: int(value) for name, _, value in (field.partition("=") for field in fields)}


def count_python(
    argv: Sequence[str],
    cpu: str = DEFAULT_CPU,
    python_path: Sequence[Path] = (),
    symbols: bool = False,
    env: Mapping[str, str] | None = None,
) -> tuple[dict[int, Counts], Counts, dict[str, int]]:
    """As :func:`run_python`, with executed instructions (see :func:`parse_counts`)."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "counts"
        plugin = f"{rootfs.build_plugin()},out={record}" + (",symbols=on" if symbols else "")
        done = subprocess.run(
            guest_command(argv, cpu, plugin, python_path, env), check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise EmulationError(
                f"{' '.join(argv)} on {cpu} ended with status {done.returncode}:\n{done.stderr[-3000:]}"
            )
        return parse_counts(record.read_text())
