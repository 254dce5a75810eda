"""What the shell offers for an argument: names of models, runtimes, boards and presets.

`edgeface --install-completion` puts it into the shell's start file.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["boards", "models", "presets", "runtimes"]


def models(incomplete: str) -> list[str]:
    """Bundled models."""
    from edgeface.bundle import bundled_models

    return _beginning(bundled_models(), incomplete)


def runtimes(incomplete: str) -> list[str]:
    """Runtimes, and auto."""
    from edgeface.runtimes import NPUS, RUNTIMES

    return _beginning(["auto", *RUNTIMES, *NPUS], incomplete)


def boards(incomplete: str) -> list[str]:
    """Known boards."""
    from edgeface.boards.board import data_folder

    return _beginning(sorted(path.stem for path in data_folder().glob("*.toml")), incomplete)


def presets(incomplete: str) -> list[str]:
    """Presets of the quality gate."""
    from edgeface.gate import PRESETS

    return _beginning(["default", *PRESETS], incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
