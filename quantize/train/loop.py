"""Step ``train``: the loop. Phases of growing input size, cosine schedule, EMA, checkpoints every few minutes,
resume, DDP under torchrun.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from quantize.config import ConfigError, batches_of, merged, parts_of
from quantize.data.pack import PackedPhotos
from quantize.files import replacing
from quantize.model import Student, build_student, checkpoint_of, fuse, grow, load_student
from quantize.train.distill import DenseTeacher
from quantize.train.echo import Shown, echoed, in_order
from quantize.train.feedback import Feedback
from quantize.train.kd import LandmarkTeachers
from quantize.train.loader import ViewBatches, loader, on_device
from quantize.train.losses import TASKS, Batch, Losses
from quantize.train.mimic import Mimic, silenced
from quantize.train.mine import choose, mine
from quantize.train.mirror import mirrored_answers, mirrored_batch
from quantize.train.optimizers import optimizers_of
from quantize.train.partial import freeze, learn_only
from quantize.train.precision import prefer_bfloat16


class Ema:
    """Exponential moving average of weights and batch-norm statistics; the decay warms up so that early weights are
    forgotten.
    """

    def __init__(self, model: Student, decay: float) -> None:
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


def learning_rate(step: int, total: int, base: float, warmup: int, final: float) -> float:
    """Linear warm-up, then half a cosine down to ``final`` times ``base``."""
    if step < warmup:
        return base * (step + 1) / warmup
    t = (step - warmup) / max(1, total - warmup)
    return base * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(t, 1))))


#: Tables of which a config has all keys or none,
WHOLE = {
    "mine": {"sets", "photos", "sizes", "least"},
    "mimic": {"detector", "hints", "features", "heads", "answers", "alone"},
    "echo": {"times", "batches"},
    "losses": set(TASKS),
}
#: and what they may have besides.
OPTIONAL = {"mimic": {"enlarge", "mirror", "silent", "boxes"}, "echo": {"mirror"}, "losses": {"hit"}}


def _check(config: dict[str, Any]) -> None:
    """Raises ConfigError for half a table, a negative loss, a step without a batch, sizes without theirs, mined windows
    without anything mined, echoes of more than a detector's answers, and rows that decay though others alone learn.
    """
    for name, wanted in WHOLE.items():
        given = set(config.get(name, {})) - OPTIONAL.get(name, set())
        if given and given != wanted:
            raise ConfigError(f"[{name}] must have {', '.join(sorted(wanted))}, but got {', '.join(sorted(given))}")
    if negative := [name for name, weight in config.get("losses", {}).items() if weight < 0]:
        raise ConfigError(f"[losses] must be 0 or more, but got less of {', '.join(negative)}")
    for phase in config["phases"]:
        batches_of(phase)
        parts_of(phase)
    tables = [config.get("views", {}), *(phase.get("views", {}) for phase in config["phases"])]
    if not config.get("mine") and any(t.get("hard") for t in tables):
        raise ConfigError("views.hard needs [mine], but got none")
    whole = [merged(tables[0], t).get("whole", {}) for t in tables]
    if any(w.get("share") and not w.get("weights") for w in whole):
        raise ConfigError("[views.whole] must have weights of the sets that it draws from, but got none")
    if any(config.get("echo", {}).get(name, 1) < 1 for name in WHOLE["echo"]):
        raise ConfigError(f"echo.times and echo.batches must be 1 or more, but got {config['echo']}")
    mimic = config.get("mimic", {})
    more = [name for name in ("hints", "features", "heads") if mimic.get(name)]
    for name, table in (("[echo]", config.get("echo")), ("mimic.silent", mimic.get("silent"))):
        if table and more:
            raise ConfigError(f"{name} goes with answers alone, but got [mimic] with {', '.join(more)}")
    if config.get("only") and config["optimizer"]["weight_decay"]:
        raise ConfigError(f"only needs optimizer.weight_decay = 0, but got {config['optimizer']['weight_decay']}")
    for name in ("mirror", "silent", "boxes"):
        if mimic.get(name) and not mimic["answers"]:
            raise ConfigError(f"mimic.{name} needs mimic.answers, but got {mimic['answers']}")


class Trainer:
    """One run. ``config`` is the parsed TOML (see quantize/configs); ``run`` the folder that receives config, log and
    checkpoints.
    """

    def __init__(self, config: dict[str, Any], packed: Path, run: Path, device: str = "auto") -> None:
        self.config, self.packed, self.run = config, packed, run
        _check(config)
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        self.device = pick_device(device)
        torch.manual_seed(config["seed"])
        torch.set_num_threads(config.get("threads", 1))
        # from the run's own last checkpoint, else from another run's network (the schedule anew), else from noise
        resumed = run / "last.pt"
        model = load_student(Path(config["init"])) if config.get("init") else build_student(config["student"])
        if config.get("depths"):
            grow(model, config["depths"])
        if config.get("fold_norm"):
            fuse(model)  # late in training the statistics stand still; without them a step costs a third less
        if config.get("only"):
            learn_only(model, config["only"])
        if config.get("frozen"):
            freeze(model, config["frozen"])
        self.model = model.train().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.losses = Losses(config["losses"], config.get("uncertainty", False)).to(self.device)
        self.mimic = None
        if config.get("mimic"):
            weights = {name: config["mimic"][name] for name in ("hints", "features", "heads", "answers")}
            weights["boxes"] = config["mimic"].get("boxes", 0.0)
            looks = {name: config["mimic"].get(name, False) for name in ("enlarge", "mirror")}
            self.mimic = Mimic(self.model, Path(config["mimic"]["detector"]), weights, **looks)
            self.mimic.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        helpers = nn.ModuleList([self.losses, *([self.mimic.helpers] if self.mimic else [])])
        self.optimizers = optimizers_of(self.model, helpers, config["optimizer"])
        self.ema = Ema(self.model, config.get("ema", 0.999))
        self.bfloat16 = config.get("precision", "float32") == "bfloat16"
        if self.bfloat16:
            prefer_bfloat16(self.model)
        self.teacher = None
        if config.get("distill"):
            teacher = fuse(load_student(Path(config["distill"]["teacher"]), self.device))
            self.teacher = DenseTeacher(teacher.to(memory_format=torch.channels_last), config["distill"]["weight"])  # type: ignore[call-overload]
        teachers = config.get("landmark_teachers")
        self.landmark_teachers = LandmarkTeachers(teachers, self.device) if teachers else None
        self.step = 0
        self.total = sum(p["steps"] for p in config["phases"])
        run.mkdir(parents=True, exist_ok=True)
        if resumed.is_file():
            self._resume(resumed)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        for optimizer, content in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        self.losses.load_state_dict(state["losses"])
        if self.mimic is not None:
            self.mimic.helpers.load_state_dict(state["adapters"])
        self.step = state["step"]

    def save(self) -> None:
        """``last.pt`` goes on where it stopped; ``ema.pt`` is the network itself, small enough to commit."""
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "updates": self.ema.updates,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "losses": self.losses.state_dict(),
            "adapters": self.mimic.helpers.state_dict() if self.mimic is not None else {},
            "step": self.step,
        }
        small = checkpoint_of(self.ema.model, step=self.step, seed=self.config["seed"])
        for name, content in (("last.pt", state), ("ema.pt", small)):
            with replacing(self.run / name) as part:
                torch.save(content, part)

    def log(self, **values: Any) -> None:
        if self.rank == 0:
            with (self.run / "log.jsonl").open("a") as f:
                f.write(json.dumps({"step": self.step, **values}) + "\n")

    def train(self, validate: Any = None) -> None:
        """Runs to the end of the last phase. ``validate(model) -> dict`` is called at each checkpoint."""
        model: nn.Module = self.mimic or self.model
        if self.world > 1:
            model = nn.parallel.DistributedDataParallel(
                model, device_ids=[self.device.index] if self.device.type == "cuda" else None
            )
        slots, tau = self.config.get("again_slots", 0), self.config.get("stitch_below", 0.0)
        feedback = Feedback(slots) if slots or tau else None
        begin = 0
        saved = time.monotonic()
        for number, phase in enumerate(self.config["phases"]):
            end = begin + phase["steps"]
            if self.step < end:
                hard = self._mined(number) if self.config.get("mine") else None
                parts = parts_of(phase)
                first, count = self.step * parts, (end - self.step) * parts
                order = [(number, 0) for number in range(first, first + count)]
                if echo := self.config.get("echo"):
                    order = echoed(first, count, echo["times"], echo["batches"], self.config["seed"])
                data = ViewBatches(
                    self.packed,
                    merged(self.config["views"], phase.get("views", {})),
                    self.config["seed"],
                    batches_of(phase),
                    list(dict.fromkeys(number for number, _ in order)),
                    self.rank,
                    self.world,
                    feedback,
                    hard,
                )
                batches = in_order(iter(loader(data, self.config.get("workers", 1))), order)
                saved = self._phase(model, batches, phase, end, saved, validate, feedback)
            begin = end
        self.save()
        self.log(**(validate(self.ema.model) if validate and self.rank == 0 else {}), done=True)

    def _mined(self, phase: int) -> NDArray[np.float32]:
        """The hard negatives of a phase, mined at its beginning by all processes together; a resumed run finds them."""
        options = self.config["mine"]
        files = [self.run / f"hard-{phase}-{rank}of{self.world}.npy" for rank in range(self.world)]
        if not files[self.rank].is_file():
            photos = PackedPhotos(self.packed)
            numbers = choose(photos, options["sets"], options["photos"], [self.config["seed"], phase])
            mined = mine(self.ema.model, photos, numbers[self.rank :: self.world], options["sizes"], options["least"])
            with replacing(files[self.rank]) as part, part.open("wb") as f:
                np.save(f, mined)
        if self.world > 1:
            dist.barrier()
        hard: NDArray[np.float32] = np.concatenate([np.load(f) for f in files])
        self.log(hard=len(hard), phase=phase)
        return hard

    def _phase(
        self,
        model: nn.Module,
        batches: Iterator[Shown],
        phase: dict[str, Any],
        end: int,
        saved: float,
        validate: Any,
        feedback: Feedback | None,
    ) -> float:
        optim, t0, seen, steps = self.config["optimizer"], time.monotonic(), 0, 0
        sums: dict[str, Any] = {}
        parts = parts_of(phase)
        model.train()
        while self.step < end:
            lr = learning_rate(self.step, self.total, optim["lr"], optim["warmup"], optim.get("final", 0.01))
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
                for group in optimizer.param_groups:
                    group["lr"] = lr
            for part in range(parts):
                shown = next(batches)
                x, batch, answers = self._as_shown(shown)
                with _alone(model) if part < parts - 1 else contextlib.nullcontext():
                    loss, terms = self._loss(model, x, batch, answers)
                    (loss / parts).backward()
                if feedback is not None:
                    self._give(feedback, batch)
                seen += len(x)
                for k, v in (terms | {"loss": loss.detach()}).items():
                    sums[k] = sums.get(k, 0.0) + v / parts
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.get("clip", 10.0))
            if torch.isfinite(norm):  # one bad batch must not poison the run
                for optimizer in self.optimizers:
                    optimizer.step()
                self.ema.update(self.model)
            self.step += 1
            steps += 1
            if self.step % 50 == 0:
                self.log(
                    lr=lr,
                    size=phase["size"],
                    views_per_s=round(self.world * seen / (time.monotonic() - t0), 1),
                    **{k: round(float(v) / steps, 4) for k, v in sums.items()},
                )
                sums, t0, seen, steps = {}, time.monotonic(), 0, 0
            if time.monotonic() - saved > self.config.get("checkpoint_minutes", 4) * 60:
                self.save()
                if validate and self.rank == 0:
                    self.log(**validate(self.ema.model))
                saved = time.monotonic()
                t0, seen = time.monotonic(), 0  # validation is not training time
        return saved

    def look(self, x: Tensor, batch: Batch) -> Tensor | None:
        """What the detector says of a batch, after its labels have had their say if the config asks for it. None:
        whoever compares asks the detector.
        """
        silent = self.config.get("mimic", {}).get("silent", False)
        if self.mimic is None or not (self.config.get("echo") or silent):
            return None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            answers = self.mimic.look(x)[-1]
        return silenced(answers, batch, *x.shape[2:]) if silent else answers

    def _as_shown(self, shown: Shown) -> tuple[Tensor, Batch, Tensor | None]:
        """A batch on the device, as it is or in a mirror, and what the detector says of it."""
        x, batch = on_device(shown.pixels, shown.targets, self.device)
        x = x.contiguous(memory_format=torch.channels_last)
        answers = self._answers(shown, x, batch)
        if shown.time % 2 and self.config.get("echo", {}).get("mirror"):
            height, width = x.shape[2:]
            x, batch = x.flip(3), mirrored_batch(batch, width)
            answers = None if answers is None else mirrored_answers(answers, height, width)
        return x, batch, answers

    def _answers(self, shown: Shown, x: Tensor, batch: Batch) -> Tensor | None:
        """`look`, worked out once for a batch that comes again."""
        if shown.answers is None:
            answers = self.look(x, batch)
            if answers is None:
                return None
            shown.answers = answers.half().cpu()
        return shown.answers.to(self.device).float()

    def _loss(
        self, model: nn.Module, x: Tensor, batch: Batch, answers: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Of one batch: what is minimised, and its terms for the log."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs, apart = self._outputs(model, x, answers)
            guides = self.landmark_teachers(x) if self.landmark_teachers is not None else None
        loss, terms = self.losses(outputs, batch, guides)
        if self.mimic is not None:
            loss = loss + self.mimic.total(apart)
            terms |= {name: value.detach() for name, value in apart.items()}
        if self.teacher is not None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                distilled = self.teacher(x, outputs)
            loss, terms["distilled"] = loss + distilled, distilled.detach()
        return loss, terms

    def _outputs(
        self, model: nn.Module, x: Tensor, answers: Tensor | None
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The student's outputs, and how far it is from the detector that it mimics if it does."""
        if self.mimic is None:
            return model(x), {}
        self.mimic.attached = self.step >= self.config["mimic"]["alone"]
        outputs, apart = model(x, answers)
        return outputs, apart

    def _give(self, feedback: Feedback, batch: Batch) -> None:
        """Views with a confident false positive come back; too little loss from small faces asks for stitched views."""
        loud = (self.losses.false_positives > self.config.get("again_score", 0.5)) & (batch.number >= 0)
        feedback.show_again(batch.number[loud].tolist())
        tau = self.config.get("stitch_below", 0.0)
        if tau and float(self.losses.small_share) < tau:
            feedback.stitch_next()


def _alone(model: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Gradients stay in this process: those of the last part of a step are exchanged together with theirs."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


def as_tensor(image: Any) -> Tensor:
    """RGB (h, w, 3) uint8 to the network's (1, 3, h, w) float input."""
    return (torch.from_numpy(image).permute(2, 0, 1)[None].float() - 128) / 128
