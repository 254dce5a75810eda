"""A recipe for photos of one's own, short enough to be read: it fine-tunes edgeface-s."""

from __future__ import annotations

import json
import os
from pathlib import Path

from quantize.config import checked, load_recipe
from quantize.data.readers import read_set
from quantize.run import StepError, console

BASE = Path(__file__).parent / "checkpoints" / "edgeface-s.pt"
LEAST_VIEWS, VIEWS_A_PHOTO, MOST_VIEWS = 6_000, 60, 120_000

RECIPE = """\
# {name}: edgeface-s, fine-tuned on photos of one's own. `python -m quantize show {file}` prints all that can be set.
model = {{architecture = "edgeface-s", init = {init}}}
[data]
dev_share = 0.2  # photos that are kept out of the training and measured on
[[data.sets]]
name = {set}
reader = "{reader}"
path = {path}{use}
origin = "not stated"  # whose photos these are, and what they may be used for: both go into the bundle
terms = "not stated"
{label}[train]
optimizer = {{lr = 3e-4, warmup = 50}}
phases = [{{views = {views}, size = [320, 640], batch = [12, 4]}}]
[export]
tflite = false  # true needs `python -m quantize make-litert`, an environment of 2.1 GB
"""


def write_recipe(name: str, photos: Path, labels: str | None, teachers: Path | None = None) -> str:
    """Writes ``NAME.toml`` into the current folder and says what to do with it.

    Args:
        name: of the network; lower-case letters, digits, dots and dashes.
        photos: folder of photos and labels, or the label file of a format that has one.
        labels: voc, coco, wider, yolo or jsonl; None for photos without labels, whose faces ``teachers`` find.
        teachers: folder of teachers' weights; see `quantize.doctor.TEACHERS`.

    Raises:
        StepError: the recipe is there already; there is no photo that can be used; nobody says where faces are.
        RecipeError: the name cannot be one.
    """
    file = Path(f"{name}.toml")
    phase = {"views": 1, "size": [320], "batch": [1]}
    sets = [{"name": "x", "reader": "folder", "path": "x"}]
    least = {"model": {"architecture": "edgeface-s"}, "train": {"phases": [phase]}, "data": {"sets": sets}, "run": "x"}
    checked(least | {"name": name})
    if file.exists():
        raise StepError(f"{file} must not be there yet, but is: take another name, or remove it")
    if not photos.exists():
        raise StepError(f"--photos must be a folder that is there, but got {photos}")
    if labels is None and teachers is None:
        raise StepError(
            "somebody must say where faces are: --labels names the format of your labels (voc, coco, wider, yolo, "
            "jsonl), "
            "--teachers the folder of networks that find faces in photos without labels"
        )
    reader = labels or "folder"
    samples, skipped = read_set(reader, photos, name)
    faces = sum(not f.ignore for s in samples for f in s.faces)
    for message in skipped[:5]:
        console.print(f"skipped: {message}", highlight=False, markup=False, soft_wrap=True)
    if len(skipped) > 5:
        console.print(f"skipped: {len(skipped) - 5} more; step `data` lists all of them", highlight=False)
    if len(samples) < 2 or (labels is not None and not faces):
        raise StepError(
            f"{photos} must have two photos or more and a labelled face, but as {reader} has {len(samples)} photos and "
            f"{faces} faces ({len(skipped)} skipped)"
        )
    views = min(max(VIEWS_A_PHOTO * len(samples), LEAST_VIEWS), MOST_VIEWS)
    init = Path(os.path.relpath(BASE)) if BASE.is_relative_to(Path.cwd()) else BASE
    text = RECIPE.format(
        name=name, file=file, set=json.dumps(name), reader=reader, path=json.dumps(str(photos), ensure_ascii=False),
        use="" if labels else '\nuse = "unlabelled"', init=json.dumps(str(init), ensure_ascii=False), views=views,
        label=f"[label]\nteachers = {json.dumps(str(teachers), ensure_ascii=False)}\n" if teachers else "",
    )  # fmt: skip
    file.write_text(text)
    load_recipe(file)
    return (
        f"{file}: {len(samples)} photos, {faces} faces, {len(skipped)} skipped\n"
        f"next: python -m quantize doctor -c {file}\n"
        f"      python -m quantize all -c {file}"
    )
