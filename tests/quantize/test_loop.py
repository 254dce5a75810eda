"""Training on drawn photos: a run that was cut goes on to the same weights; two processes; Dask; other recipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interrupted import cut_off
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")
pytest.importorskip("quantize.label.ensemble", reason="the teachers' code or its packages are not here")

from quantize.config import Recipe, checked  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.label.step import label  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402
from quantize.train.loop import Trainer  # noqa: E402
from quantize.train.step import train  # noqa: E402

ROOT = Path(__file__).parents[2]


def recipe(root: Path, run: str = "run", **more: Any) -> Recipe:
    options = {
        "precision": "float32",
        "optimizer": {"lr": 2e-3, "warmup": 2},
        "augment": {"hard": 0.2, "circle_share": 0.2},
        "hard_negatives": {"sets": ["drawn"], "photos": 2, "sizes": [64], "least": 0.0},
        "phases": [{"views": 8, "size": [64], "batch": [4]}, {"views": 12, "size": [64, 96], "batch": [4, 2]}],
    }
    return checked(
        {
            "name": "drawn",
            "run": str(root / run),
            "data": {"sets": [{"name": "drawn", "reader": "jsonl", "path": str(root / "drawn")}], "dev_share": 0.25},
            "model": {"architecture": "edgeface-n"},
            "train": options | more,
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos and a run folder with steps ``data`` and ``label`` done."""
    folder = tmp_path_factory.mktemp("loop")
    write_set(folder / "drawn", 8, 1)
    run = Run(recipe(folder))
    assert data(run)["dev"] == 2
    assert label(run)["photos"] == 6
    return folder


def weights(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    return state["model"] | {f"ema.{k}": v for k, v in state["ema"].items()}


@pytest.mark.parametrize("cut_at", [1, 3])
def test_a_run_that_was_cut_goes_on_as_if_it_had_not(root: Path, cut_at: int) -> None:
    wanted, packed = recipe(root, checkpoint_minutes=1e-9), root / "run" / "label" / "pack"
    whole = Trainer(wanted, packed, root / f"whole-{cut_at}", "cpu")
    whole.train()

    with cut_off(lambda trainer: trainer.step == cut_at):
        Trainer(wanted, packed, root / f"cut-{cut_at}", "cpu").train()
    again = Trainer(wanted, packed, root / f"cut-{cut_at}", "cpu")
    assert again.step == cut_at
    again.train()
    assert (again.step, again.seen) == (whole.step, whole.seen) == (6, 20)
    one, two = weights(root / f"whole-{cut_at}"), weights(root / f"cut-{cut_at}")
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_the_step_draws_curves_and_measures_dev(root: Path) -> None:
    result = train(Run(recipe(root), device="cpu"))
    folder = root / "run" / "train"
    assert result["views"] == 20 and Path(result["checkpoint"]).is_file()
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [r["phase"] for r in rows if "dev_ap_ge32_640" in r] == [0, 1]
    curves = json.loads((folder / "curves.json").read_text())
    assert [seen for _, seen in curves["seen"]][-1] == 20 and (folder / "curves.png").stat().st_size > 1000
    before = (folder / "ema.pt").stat().st_mtime_ns
    train(Run(recipe(root), device="cpu"))
    assert (folder / "ema.pt").stat().st_mtime_ns == before, "done is done"

    # another recipe must not take these weights for its own
    other = recipe(root, optimizer={"lr": 1e-4, "warmup": 2})
    with pytest.raises(StepError, match=r"the same recipe, but train\.optimizer\.lr changed"):
        train(Run(other, device="cpu"))
    assert (folder / "ema.pt").is_file()
    train(Run(other, device="cpu", again=True))
    assert (folder / "before-1" / "ema.pt").stat().st_mtime_ns == before


def test_a_run_without_faces_is_an_error(root: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "drawn", 4, 2, faces=0)
    with pytest.raises(StepError, match="must hold labelled faces where no teacher is asked, but got none"):
        data(Run(recipe(tmp_path)))
    (tmp_path / "drawn" / "labels.jsonl").write_text("{\n")
    with pytest.raises(StepError, match=r"must hold photos, but all were skipped; the first: .*labels.jsonl:1"):
        data(Run(recipe(tmp_path)))


def test_photos_that_cannot_be_read_are_counted_before_hours_of_training(tmp_path: Path) -> None:
    write_set(tmp_path / "drawn", 8, 1)
    run = Run(recipe(tmp_path))
    data(run)
    for path in (tmp_path / "drawn" / "images").iterdir():
        path.write_bytes(b"no photo any more")
    assert label(run)["unreadable"] == 8
    with pytest.raises(StepError, match="none of the labelled photos has one"):
        train(run)


def test_changed_labels_are_read_again(tmp_path: Path) -> None:
    write_set(tmp_path / "drawn", 4, 1)
    run = Run(recipe(tmp_path))
    assert data(run)["faces"] == 4
    labels = tmp_path / "drawn" / "labels.jsonl"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[:3]))
    assert data(run)["faces"] == 3


def test_torchrun_trains_on_two_processes(root: Path) -> None:
    file = root / "two.toml"
    sets = f'[{{name = "drawn", reader = "jsonl", path = "{root}/drawn"}}]'
    file.write_text(
        f'name = "drawn"\nrun = "{root}/two"\n[data]\nsets = {sets}\ndev_share = 0.25\n[model]\n'
        'architecture = "edgeface-n"\n[train]\nprecision = "float32"\n'
        "phases = [{views = 16, size = [64], batch = [4]}]\n"
    )
    (root / "two").mkdir()
    for step in ("data", "label"):
        (root / "two" / step).symlink_to(root / "run" / step, target_is_directory=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29523", "-m"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run(
        [*command, "quantize", "train", "-c", str(file), "--device", "cpu"],
        capture_output=True, text=True, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    state = torch.load(root / "two" / "train" / "last.pt", weights_only=True)
    assert (state["step"], state["seen"]) == (4, 16), "each process saw half of every step"
    assert "destroy_process_group" not in result.stderr


DASK = """
import os, sys
from quantize.engines import open_engine
def work(n):
    return n * n, os.getpid()
if __name__ == "__main__":
    engine = open_engine("dask", 2)
    rows = list(engine.map(work, list(range(150)), "squares"))
    engine.close()
    assert [r[0] for r in rows] == [n * n for n in range(150)]
    assert len({r[1] for r in rows} - {os.getpid()}) == 2
"""


def test_two_dask_workers_share_the_work_and_keep_the_order(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (pip install '.[scale]')")
    (tmp_path / "squares.py").write_text(DASK)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "squares.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
