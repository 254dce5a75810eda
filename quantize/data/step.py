"""Step ``data``: the sets of a recipe become one list of samples for training and one for decisions (dev)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantize.data.readers import read_set
from quantize.data.sample import Sample, write_samples
from quantize.data.splits import split
from quantize.run import Run, StepError, console, perform

SHOWN = 3
"""Messages of skipped files that are printed for each set."""


def data(run: Run) -> dict[str, Any]:
    """Reads every set; what cannot be read is written to ``skipped.txt`` and counted.

    Raises:
        StepError: there are no photos, or none of them has a face and no teacher is asked.
    """
    return perform(run, "data", _data, [s.path for s in run.recipe.data.sets], ["data", "label"])


def _data(run: Run, folder: Path) -> dict[str, Any]:
    samples: list[Sample] = []
    skipped: list[str] = []
    for options in run.recipe.data.sets:
        if options.optional and not options.path.exists():
            console.print(f"  {options.name}: left out, no {options.path}", highlight=False, markup=False)
            continue
        found, bad = read_set(options.reader, options.path, options.name)
        if options.without is not None:
            there = {s.path.stem for s in samples if s.source == options.without}
            found = [s for s in found if s.path.stem not in there]
        faces = sum(len(s.faces) for s in found)
        console.print(f"  {options.name}: {len(found)} photos, {faces} faces, {len(bad)} skipped", highlight=False)
        for message in bad[:SHOWN]:
            console.print(f"    {message}", highlight=False, markup=False, soft_wrap=True)
        if len(bad) > SHOWN:
            console.print(f"    … {len(bad) - SHOWN} more in {folder / 'skipped.txt'}", highlight=False)
        samples += found
        skipped += bad
    (folder / "skipped.txt").write_text("".join(f"{s}\n" for s in skipped))
    faces = sum(len(s.faces) for s in samples)
    if not samples:
        raise StepError(
            f"data.sets must hold photos, but all were skipped; the first: {skipped[0]} (all: {folder / 'skipped.txt'})"
            if skipped
            else "data.sets must hold photos, but the folders have none"
        )
    if not faces and run.recipe.label.teachers is None:
        raise StepError(
            "data.sets must hold labelled faces where no teacher is asked, but got none: "
            "name a reader that reads your labels, or a folder of teachers in label.teachers"
        )
    if len(samples) < 2:
        raise StepError("data.sets must hold two photos or more, one to train on and one to measure on, but got 1")
    unlabelled = {s.name for s in run.recipe.data.sets if s.use == "unlabelled"}
    measurable = [s for s in samples if s.source not in unlabelled] or samples  # no figure counts teachers' labels
    train, dev = split(measurable, run.recipe.data.dev_share, run.recipe.seed)
    train += [s for s in samples if s.source in unlabelled and measurable is not samples]
    write_samples(folder / "samples.jsonl", train)
    write_samples(folder / "dev.jsonl", dev)
    return {"photos": len(train), "dev": len(dev), "faces": faces, "skipped": len(skipped)}
