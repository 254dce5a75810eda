"""Step ``evaluate``: int8, float32 and the peers side by side, on the dev split and on the sets that are held out."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeface.bundle import Bundle
from quantize.compress.control import BudgetError
from quantize.data.sample import read_samples
from quantize.engines import Engine, open_engine
from quantize.evaluate.budget import over_budget
from quantize.evaluate.evaluation import evaluate as measure
from quantize.evaluate.intervals import Resamples
from quantize.evaluate.ledger import record
from quantize.evaluate.tables import write_intervals, write_table
from quantize.evaluate.trials import VAL, FolderSets, Sets, SplitSets, Trial
from quantize.run import Run, StepError, console, perform

FORMATS = {"onnxruntime": "onnx", "litert": "tflite", "ncnn": "ncnn"}
"""Of the network files that a runtime takes."""


def evaluate(run: Run) -> dict[str, Any]:
    """Measures the draft bundles and the peers: on the dev split always, on ``evaluate.sets`` where there are such.

    Returns:
        ``table``, its path, ``rows``, and the ``sha256`` of the bundle that was measured.

    Raises:
        StepError: there is nothing to measure on, or an earlier step is missing.
        BudgetError: int8 loses more than ``evaluate.budget`` allows.
    """
    inputs = [run.need("export", f"{run.recipe.name}.efm"), run.need("data", "dev.jsonl")]
    return perform(run, "evaluate", _evaluate, inputs, ["evaluate", "package"])


def _evaluate(run: Run, folder: Path) -> dict[str, Any]:
    options, name = run.recipe.evaluate, run.recipe.name
    sha256 = hashlib.sha256(run.need("export", f"{name}.efm").read_bytes()).hexdigest()
    dev = SplitSets(read_samples(run.need("data", "dev.jsonl")), {s.name: s.use for s in run.recipe.data.sets})
    val, trials = _held_out(run)
    if not dev.sets and not trials:
        raise StepError(
            "evaluate needs labelled photos, but the dev split has none and no set of evaluate.trials is there: "
            "raise data.dev_share, or name a folder of labelled sets in evaluate.sets"
        )
    resamples = Resamples(options.resamples) if options.resamples else None
    results: list[dict[str, Any]] = []
    with _engine(run) as engine:
        try:
            _measure(run, dev, dev.trials(), folder, engine, results, resamples)
            if val is not None and trials:
                opened = len(results)
                try:
                    _measure(run, val, trials, folder, engine, results, resamples)
                finally:
                    if options.ledger is not None:
                        record(options.ledger, name, sha256, results[opened:])
        finally:
            write_table(folder, results)
    write_intervals(folder, resamples)
    if wrong := over_budget(results, name, options.budget):
        raise BudgetError(f"int8 broke its budget ({'; '.join(wrong)}); see {folder / 'table.md'}")
    return {"table": str(folder / "table.md"), "rows": len(results), "sha256": sha256}


def _held_out(run: Run) -> tuple[FolderSets | None, list[Trial]]:
    """The sets of ``evaluate.sets`` and the trials on those that are there; says which are not."""
    options = run.recipe.evaluate
    if options.sets is None:
        return None, []
    if not options.sets.is_dir():
        console.print(f"  evaluate.sets: {options.sets} is not there; the dev split is measured alone", highlight=False)
        return None, []
    sets = FolderSets(options.sets)
    wanted = [Trial.of(t) for t in options.trials] or list(VAL)
    missing = sorted({m for t in wanted for m in t.members if m not in sets})
    if missing:
        console.print(f"  not in {options.sets}: {', '.join(missing)}", highlight=False)
    return sets, [t for t in wanted if all(m in sets for m in t.members)]


def _measure(
    run: Run,
    sets: Sets,
    trials: Sequence[Trial],
    folder: Path,
    engine: Engine | None,
    results: list[dict[str, Any]],
    resamples: Resamples | None,
) -> None:
    """Adds to ``results`` those of the int8 bundle on every runtime, of the float bundle, and of the peers."""
    options, name = run.recipe.evaluate, run.recipe.name
    full = run.path("export", f"{name}-float32.efm")
    rest = [*([str(full)] if full.is_file() else []), *_peers(options.peers)]
    jobs: list[tuple[list[str], str]] = [([str(_bundle_for(run, r))], r) for r in options.runtimes]
    for specs, runtime in [*jobs, (rest, "onnxruntime")]:
        results += measure(
            specs,
            sets,
            folder,
            _served(Path(specs[0]), runtime, trials) if specs is not rest else trials,
            runtime=runtime,
            min_score=run.recipe.package.min_score,
            engine=engine,
            before=list(results),
            resamples=resamples,
        )


def _peers(specs: Sequence[str]) -> list[str]:
    """Peers whose network file is there; says which are not."""
    there = [spec for spec in specs if Path(spec.partition(":")[2]).is_file()]
    for spec in sorted(set(specs) - set(there)):
        console.print(f"  peer {spec} is left out: there is no such file", highlight=False)
    return there


def _bundle_for(run: Run, runtime: str) -> Path:
    """The draft bundle; for runtimes with fixed sizes the one with further sizes where it was made."""
    name = run.recipe.name
    more = run.path("export", f"{name}-evaluation.efm")
    return more if runtime != "onnxruntime" and more.is_file() else run.need("export", f"{name}.efm")


def _served(bundle: Path, runtime: str, trials: Sequence[Trial]) -> list[Trial]:
    """Trials at a size that the bundle has a network for."""
    opened = Bundle.open(bundle)
    served = [t for t in trials if opened.select((FORMATS[runtime],), t.size) is not None]
    if not served:
        console.print(f"  {runtime} is left out: the bundle has no network for it at these sizes", highlight=False)
    return served


@contextlib.contextmanager
def _engine(run: Run) -> Iterator[Engine | None]:
    """Where photos are worked on; None for this process, where opened detectors are used again."""
    engine = None if run.engine == "local" else open_engine(run.engine, run.workers)
    try:
        yield engine
    finally:
        if engine is not None:
            engine.close()
