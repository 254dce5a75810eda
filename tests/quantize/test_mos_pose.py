"""MOS's pose loss: by hand; in training, resumed and on two processes; and gone from the network."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted import cut_off
from synthetic import write_set

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed")

from edgeface.angles import angles_to_rotation, rotation_to_angles  # noqa: E402
from quantize.config import LossOptions, Recipe, RecipeError, checked  # noqa: E402
from quantize.data.step import data  # noqa: E402
from quantize.label.step import label  # noqa: E402
from quantize.models import build_student, load_student  # noqa: E402
from quantize.run import Run  # noqa: E402
from quantize.train.loop import Trainer  # noqa: E402
from quantize.train.losses import Batch, Losses  # noqa: E402
from quantize.train.methods.mos_pose import ALPHA, PoseBins, angles, expectation, pose_loss  # noqa: E402

ROOT = Path(__file__).parents[2]


def test_angles_are_those_of_the_sdk() -> None:
    rng = np.random.default_rng(0)
    told = rng.uniform(-180, 180, (500, 3))
    told[:6] = [[0, 0, 0], [30, -20, 10], [110, 5, -3], [-120, 0, 0], [0, 0, 178], [60, 80, -90]]
    rotation = angles_to_rotation(told)
    got = angles(torch.from_numpy(rotation)).numpy()
    np.testing.assert_allclose(got, rotation_to_angles(rotation), atol=1e-6)
    np.testing.assert_allclose(got[1:5], told[1:5], atol=1e-6)
    assert angles(torch.full((1, 3, 3), float("nan"))).isnan().all()


def bins(*numbers: int) -> Any:
    """Logits that are sure of one bin an angle, (1, 3, 66)."""
    return 60.0 * torch.nn.functional.one_hot(torch.tensor([numbers]), 66).double()


@pytest.mark.parametrize(
    ("degrees", "number", "off"),
    [(0.0, 33, 0.0), (2.9, 33, 2.9), (3.0, 34, 0.0), (-0.1, 32, 2.9), (-98.9, 0, 0.1), (98.9, 65, 2.9)],
)
def test_bins_are_three_degrees_wide_and_a_bin_says_its_lower_edge(degrees: float, number: int, off: float) -> None:
    """Of MOS and Hopenet: angle = expectation · 3 − 99. So the right bin costs what the angle lies above its edge."""
    logits = bins(number, number, number)
    assert expectation(logits)[0, 0].item() == pytest.approx(3 * number - 99)
    told = torch.full((1, 3), degrees).double()
    assert pose_loss(logits, told).item() == pytest.approx(ALPHA * off**2, abs=1e-6)
    wrong = bins((number + 33) % 66, number, number)  # one angle of three: 60 nats, and the bins' distance squared
    apart = expectation(wrong)[0, 0].item() - degrees
    wanted = (60 + ALPHA * apart**2 + 2 * ALPHA * off**2) / 3
    assert pose_loss(wrong, told).item() == pytest.approx(wanted)


def test_knowing_nothing_costs_the_logarithm_of_the_bins() -> None:
    flat = torch.zeros(1, 3, 66).double()
    assert expectation(flat)[0, 0].item() == pytest.approx(-1.5)
    assert pose_loss(flat, torch.full((1, 3), -1.5).double()).item() == pytest.approx(math.log(66))


def test_angles_of_99_degrees_and_more_do_not_count() -> None:
    sure = bins(33, 33, 33)
    assert pose_loss(sure, torch.tensor([[0.0, 99.0, -150.0]]).double()).item() == pytest.approx(0, abs=1e-9)
    flat = torch.zeros(1, 3, 66, dtype=torch.double, requires_grad=True)
    pose_loss(flat, torch.tensor([[99.0, 100.0, -99.0]]).double()).sum().backward()
    assert flat.grad is not None and not flat.grad.any()


def test_gradient() -> None:
    start = torch.randn(2, 3, 66, dtype=torch.double, requires_grad=True)
    told = torch.tensor([[10.0, -20, 30], [80, 120, -98]]).double()
    assert torch.autograd.gradcheck(lambda x: pose_loss(x, told), (start,), eps=1e-6, atol=1e-4)


def test_it_learns_from_positives_with_a_known_rotation_alone() -> None:
    torch.manual_seed(0)
    student = build_student("edgeface-n").train()
    pose = PoseBins(student, 0.5)
    pose.watch(student)
    zero = LossOptions(score=0, box=0, points=0, rotation=0, quality=0)
    losses = Losses(zero, pose=pose)
    box = torch.tensor([[[8.0, 8, 40, 40], [30, 30, 60, 60]]])
    rotation = torch.from_numpy(angles_to_rotation([[[30, 0, 0], [0, 0, 0]]])).float()
    nan = float("nan")
    batch = Batch(
        box,
        torch.full((1, 2, 5, 2), nan),
        rotation,
        torch.full((1, 2), nan),
        torch.ones(1, 2),
        torch.full((1, 2), float("inf")),
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 2, dtype=torch.bool),
        torch.tensor([0]),
    )
    batch.rotation[0, 1] = nan
    total, terms = losses(student(torch.randn(1, 3, 64, 64)), batch)
    assert total.item() == pytest.approx(0.5 * terms["pose"].item())
    total.backward()
    assert student.stem[0][0].weight.grad.abs().max() > 0, "the student learns through its features"
    assert all(h.weight.grad is None or not h.weight.grad.any() for h in student.heads), "its own heads do not"
    batch.rotation[:] = nan
    total, terms = losses(student(torch.randn(1, 3, 64, 64)), batch)
    assert total.item() == terms["pose"].item() == 0


def recipe(root: Path, run: str = "run", **methods: Any) -> Recipe:
    return checked(
        {
            "name": "drawn",
            "run": str(root / run),
            "data": {"sets": [{"name": "drawn", "reader": "jsonl", "path": str(root / "drawn")}], "dev_share": 0.25},
            "model": {"architecture": "edgeface-n"},
            "train": {
                "precision": "float32",
                "checkpoint_minutes": 1e-9,
                "methods": {"mos_pose": 0.3, **methods},
                "phases": [{"views": 12, "size": [64], "batch": [4]}],
            },
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pose")
    write_set(folder / "drawn", 6, 1)
    run = Run(recipe(folder))
    data(run)
    label(run)
    return folder


def test_a_run_goes_on_and_the_network_has_the_weights_that_it_has_without(root: Path) -> None:
    packed = root / "run" / "label" / "pack"
    whole = Trainer(recipe(root), packed, root / "whole", "cpu")
    begun = [p.detach().clone() for p in whole.losses.pose.parameters()]  # type: ignore[union-attr]
    whole.train()
    assert any(not torch.equal(a, b) for a, b in zip(begun, whole.losses.pose.parameters(), strict=True))  # type: ignore[union-attr]

    with cut_off(lambda trainer: trainer.step == 2):
        Trainer(recipe(root), packed, root / "cut", "cpu").train()
    again = Trainer(recipe(root), packed, root / "cut", "cpu")
    assert again.step == 2
    again.train()
    one, two = (torch.load(root / name / "last.pt", weights_only=True) for name in ("whole", "cut"))
    for part in ("model", "ema", "losses"):
        assert all(torch.equal(one[part][k], two[part][k]) for k in one[part]), part
    assert {f"pose.levels.{level}.{name}" for level in range(3) for name in ("weight", "bias")} < set(one["losses"])
    network = load_student(root / "whole" / "ema.pt")
    assert list(network.state_dict()) == list(build_student("edgeface-n").state_dict())
    assert [tuple(o.shape[1:]) for o in network(torch.zeros(1, 3, 64, 64))] == [(22, 8, 8), (22, 4, 4), (22, 2, 2)]


def test_batches_that_processes_cannot_share_are_an_error_and_no_hang(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(RecipeError, match=r"must be multiples of 3, .* but got 4"):
        Trainer(recipe(root), root / "run" / "label" / "pack", root / "three", "cpu")


TWO = """
import sys
from pathlib import Path
import torch, torch.distributed as dist
torch.set_num_threads(1)
from quantize.config import load_recipe
from quantize.train.loop import Trainer
root = Path(sys.argv[1])
trainer = Trainer(load_recipe(root / "two.toml"), root / "run" / "label" / "pack", root / "two", "cpu")
trainer.train()
own = torch.cat([p.detach().flatten() for p in trainer.losses.parameters()])
both = [torch.zeros_like(own) for _ in range(2)]
dist.all_gather(both, own)
assert torch.equal(*both), "both processes have learned the same"
assert trainer.losses.log_variance.abs().max() > 0
(root / f"ended-{trainer.rank}").touch()
dist.destroy_process_group()
"""


def test_two_processes_learn_one_pose_head_and_the_same_task_weights(root: Path) -> None:
    (root / "two.py").write_text(TWO)
    (root / "two.toml").write_text(
        f'name = "drawn"\nrun = "{root}/two"\n[data]\n'
        f'sets = [{{name = "drawn", reader = "jsonl", path = "{root}/drawn"}}]\n'
        '[model]\narchitecture = "edgeface-n"\n[train]\nprecision = "float32"\n'
        "methods = {mos_pose = 0.3, uncertainty = true}\nphases = [{views = 12, size = [64], batch = [4]}]\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29524"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run(
        [*command, str(root / "two.py"), str(root)],
        capture_output=True, text=True, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert all((root / f"ended-{rank}").exists() for rank in range(2))
