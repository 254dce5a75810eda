"""Has this machine the driver that a compiled network needs? Reasons for the engine and for `edgeface doctor`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgeface.manifest import ModelSpec

__all__ = ["RKNN_LIBRARIES", "RKNN_LIBRARY", "board_of", "rknn_library", "rknn_version", "why_not"]

#: Variable that names a ``librknnrt.so`` elsewhere.
RKNN_LIBRARY: Final = "EDGEFACE_RKNN_LIBRARY"
#: Where Rockchip's images put the runtime.
RKNN_LIBRARIES: Final = ("usr/lib/librknnrt.so", "usr/lib/aarch64-linux-gnu/librknnrt.so", "usr/lib64/librknnrt.so")
#: What the device tree calls processors that the compiler calls otherwise.
_ALIASES: Final = {"rk3568": "rk3566", "rk3588s": "rk3588", "rv1103": "rv1106"}


def why_not(model: ModelSpec, root: Path = Path("/")) -> str | None:
    """Why a compiled network does not run on this machine.

    Args:
        model: of a bundle.
        root: of the file system, for tests.

    Returns:
        One sentence; None where nothing speaks against it, or where the network is not compiled.

    Examples:
        >>> from edgeface.bundle import Bundle
        >>> why_not(Bundle.find("edgeface-s").manifest.models[0]) is None
        True
    """
    if model.target is None:
        return None
    made = f"{model.file} is compiled for {model.target['name']} by {model.target['tool']} {model.target['version']}"
    reasons = {"tflm": _tflm, "vela": _ethos, "rknn": _rknn}[model.format](model, root)
    reason = next(iter(reasons), None)
    return None if reason is None else f"{made}, {reason}"


def _tflm(model: ModelSpec, root: Path) -> Iterator[str]:
    yield "which is for TensorFlow Lite Micro in firmware: link its C array, or take a bundle that is not compiled"


def _ethos(model: ModelSpec, root: Path) -> Iterator[str]:
    if not list((root / "dev").glob("ethosu*")):
        yield "which needs an Arm Ethos-U with its kernel driver, but this machine has no /dev/ethosu0"
    yield "which edgeface does not run itself: give it to LiteRT with Arm's Ethos-U delegate (docs/compile.md)"


def _rknn(model: ModelSpec, root: Path) -> Iterator[str]:
    name = (model.target or {})["name"]
    board = board_of(root)
    if board is None:
        yield "but this machine's processor is none of Rockchip's"
    elif board != name:
        yield f"but this machine's processor is {board}"
    library = rknn_library(root)
    if library is None:
        yield "which needs librknnrt.so, but this machine has none in " + ", ".join(
            f"/{path}" for path in RKNN_LIBRARIES
        )
        return
    version, wanted = rknn_version(library), (model.target or {})["version"]
    if version is not None and _numbers(version) < _numbers(wanted):
        yield f"which needs a librknnrt.so of at least this version, but this machine's is {version}"


def rknn_library(root: Path = Path("/")) -> Path | None:
    """Rockchip's ``librknnrt.so``: the one that `RKNN_LIBRARY` names, else the first of `RKNN_LIBRARIES`; None if
    there is no such file.
    """
    named = os.environ.get(RKNN_LIBRARY)
    paths = [Path(named)] if named else [root / path for path in RKNN_LIBRARIES]
    return next((path for path in paths if path.is_file()), None)


def board_of(root: Path = Path("/")) -> str | None:
    """The Rockchip processor that the device tree names, as the compiler calls it."""
    try:
        names = (root / "proc/device-tree/compatible").read_bytes().decode("ascii", "ignore").split("\0")
    except OSError:
        return None
    found = [name.removeprefix("rockchip,") for name in names if re.fullmatch(r"rockchip,r[kv]\d+\w*", name)]
    return _ALIASES.get(found[-1], found[-1]) if found else None


def rknn_version(library: Path) -> str | None:
    """The version that a ``librknnrt.so`` carries as text; None if there is none."""
    found = re.search(rb"librknnrt version: (\d+\.\d+\.\d+)", library.read_bytes())
    return found[1].decode() if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
