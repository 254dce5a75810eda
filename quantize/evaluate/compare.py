"""Verb ``compare``: any bundles, checkpoints and peers side by side, without a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantize.engines import open_engine
from quantize.evaluate.evaluation import evaluate
from quantize.evaluate.intervals import Resamples
from quantize.evaluate.tables import markdown, write_intervals
from quantize.evaluate.trials import VAL, FolderSets, Trial


def compare(
    models: Sequence[str],
    sets: Path,
    out: Path,
    trials: Sequence[str] = (),
    runtime: str = "onnxruntime",
    precision: str | None = None,
    resamples: int = 0,
    engine: str = "local",
    workers: int | None = None,
) -> str:
    """Measures detectors and writes predictions and tables.

    Args:
        models: bundles (path or name), peers (``ADAPTER:FILE``), checkpoints (``float:FILE.pt``).
        sets: folder that holds the labelled sets.
        out: receives predictions, ``table.md``, ``table.json``; with ``resamples`` also ``intervals.md`` and ``.json``.
        trials: each ``SET@WxH`` or ``SET@WxH+90``; those of the documentation if there are none.
        runtime, precision: of bundles.
        resamples: draws of the bootstrap; 0 for no intervals.
        engine, workers: see `quantize.engines.open_engine`.

    Returns:
        The tables as Markdown.

    Raises:
        ValueError: a trial is none, or no set of the trials is there.
    """
    wanted = [Trial.parse(t) for t in trials] or list(VAL)
    here = FolderSets(sets)
    if not any(all(member in here for member in t.members) for t in wanted):
        names = sorted({member for t in wanted for member in t.members})
        raise ValueError(f"--sets must hold labelled sets, but got none of {', '.join(names)} in {sets}")
    opened = None if engine == "local" else open_engine(engine, workers)
    drawn = Resamples(resamples) if resamples else None
    try:
        results = evaluate(
            models, here, out, wanted, runtime=runtime, precision=precision, engine=opened, resamples=drawn
        )
    finally:
        if opened is not None:
            opened.close()
    write_intervals(out, drawn)
    table = markdown(results)
    return f"{table}\n{(out / 'intervals.md').read_text()}" if drawn is not None else table
