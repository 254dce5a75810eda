"""Step ``search``: which of a network's channels are worth what they cost (DASS), before step ``train``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quantize.data.pack import PackedPhotos
from quantize.files import replacing
from quantize.models import build_student, checkpoint_of
from quantize.run import Run, StepError, bar, perform
from quantize.train.loader import ViewBatches, loader, on_device
from quantize.train.loop import LOG_EVERY, QUALITY_WEIGHT, learning_rate, pick_device
from quantize.train.losses import Losses
from quantize.train.methods.dass import LayerCosts, expected_cost, pruned, search_loss, with_gates
from quantize.train.optimizers import optimizers_of
from quantize.train.precision import has_bfloat16, prefer_bfloat16
from quantize.train.sampling import photo_chances

GATES_EVERY = 4
"""Every so many batches the gates learn instead of the weights, on photos of their own."""
SIZE = 320
"""The input that the budget is for."""


def search(run: Run) -> dict[str, Any]:
    """Writes ``architecture.json`` and ``pruned.pt``, with which `train` begins. Does nothing where ``search.views``
    is 0.
    """
    if not run.recipe.search.views:
        return {"views": 0}
    inputs = [run.need("label", "pack/samples.jsonl")]
    return perform(run, "search", _search, inputs, ["data", "label", "model", "search"])


def _costs(run: Run) -> LayerCosts:
    path = run.recipe.search.costs
    if not path.is_file():
        raise StepError(f"search.costs must be a table of `python -m boards.emulate layers`, but there is no {path}")
    return LayerCosts.of(json.loads(path.read_text())["rows"], run.recipe.search.core)


def _search(run: Run, folder: Path) -> dict[str, Any]:
    recipe, options = run.recipe, run.recipe.search
    costs = _costs(run)
    device = pick_device(run.device)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.train.threads)
    student = build_student(recipe.model.architecture)
    gates = nn.ModuleList(g.gates for g in with_gates(student))
    student.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = recipe.train.precision != "float32" and has_bfloat16(device)
    if half:
        prefer_bfloat16(student)
    losses = Losses(recipe.train.losses).to(device)
    for gate in gates.parameters():
        gate.requires_grad_(False)  # the optimizers of the weights leave them alone
    optimizers = optimizers_of(student, losses, recipe.train.optimizer)
    of_gates = torch.optim.Adam(gates.parameters(), options.gate_lr, betas=(0.5, 0.99))
    packed = run.path("label", "pack")
    steps = -(-options.views // options.batch)
    chances = photo_chances(PackedPhotos(packed).samples, recipe.data, QUALITY_WEIGHT)
    apart = torch.rand(len(chances), generator=torch.Generator().manual_seed(recipe.seed)).numpy() < 1 / GATES_EVERY

    def views(which: Any, count: int) -> Any:
        data = ViewBatches(
            packed,
            recipe.train.augment,
            chances * which,
            recipe.seed,
            [(options.size, options.batch)],
            range(count),
            pose_quantile=recipe.label.pose_quantile,
        )
        return iter(loader(data, recipe.train.loader_workers))

    of_weights, held = views(~apart, steps), views(apart, steps // GATES_EVERY + 1)
    done, cost = 0, expected_cost(student, costs, SIZE)
    with bar("search", lambda: done, steps):
        while done < steps:
            turn = done % GATES_EVERY == GATES_EVERY - 1
            for gate in gates.parameters():
                gate.requires_grad_(turn)
            pixels, targets = next(held if turn else of_weights)
            x, batch = on_device(pixels, targets, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                outputs = student(x.contiguous(memory_format=torch.channels_last))
            loss, _ = losses(outputs, batch)
            if turn:
                cost = expected_cost(student, costs, SIZE)
                loss = search_loss(loss, cost, options.budget, options.weight)
            for optimizer in (of_gates, *optimizers):
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            lr = learning_rate(done, steps, options.lr, min(200, steps // 10 + 1), 0.1)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr
            for optimizer in (of_gates,) if turn else optimizers:
                optimizer.step()
            done += 1
            if done % LOG_EVERY == 0:
                row = {"step": done, "loss": round(float(loss.detach()), 4), "cost": float(cost.detach())}
                with (folder / "log.jsonl").open("a") as f:
                    f.write(json.dumps(row) + "\n")
    small = pruned(student)
    with replacing(folder / "pruned.pt") as part:
        torch.save(checkpoint_of(small), part)
    (folder / "architecture.json").write_text(json.dumps(asdict(small.architecture), indent=1))
    return {"checkpoint": str(folder / "pruned.pt"), "cost": float(cost.detach()), "stage8": small.architecture.stage8}
