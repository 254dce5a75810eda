"""The compiled core of an installed edgeface for the sources of a checkout, which hide the installed package."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path


def use_installed_core() -> None:
    """Lets ``edgeface._core`` be found where edgeface is installed, if the imported ``edgeface`` has none of its own.

    ``python -m quantize`` imports the folder of sources that it runs in. An editable install brings its own finder.
    """
    import edgeface

    own = [Path(folder) for folder in edgeface.__path__]
    if any(_core_in(folder) for folder in own) or any(
        type(f).__name__ == "ScikitBuildRedirectingFinder" for f in sys.meta_path
    ):
        return
    for entry in sys.path:
        folder = Path(entry or ".") / "edgeface"
        if folder not in own and _core_in(folder):
            edgeface.__path__.append(str(folder))
            return


def _core_in(folder: Path) -> bool:
    return any((folder / f"_core{suffix}").is_file() for suffix in EXTENSION_SUFFIXES)
