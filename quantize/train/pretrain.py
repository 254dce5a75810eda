"""Step ``pretrain``: the backbone learns from photos without labels (SparK) before step ``train``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from quantize.data.pack import PackedPhotos
from quantize.files import replacing
from quantize.models import Student, build_student, checkpoint_of
from quantize.run import Run, bar, perform
from quantize.train.loader import ViewBatches, loader
from quantize.train.loop import LOG_EVERY, QUALITY_WEIGHT, learning_rate, pick_device
from quantize.train.methods.spark import PATCH, SparK, random_mask
from quantize.train.precision import has_bfloat16, prefer_bfloat16
from quantize.train.sampling import photo_chances


def pretrain(run: Run) -> dict[str, Any]:
    """Masked pre-training; writes ``backbone.pt``, with which `train` begins. Does nothing where ``pretrain.views`` is
    0.
    """
    if not run.recipe.pretrain.views:
        return {"views": 0}
    inputs = [run.need("label", "pack/samples.jsonl")]
    return perform(run, "pretrain", _pretrain, inputs, ["data", "model", "pretrain"])


def _pretrain(run: Run, folder: Path) -> dict[str, Any]:
    recipe, options = run.recipe, run.recipe.pretrain
    device = pick_device(run.device)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.train.threads)
    student: Student = build_student(recipe.model.architecture)
    method = SparK(student).train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = recipe.train.precision != "float32" and has_bfloat16(device)
    if half:
        prefer_bfloat16(student)
    optimizer = torch.optim.AdamW(method.parameters(), options.lr, weight_decay=0.05, betas=(0.9, 0.95))
    packed = run.path("label", "pack")
    steps = -(-options.views // options.batch)
    first = 0
    last = folder / "last.pt"
    if last.is_file():
        state = torch.load(last, map_location=device, weights_only=True)
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    data = ViewBatches(
        packed,
        recipe.train.augment,
        photo_chances(PackedPhotos(packed).samples, recipe.data, QUALITY_WEIGHT),
        recipe.seed,
        [(options.size, options.batch)],
        range(first, steps),
        pose_quantile=recipe.label.pose_quantile,
    )
    cells = options.size // PATCH
    done = first
    saved, sums = time.monotonic(), 0.0

    def save() -> None:
        with replacing(last) as part:
            torch.save({"method": method.state_dict(), "optimizer": optimizer.state_dict(), "step": done}, part)

    with bar("pretrain", lambda: done, steps):
        for pixels, _ in loader(data, recipe.train.loader_workers):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(done, steps, options.lr, min(200, steps // 10 + 1), 0.01)
            x = ((pixels.to(device).float() - 128) / 128).contiguous(memory_format=torch.channels_last)
            seed = torch.Generator().manual_seed(recipe.seed * 1_000_003 + done)
            mask = random_mask(len(x), cells, cells, options.mask, seed).to(device)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = method(x, mask)
            loss.backward()
            if torch.isfinite(torch.nn.utils.clip_grad_norm_(method.parameters(), 5.0)):
                optimizer.step()
            done += 1
            sums += float(loss.detach())
            if done % LOG_EVERY == 0:
                with (folder / "log.jsonl").open("a") as f:
                    f.write(json.dumps({"step": done, "loss": round(sums / LOG_EVERY, 4)}) + "\n")
                sums = 0.0
            if time.monotonic() - saved > recipe.train.checkpoint_minutes * 60:
                save()
                saved = time.monotonic()
    save()
    with replacing(folder / "backbone.pt") as part:
        torch.save(checkpoint_of(student), part)
    return {"checkpoint": str(folder / "backbone.pt"), "views": steps * options.batch}
