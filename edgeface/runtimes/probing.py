"""Whether a runtime's package is there, and which version it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

__all__ = ["installed_version", "is_installed", "version_of"]


def is_installed(package: str) -> bool:
    """Whether a package is there (it is not imported). Folders that a removal left behind do not count.

    Examples:
        >>> is_installed("numpy"), is_installed("nothing_of_the_kind")
        (True, False)
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: put into sys.modules by hand
        return False
    return spec is not None and spec.origin is not None


def version_of(package: str, distribution: str | None = None) -> str:
    """Version of an installed package: what the package says, else its metadata; frozen programs lack the latter.

    Args:
        package: name to import.
        distribution: name on the index; the package's if None.

    Returns:
        "unknown" where neither says anything.

    Examples:
        >>> import numpy
        >>> version_of("numpy") == numpy.__version__
        True
    """
    try:
        return str(importlib.import_module(package).__version__)
    except (ImportError, AttributeError):
        pass
    try:
        return importlib.metadata.version(distribution or package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def installed_version(package: str) -> str:
    """Version of an installed package by its metadata, without importing it; a broken one may not survive that.

    Returns:
        "unknown" where nothing says it, as in frozen programs.

    Examples:
        >>> installed_version("nothing_of_the_kind")
        'unknown'
    """
    names = importlib.metadata.packages_distributions().get(package, [package.replace("_", "-")])
    try:
        return importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
