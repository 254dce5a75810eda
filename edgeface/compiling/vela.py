"""Arm Ethos-U NPUs, by ethos-u-vela (Apache-2.0)."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from edgeface.compiling.targets import Target
from edgeface.compiling.tflite_file import custom_operators
from edgeface.errors import RuntimeFailedError, RuntimeUnavailableError

__all__ = ["compile_network"]

_INSTALL: Final = "pip install ethos-u-vela==5.2.0"
#: Column of vela's summary -> what the report calls it, and by what it is multiplied.
_COLUMNS: Final = {
    "cycles_total": ("cycles", 1.0),
    "cycles_npu": ("cycles_npu", 1.0),
    "core_clock": ("clock_hz", 1.0),
    "inference_time": ("milliseconds", 1e3),
    "sram_memory_used": ("sram_bytes", 1024.0),
    "dram_memory_used": ("dram_bytes", 1024.0),
    "off_chip_flash_memory_used": ("flash_bytes", 1024.0),
    "sram_total_bytes": ("sram_traffic_bytes", 1.0),
    "dram_total_bytes": ("dram_traffic_bytes", 1.0),
    "off_chip_flash_total_bytes": ("flash_traffic_bytes", 1.0),
    "nn_macs": ("macs", 1.0),
}


def compile_network(network: bytes, target: Target, name: str) -> tuple[bytes, dict[str, Any]]:
    """Compile a TFLite network whose weights lie inside.

    Args:
        network: int8 TFLite file.
        target: an Ethos-U.
        name: of the network, for vela's files.

    Returns:
        The compiled TFLite file, and vela's estimates: cycles, milliseconds at its clock, bytes of SRAM, DRAM and flash
        in use and read or written, MACs; "on_npu" is the share of operators that the NPU runs.

    Raises:
        RuntimeUnavailableError: vela is not installed.
        RuntimeFailedError: vela refused the network, or left a part of it to the CPU.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise RuntimeUnavailableError(
            f"ethos-u-vela must be installed to compile for {target.name}, but is not ({_INSTALL})"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{name}.tflite"
        source.write_bytes(network)
        command = [sys.executable, "-m", "ethosu.vela", str(source), "--accelerator-config", target.name]
        command += ["--config", "Arm/vela.ini", "--system-config", target.settings["system"]]
        command += ["--memory-mode", target.settings["memory"], "--output-dir", folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        compiled = source.with_name(f"{name}_vela.tflite")
        if done.returncode or not compiled.is_file():
            raise RuntimeFailedError(
                f"vela must compile {name} for {target.name}, but got {(done.stdout + done.stderr)[-1500:]}"
            )
        data = compiled.read_bytes()
        report = _estimates(next(Path(folder).glob("*_summary_*.csv")))
    builtin, custom = custom_operators(data)
    fallen = re.search(r"CPU operators = (\d+)", done.stdout)
    if builtin or list(custom) != ["ethos-u"] or fallen is None or fallen[1] != "0":
        raise RuntimeFailedError(f"the NPU must run all of {name}, but got {builtin} operators for the CPU")
    report |= {"on_npu": 1.0, "system": target.settings["system"], "memory": target.settings["memory"]}
    return data, {"version": importlib.metadata.version("ethos-u-vela"), **report}


def _estimates(summary: Path) -> dict[str, Any]:
    with summary.open(newline="") as file:
        row = next(csv.DictReader(file))
    return {
        name: round(float(row[column]) * factor, 4) if factor == 1e3 else round(float(row[column]) * factor)
        for column, (name, factor) in _COLUMNS.items()
        if column in row
    }
