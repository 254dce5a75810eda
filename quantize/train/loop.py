"""The training loop: phases of growing input size, cosine schedule, moving average, checkpoints every few minutes.

A run goes on from its last checkpoint as if it had not been interrupted: batch k is always made of the same views.
Under torchrun several processes or devices share each batch's work.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from quantize.config import Recipe, RecipeError
from quantize.data.pack import PackedPhotos
from quantize.files import replacing
from quantize.models import Network, build_student, checkpoint_of, load_student
from quantize.train.hard_negatives import choose, mine
from quantize.train.loader import ViewBatches, loader, on_device
from quantize.train.losses import Batch, Losses
from quantize.train.methods.kd_loss import LandmarkTeachers
from quantize.train.methods.mimic import Detector, Mimic
from quantize.train.methods.mos import Feedback
from quantize.train.methods.mos_pose import PoseBins
from quantize.train.optimizers import optimizers_of
from quantize.train.precision import has_bfloat16, prefer_bfloat16
from quantize.train.sampling import photo_chances

LOG_EVERY = 50
"""Steps between two lines of the log."""
QUALITY_WEIGHT = 1.5
"""How often tiles with a quality target are drawn, beside the weights of sets."""


class Ema:
    """Exponential moving average of weights and batch-norm statistics; the decay warms up so that early weights are
    forgotten.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.model, self.decay, self.updates = copy.deepcopy(model).eval(), decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        means, news = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point), strict=True)
        torch._foreach_lerp_(means, news, 1 - d)  # one kernel for all: an accelerator waits for each
        for a, b in pairs:
            if not a.dtype.is_floating_point:
                a.copy_(b)


