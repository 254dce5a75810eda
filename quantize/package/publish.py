"""Verb ``publish``: a packaged run becomes a network that edgeface ships."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantize.files import replacing
from quantize.package.step import package
from quantize.run import Run, StepError

MODELS, DOCS = Path("edgeface/models"), Path("docs")


def publish(
    run: Run,
    replace: bool = False,
    models: Path = MODELS,
    docs: Path = DOCS,
    step: Callable[[Run], dict[str, Any]] = package,
) -> list[Path]:
    """Copies the bundles of step ``package`` to ``models`` and the card to ``docs``; packages first where need be.

    Args:
        run: an evaluated run.
        replace: whether files that stand there with another content may be replaced.
        models: receives ``NAME.efm`` and ``NAME-float32.efm``.
        docs: receives ``model-card-NAME.md``.
        step: that of ``package``, by what the recipe is for.

    Returns:
        The files that were written; none where the same ones stand there already.

    Raises:
        StepError: a file stands there and ``replace`` is not set, or a folder is missing; nothing is written then.
    """
    step(run)
    made = run.path("package")
    wanted = {path: models / path.name for path in sorted(made.glob("*.efm"))}
    wanted |= {path: docs / path.name for path in sorted(made.glob("model-card-*.md"))}
    for folder in (models, docs):
        if not folder.is_dir():
            raise StepError(f"publish must be run from a checkout, but {folder} is not here")
    changed = {a: b for a, b in wanted.items() if not b.is_file() or a.read_bytes() != b.read_bytes()}
    if (standing := [str(b) for b in changed.values() if b.exists()]) and not replace:
        raise StepError(
            f"publish must not replace files unasked, but {', '.join(standing)} would change: "
            "give the recipe another name, or say --replace"
        )
    for source, target in changed.items():
        with replacing(target) as part:
            shutil.copyfile(source, part)
    return list(changed.values())
