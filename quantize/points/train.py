"""Step ``train`` of edgeface-points: from packed faces to the network of the moving average.

One process on one core or accelerator. A run goes on from its last checkpoint as if it had not been interrupted.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from quantize.config import flat
from quantize.files import replacing
from quantize.points.config import PointsRecipe, recipe_of
from quantize.points.dev import measure
from quantize.points.losses import Guides, PointsLosses, named
from quantize.points.model import PointsNet, build_points, checkpoint_of_points, load_points
from quantize.points.views import FaceViews, as_input
from quantize.run import Run, StepError, bar, perform
from quantize.train.curves import draw_log
from quantize.train.loop import LOG_EVERY, Ema, learning_rate, pick_device
from quantize.train.optimizers import optimizers_of
from quantize.train.precision import has_bfloat16, prefer_bfloat16

MEASURED = 40_000
"""Views between two measurements on the dev split."""
FREE = ("train.threads", "train.checkpoint_minutes", "train.views")
"""What may change while a run is interrupted; the learning rate follows the new length."""


def train(run: Run) -> dict[str, Any]:
    """Trains the network; an interrupted run goes on.

    Raises:
        StepError: the run was begun by another recipe.
    """
    return perform(run, "train", _train, [run.need("label", "pack/targets.npz")], ["data", "model", "train"])


def _train(run: Run, folder: Path) -> dict[str, Any]:
    recipe = recipe_of(run)
    begin(run)
    trainer = trainer_of(run)
    dev = run.path("label", "dev-pack")
    try:
        with bar("train", lambda: trainer.seen, recipe.train.views):
            trainer.train(lambda model: measure(model, dev))
    finally:
        if (folder / "log.jsonl").is_file():
            draw_log(folder / "log.jsonl", folder)
    return {"checkpoint": str(folder / "ema.pt"), "views": trainer.seen, **measure(trainer.average, dev)}


def trainer_of(run: Run) -> PointsTrainer:
    """The trainer of a run's recipe on its packed faces."""
    return PointsTrainer(recipe_of(run), run.path("label", "pack"), run.path("train"), run.device)


def begin(run: Run) -> None:
    """Writes down what step ``train`` is begun with.

    Raises:
        StepError: ``last.pt`` was begun by another recipe; ``--again`` takes it away.
    """
    folder = run.path("train")
    folder.mkdir(parents=True, exist_ok=True)
    said = recipe_of(run).model_dump(mode="json")
    wanted = {k: v for k, v in flat({k: said[k] for k in ("seed", "model", "train")}).items() if k not in FREE}
    begun = folder / "begun.json"
    if run.again:
        for name in ("last.pt", "log.jsonl"):
            (folder / name).unlink(missing_ok=True)
    elif (folder / "last.pt").is_file() and begun.is_file():
        before = {k: v for k, v in json.loads(begun.read_text()).items() if k not in FREE}
        if other := sorted(k for k in wanted.keys() | before.keys() if wanted.get(k) != before.get(k)):
            raise StepError(
                f"{folder} must have been begun by the same recipe, but {', '.join(other[:5])} changed: "
                "train elsewhere (--run FOLDER), or anew (--again)"
            )
    with replacing(begun) as part:
        part.write_text(json.dumps(wanted, indent=1))


class PointsTrainer:
    """One run.

    Args:
        recipe: what to train, on which views and how long.
        packed: folder of the packed faces (`quantize.points.pack`).
        run: folder that receives log and checkpoints; a run that stands there goes on.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    def __init__(self, recipe: PointsRecipe, packed: Path, run: Path, device: str = "auto") -> None:
        self.recipe, self.options, self.run = recipe, recipe.train, run
        self.device = pick_device(device)
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(self.options.threads)
        model = load_points(recipe.model.init) if recipe.model.init else build_points(recipe.model.architecture)
        self.model: PointsNet = model.train().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.losses = PointsLosses(self.options.losses).to(self.device)
        self.optimizers = optimizers_of(self.model, self.losses, self.options.optimizer)
        self.ema = Ema(self.model, self.options.ema)
        wanted = self.options.precision
        self.bfloat16 = wanted == "bfloat16" or (wanted == "auto" and has_bfloat16(self.device))
        if self.bfloat16:
            prefer_bfloat16(self.model)
        methods = self.options.methods
        self.teachers: tuple[PointsNet, PointsNet] | None = None
        if methods.tolerant_teacher and methods.tough_teacher:
            self.teachers = tuple(
                load_points(p, self.device) for p in (methods.tolerant_teacher, methods.tough_teacher)
            )  # type: ignore[assignment]
        self.views = FaceViews(packed, self.options.augment, methods.points_variance)
        self.step = self.seen = 0
        run.mkdir(parents=True, exist_ok=True)
        if (run / "last.pt").is_file():
            self._resume(run / "last.pt")

    @property
    def average(self) -> PointsNet:
        """The network of the moving average."""
        return cast(PointsNet, self.ema.model)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        for optimizer, content in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        self.step, self.seen = state["step"], state["seen"]

    def save(self) -> None:
        """``last.pt`` goes on where it stopped; ``ema.pt`` is the network itself."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "updates": self.ema.updates,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "seen": self.seen,
        }
        small = checkpoint_of_points(self.average, seen=self.seen, seed=self.recipe.seed)
        for name, content in (("last.pt", state), ("ema.pt", small)):
            with replacing(self.run / name) as part:
                torch.save(content, part)

    def log(self, **values: Any) -> None:
        with (self.run / "log.jsonl").open("a") as f:
            f.write(json.dumps({"step": self.step, "seen": self.seen, **values}) + "\n")

    def train(self, validate: Any = None) -> None:
        """Runs to the last view; ``validate`` is asked for figures now and then and at the end."""
        total, batch, optim = self.options.views, self.options.batch, self.options.optimizer
        saved = started = time.monotonic()
        sums: dict[str, float] = {}
        while self.seen < total:
            lr = learning_rate(self.seen, total, optim.lr, optim.warmup * batch, optim.final)
            terms = self._step(*self.views.batch(self.recipe.seed, self.seen, batch), lr)
            before, self.step, self.seen = self.seen, self.step + 1, self.seen + batch
            for k, v in terms.items():
                sums[k] = sums.get(k, 0.0) + v
            if self.step % LOG_EVERY == 0:
                speed = round(LOG_EVERY * batch / (time.monotonic() - started), 1)
                self.log(lr=lr, views_per_s=speed, **{k: round(v / LOG_EVERY, 4) for k, v in sums.items()})
                sums, started = {}, time.monotonic()
            if time.monotonic() - saved > self.options.checkpoint_minutes * 60:
                self.save()
                saved = time.monotonic()
            if validate and before // MEASURED != self.seen // MEASURED:
                self.log(**validate(self.average))
        self.save()

    def _step(self, pixels: torch.Tensor, batch: Any, lr: float) -> dict[str, float]:
        """One batch; returns its losses."""
        self.model.train()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = lr
        x = as_input(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)
        batch = type(batch)(*(v.to(self.device) for v in vars(batch).values()))
        guides = None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs = self.model(x)
            if self.teachers is not None:
                with torch.no_grad():
                    guides = Guides(*(named(teacher(x))["points"] for teacher in self.teachers))
        loss, terms = self.losses(outputs, batch, guides)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.optimizer.clip)
        if torch.isfinite(norm):  # one bad batch must not poison the run
            for optimizer in self.optimizers:
                optimizer.step()
            self.ema.update(self.model)
        return {"loss": float(loss.detach())} | {name: float(np.float32(value)) for name, value in terms.items()}