def pick_device(wanted: str) -> torch.device:
    """``auto`` takes an accelerator where there is one."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learning_rate(seen: float, total: float, base: float, warmup: float, final: float, decay: float = 1.0) -> float:
    """Linear warm-up over ``warmup`` of ``total``, all of one unit, then ``base``, and half a cosine down to ``final``
    times ``base`` over the last ``decay`` of what follows the warm-up.
    """
    if seen < warmup:
        return base * (seen + 1) / warmup
    fall = max(1, decay * (total - warmup))
    t = min(max(0, seen - (total - fall)) / fall, 1)
    return base * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * t)))


class Trainer:
    """One run of step ``train``.

    Args:
        recipe: what to train, on which views and how long.
        packed: folder of the packed photos (`quantize.data.pack`).
        run: folder that receives log and checkpoints; a run that stands there goes on.
        device: ``auto``, ``cpu``, ``cuda`` …
        init: weights to begin with, of `quantize.train.pretrain` or of a checkpoint; noise by default.

    Raises:
        RecipeError: the processes of ``torchrun`` cannot share a batch evenly.
    """

    def __init__(self, recipe: Recipe, packed: Path, run: Path, device: str = "auto", init: Path | None = None) -> None:
        self.recipe, self.options, self.packed, self.run = recipe, recipe.train, packed, run
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if uneven := sorted({b for phase in self.options.phases for _, b in phase.batches if b % self.world}):
            raise RecipeError(
                f"train.phases.batch must be multiples of {self.world}, the number of processes that share each batch, "
                f"but got {', '.join(map(str, uneven))}"
            )
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        self.device = pick_device(device)
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(self.options.threads)
        begin = recipe.model.init or init
        model = load_student(begin) if begin else build_student(recipe.model.architecture)
        self.model = model.train().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        methods = self.options.methods
        pose = PoseBins(self.model, methods.mos_pose) if methods.mos_pose else None
        mimic = Mimic(self.model, self.options.mimic) if self.options.mimic.detector else None
        self.losses = Losses(self.options.losses, methods.uncertainty, pose, mimic).to(self.device)
        self.optimizers = optimizers_of(self.model, self.losses, self.options.optimizer)
        self.ema = Ema(self.model, self.options.ema)
        if pose is not None:
            pose.watch(self.model)
        if mimic is not None:
            mimic.watch(self.model)
        self.detector = Detector(self.options.mimic.detector) if self.options.mimic.detector else None
        wanted = self.options.precision
        self.bfloat16 = wanted == "bfloat16" or (wanted == "auto" and has_bfloat16(self.device))
        if self.bfloat16:
            prefer_bfloat16(self.model)
        self.teachers = None
        if methods.tough_teacher and methods.tolerant_teacher:
            self.teachers = LandmarkTeachers(methods.tough_teacher, methods.tolerant_teacher, self.device)
        self.chances = photo_chances(PackedPhotos(packed).samples, recipe.data, QUALITY_WEIGHT)
        self.step = self.seen = 0
        run.mkdir(parents=True, exist_ok=True)
        if (run / "last.pt").is_file():
            self._resume(run / "last.pt")

    @property
    def total(self) -> int:
        """Views of the whole schedule, of all processes together."""
        return sum(phase.views for phase in self.options.phases)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        for optimizer, content in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        self.losses.load_state_dict(state["losses"])
        self.step, self.seen = state["step"], state["seen"]

    def save(self) -> None:
        """``last.pt`` goes on where it stopped; ``ema.pt`` is the network itself."""
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "updates": self.ema.updates,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "losses": self.losses.state_dict(),
            "step": self.step,
            "seen": self.seen,
        }
        small = checkpoint_of(self.ema.model, seen=self.seen, seed=self.recipe.seed)
        for name, content in (("last.pt", state), ("ema.pt", small)):
            with replacing(self.run / name) as part:
                torch.save(content, part)

    def log(self, **values: Any) -> None:
        if self.rank == 0:
            with (self.run / "log.jsonl").open("a") as f:
                f.write(json.dumps({"step": self.step, "seen": self.seen, **values}) + "\n")

    def train(self, validate: Callable[[Network], dict[str, float]] | None = None) -> None:
        """Runs to the end of the last phase; ``validate`` is asked at the end of each."""
        model: nn.Module = self.model
        if self.world > 1:
            model = nn.parallel.DistributedDataParallel(
                model, device_ids=[self.device.index] if self.device.type == "cuda" else None
            )
        methods = self.options.methods
        feedback = Feedback(methods.mos_slots) if methods.mos_slots or methods.mos_small else None
        end = 0
        for number, phase in enumerate(self.options.phases):
            end += phase.views
            if self.seen >= end:
                continue
            hard = self._mined(number) if self.options.augment_of(number).hard else None
            data = ViewBatches(
                self.packed,
                self.options.augment_of(number),
                self.chances,
                self.recipe.seed,
                phase.batches,
                range(self.step, self.step + self._steps(number, end - self.seen)),
                self.rank,
                self.world,
                feedback,
                hard,
                methods.points_variance,
                pose_quantile=self.recipe.label.pose_quantile,
            )
            self._phase(model, iter(loader(data, self.options.loader_workers)), end, feedback)
            self.save()
            if validate and self.rank == 0:
                self.log(phase=number, **validate(self.ema.model))

    def _steps(self, phase: int, views: int) -> int:
        """At most so many steps show ``views`` more views."""
        return -(-views // min(batch for _, batch in self.options.phases[phase].batches))

    def _mined(self, phase: int) -> NDArray[np.float32]:
        """The hard negatives of a phase, mined at its beginning by all processes together; a resumed run finds them."""
        options = self.options.hard_negatives
        files = [self.run / f"hard-{phase}-{rank}of{self.world}.npy" for rank in range(self.world)]
        if not files[self.rank].is_file():
            photos = PackedPhotos(self.packed)
            numbers = choose(photos, options.sets, options.photos, [self.recipe.seed, phase])
            mined = mine(self.ema.model, photos, numbers[self.rank :: self.world], options.sizes, options.least)
            with replacing(files[self.rank]) as part, part.open("wb") as f:
                np.save(f, mined)
        if self.world > 1:
            dist.barrier()
        hard: NDArray[np.float32] = np.concatenate([np.load(f) for f in files])
        self.log(hard=len(hard), phase=phase)
        return hard

    def _phase(
        self, model: nn.Module, batches: Iterator[tuple[Tensor, Batch]], end: int, feedback: Feedback | None
    ) -> None:
        optim = self.options.optimizer
        model.train()
        saved = started = time.monotonic()
        sums: dict[str, Any] = {}
        steps = seen = 0
        while self.seen < end:
            pixels, targets = next(batches)
            x, batch = on_device(pixels, targets, self.device)
            views = self.world * len(x)
            lr = learning_rate(self.seen, self.total, optim.lr, optim.warmup * views, optim.final, optim.decay)
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
                for group in optimizer.param_groups:
                    group["lr"] = lr
            x = x.contiguous(memory_format=torch.channels_last)
            loss, terms = self._loss(model, x, batch, lr / optim.lr)
            loss.backward()
            self._average_own()
            if feedback is not None:
                self._give(feedback, batch)
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip)
            if torch.isfinite(norm):  # one bad batch must not poison the run
                for optimizer in self.optimizers:
                    optimizer.step()
                self.ema.update(self.model)
            self.step += 1
            self.seen += views
            steps, seen = steps + 1, seen + views
            for k, v in (terms | {"loss": loss.detach()}).items():
                sums[k] = sums.get(k, 0.0) + v
            if self.step % LOG_EVERY == 0:
                speed = round(seen / (time.monotonic() - started), 1)
                self.log(lr=lr, views_per_s=speed, **{k: round(float(v) / steps, 4) for k, v in sums.items()})
                sums, steps, seen, started = {}, 0, 0, time.monotonic()
            if time.monotonic() - saved > self.options.checkpoint_minutes * 60:
                self.save()
                saved = time.monotonic()

    def _loss(self, model: nn.Module, x: Tensor, batch: Batch, mimicry: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Of one batch: what is minimised, and its terms for the log."""
        look = self.detector(x) if self.detector is not None else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs = model(x)
            guides = self.teachers(x) if self.teachers is not None else None
        loss, terms = self.losses(outputs, batch, guides, look, mimicry)
        return loss, terms

    def _average_own(self) -> None:
        """Gradients of what the losses learn themselves, over all processes: these weights are no part of the network,
        whose gradients PyTorch averages.
        """
        own = [p for p in self.losses.parameters() if p.requires_grad]
        if self.world == 1 or not own:
            return
        every = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in own])
        dist.all_reduce(every)
        for p, mean in zip(own, (every / self.world).split([p.numel() for p in own]), strict=True):
            p.grad = mean.view_as(p)

    def _give(self, feedback: Feedback, batch: Batch) -> None:
        """Views with a confident false positive come back; too little loss from small faces asks for stitched views
        (MOS).
        """
        methods = self.options.methods
        loud = (self.losses.false_positives > methods.mos_score) & (batch.number >= 0)
        feedback.show_again(batch.number[loud].tolist())
        if methods.mos_small and float(self.losses.small_share) < methods.mos_small:
            feedback.stitch_next()
