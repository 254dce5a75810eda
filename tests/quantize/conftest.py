"""One thread: the networks are small, and two threads that wait for each other on a busy machine take ten times as
long. And what several files need: an untrained network, photos, a run that has been through the back half.
Drawn photos: ``from synthetic import write_set``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantize  # noqa: F401 - finds the core of the installed edgeface for tests that import edgeface alone

sys.path.insert(0, str(Path(__file__).parent))

with contextlib.suppress(ImportError):
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> Any:
    """An untrained student, half of whose cells say that there is a face."""
    from quantize.models import build_student, fuse

    torch.manual_seed(0)
    student = build_student("edgeface-n")
    with torch.no_grad():
        for head in student.heads:
            head.weight.mul_(8)
            head.bias[0] = 0
    return fuse(student)


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3)).astype(np.uint8)


RECIPE = """
name = "edgeface-smoke"
seed = 3
run = "{root}/run"
[[data.sets]]
name = "drawn"
reader = "jsonl"
path = "{root}/train/drawn"
origin = "drawn by tests/quantize/synthetic.py"
[[data.sets]]
name = "empty"
reader = "jsonl"
path = "{root}/train/empty"
use = "negatives"
terms = "public domain"
[data]
dev_share = 0.25
[model]
architecture = "edgeface-n"
[[train.phases]]
views = 100
size = [64]
batch = [4]
[compress]
grids = 3
stem_percentile = 100 # nothing is cut off: the float bundle is the checkpoint
photos = 4
photo_size = [96, 64]
large_photo_size = [128, 96]
large_photos = 2
control_photos = 4
[export]
sizes = [[96, 80], [128, 96]]
tflite = false
[evaluate]
sets = "{root}/val"
ledger = "{root}/ledger.jsonl"
resamples = 20
trials = [
  {{set = "wider", size = [128, 96]}}, {{set = "wider+wider2", size = [128, 96]}},
  {{set = "wider+wider2:crowd", size = [128, 96]}}, {{set = "background", size = [96, 80], turn = 90}},
  {{set = "afw", size = [128, 96]}},
]
"""


def _synthetic() -> Any:
    spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parent / "synthetic.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def back_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos, and a recipe ``c.toml`` over them."""
    folder = tmp_path_factory.mktemp("back")
    synthetic = _synthetic()
    synthetic.write_set(folder / "train" / "drawn", 8, 1)
    synthetic.write_set(folder / "train" / "empty", 4, 5, faces=0)
    synthetic.write_set(folder / "val" / "wider", 3, 2, faces=2)
    synthetic.write_set(folder / "val" / "wider2", 2, 4, faces=8, size=(320, 80))
    synthetic.write_set(folder / "val" / "background", 2, 3, faces=0)
    (folder / "c.toml").write_text(RECIPE.format(root=folder))
    return folder


@pytest.fixture(scope="session")
def finished(back_root: Path) -> Any:
    """A `quantize.run.Run` after compress, export, evaluate and package; its float weights are untrained."""
    from quantize.compress.step import compress
    from quantize.config import load_recipe
    from quantize.data.step import data
    from quantize.evaluate.step import evaluate
    from quantize.export.step import export
    from quantize.models import build_student, checkpoint_of
    from quantize.package.step import package
    from quantize.run import Run

    run = Run(load_recipe(back_root / "c.toml"))
    data(run)
    torch.manual_seed(0)
    student = build_student("edgeface-n")
    with torch.no_grad():
        for head in student.heads:
            head.weight.mul_(8)
            head.bias[0] = 0
    run.path("train").mkdir()
    torch.save(checkpoint_of(student), run.path("train", "ema.pt"))
    for step in (compress, export, evaluate, package):
        step(run)
    return run
