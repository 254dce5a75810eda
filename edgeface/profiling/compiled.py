"""``edgeface doctor BUNDLE``: do the bundle's compiled networks fit this machine's drivers?"""

from __future__ import annotations

from pathlib import Path

from edgeface.bundle import Bundle
from edgeface.compiling.drivers import why_not
from edgeface.profiling.doctor import Finding

__all__ = ["examine_bundle"]


def examine_bundle(bundle: Bundle, root: Path = Path("/")) -> list[Finding]:
    """One finding for each network that is compiled for a processor; none for a bundle that runs anywhere.

    Args:
        bundle: to look at.
        root: of the file system, for tests.

    Examples:
        >>> examine_bundle(Bundle.find("edgeface-n"))
        []
    """
    findings = []
    for model in bundle.manifest.models:
        if model.target is None:
            continue
        reason = why_not(model, root)
        if reason is None:
            findings.append(Finding("ok", "compiled", f"{model.file} fits this machine's driver"))
        else:
            remedy = "compile the bundle for this machine (edgeface compile --list), or take it as it was"
            findings.append(Finding("error", "compiled", reason, remedy))
    return findings
