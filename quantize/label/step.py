"""Step ``label``: teachers fill in what the photos' own labels leave open, then every photo is packed for training."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import cv2

from quantize.data.mean_face import refine_rotations
from quantize.data.pack import pack, unlike
from quantize.data.sample import Sample, read_samples, write_samples
from quantize.engines import Engine, open_engine
from quantize.label.entropy import drop_doubtful, keep_entropies
from quantize.label.labeller import Labeller, cached
from quantize.label.quality import make_tiles
from quantize.run import Run, perform

QUALITY = "quality"
"""The source of the tiles that quality is learned from."""


def label(run: Run) -> dict[str, Any]:
    """Labels the training photos and those of the dev split. Results are cached by photo, so an interrupted run goes
    on.
    """
    return perform(run, "label", _label, [run.need("data", "samples.jsonl"), run.need("data", "dev.jsonl")], ["label"])


class _Worker:
    """Sample to labelled sample, both as JSON; opens its teachers where it runs."""

    _open: dict[Path, Labeller] = {}  # noqa: RUF012 - one for the whole process is what is wanted

    def __init__(self, teachers: Path, cache: Path, uses: dict[str, str]) -> None:
        self.teachers, self.cache, self.uses = teachers, cache, uses

    def __call__(self, line: str) -> str | None:
        if self.teachers not in self._open:
            cv2.setNumThreads(1)
            self._open[self.teachers] = Labeller(self.teachers)
        sample = Sample.from_json(json.loads(line))
        done = cached(sample, self._open[self.teachers], self.uses[sample.source], self.cache)
        return None if done is None else json.dumps(done.to_json())


def _label(run: Run, folder: Path) -> dict[str, Any]:
    options = run.recipe.label
    samples, dev = read_samples(run.need("data", "samples.jsonl")), read_samples(run.need("data", "dev.jsonl"))
    unreadable = refined = doubtful = 0
    own = {(s.source, s.key): [f.rotation is not None for f in s.faces] for s in samples}
    if options.teachers is not None:
        engine = open_engine(run.engine, run.workers)
        try:
            samples, missing = labelled(run, samples, engine)
            dev, more = labelled(run, dev, engine)
            unreadable = missing + more
            refined = refine_rotations(samples)
            keep_entropies(samples, own)
            believed = copy.deepcopy(samples)
            doubtful = drop_doubtful(believed, options.pose_quantile)
            wanted = [s for s in believed if s.source in options.quality_sets]
            if wanted and options.quality_variants:
                seed, variants = run.recipe.seed, options.quality_variants
                samples += make_tiles(wanted, options.teachers, folder / "tiles", seed, variants, engine=engine)
        finally:
            engine.close()
    broken = {id(s): unlike(s, cv2.imread(str(s.path), cv2.IMREAD_COLOR)) for s in dev}  # they are measured after hours
    write_samples(folder / "samples.jsonl", samples)
    write_samples(folder / "dev.jsonl", [s for s in dev if not broken[id(s)]])
    messages = pack(samples, folder / "pack") + [m for m in broken.values() if m]
    (folder / "skipped.txt").write_text("".join(f"{m}\n" for m in messages))
    return {
        "photos": len(samples),
        "faces": sum(len(s.faces) for s in samples),
        "unreadable": unreadable + len(messages),
        "rotations_from_points": refined,
        "rotations_doubtful": doubtful,
    }


def labelled(run: Run, samples: list[Sample], engine: Engine) -> tuple[list[Sample], int]:
    """The labelled samples, and how many photos could not be read."""
    options = run.recipe.label
    assert options.teachers is not None
    worker = _Worker(options.teachers, options.cache, {s.name: s.use for s in run.recipe.data.sets})
    lines = list(engine.map(worker, [json.dumps(s.to_json()) for s in samples], "label"))
    return [Sample.from_json(json.loads(line)) for line in lines if line is not None], lines.count(None)
