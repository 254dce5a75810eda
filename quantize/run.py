"""A run: its folder, which steps are done, and what they leave behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from quantize.config import Recipe
from quantize.doctor import check_places, missing
from quantize.files import replacing
from quantize.progress import console as console


class StepError(RuntimeError):
    """A step cannot start, or what it made may not be used; says what to do."""


@dataclass(frozen=True)
class Run:
    """A recipe at work: ``engine`` and ``workers`` say where photos are worked on, ``device`` where training is."""

    recipe: Recipe
    engine: str = "local"
    workers: int | None = None
    device: str = "auto"
    again: bool = False

    def __post_init__(self) -> None:
        check_places(self.engine, self.device)

    @property
    def folder(self) -> Path:
        return self.recipe.run

    def path(self, step: str, name: str = "") -> Path:
        return self.folder / step / name

    def need(self, step: str, name: str) -> Path:
        """A file that an earlier step wrote. Raises StepError where it is missing."""
        path = self.path(step, name)
        if not path.exists():
            raise StepError(f"{path} must be there, but is not: run step `{step}` first")
        return path


Work = Callable[[Run, Path], dict[str, Any]]


def perform(run: Run, step: str, work: Work, inputs: Sequence[Path], tables: Sequence[str]) -> dict[str, Any]:
    """Does one step unless it is done: the same ``tables`` of the recipe and the same content of ``inputs`` as when it
    last ended.

    Writes ``recipe.json`` before the work, and ``done.json`` after it; ``steps.jsonl`` of the run gets a line.

    Raises:
        StepError: `quantize.doctor` misses something that the step needs.
    """
    folder = run.path(step)
    folder.mkdir(parents=True, exist_ok=True)
    everything = run.recipe.model_dump(mode="json")
    key = digest(
        [json.dumps({k: everything[k] for k in ("name", "seed", *tables)}, sort_keys=True), *(map(content, inputs))]
    )
    done = folder / "done.json"
    if not run.again and done.is_file() and (before := json.loads(done.read_text()))["key"] == key:
        console.print(f"{step}: done before in {folder} (--again does it again)", highlight=False)
        result: dict[str, Any] = before["result"]
        return result
    if lacks := missing(run.recipe, step, run.engine, run.device):
        raise StepError("\n".join(f"{step} needs {lack}" for lack in lacks))
    if os.environ.get("RANK", "0") != "0":  # torchrun's other processes only work; the first one keeps the books
        return work(run, folder)
    (folder / "recipe.json").write_text(json.dumps(everything, indent=1, ensure_ascii=False))
    started = time.time()
    console.print(f"{step}: {folder}", highlight=False)
    done.unlink(missing_ok=True)  # should this one fail, no later step may take an earlier result for its own
    result = work(run, folder)
    record = {"step": step, "seconds": round(time.time() - started, 1), **result}
    with (run.folder / "steps.jsonl").open("a") as f:
        f.write(json.dumps(record, ensure_ascii=False) + "\n")
    with replacing(done) as part:
        part.write_text(json.dumps({"key": key, "result": result}, indent=1, ensure_ascii=False))
    console.print(f"{step}: {', '.join(f'{k} {v}' for k, v in record.items() if k != 'step')}", highlight=False)
    return result


def digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def content(path: Path) -> str:
    """A file's own hash; of a folder, names, sizes and times of its files: labels may change and keep their size."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = ((p, p.stat()) for p in sorted(path.rglob("*")) if p.is_file())
    return json.dumps([(str(p.relative_to(path)), s.st_size, s.st_mtime_ns) for p, s in files])


@contextlib.contextmanager
def bar(what: str, done: Callable[[], int], total: int) -> Iterator[None]:
    """A progress bar with the remaining time that asks how far the work is, twice a second."""
    over = threading.Event()
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total)

        def watch() -> None:
            while not over.wait(0.5):
                progress.update(task, completed=done())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            progress.update(task, completed=done())
