"""Quantisation-aware fine-tuning with NNCF: the trainer's views and losses, from averaged weights, on a folded network.

What comes out is a float checkpoint whose weights lie on the int8 grid that they were tuned for; both exporters then
find the same grid again, so that ONNX and TFLite carry the same weights.
"""

from __future__ import annotations

import copy
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantize.compress.calibration import Images, as_real
from quantize.compress.channel_scales import Scales
from quantize.config import Recipe
from quantize.data.pack import PackedPhotos
from quantize.files import replacing
from quantize.models import STRIDES, Network
from quantize.train.loader import ViewBatches, loader, on_device
from quantize.train.loop import QUALITY_WEIGHT, learning_rate, pick_device
from quantize.train.losses import Batch, Losses
from quantize.train.sampling import photo_chances


def with_fake_quantisers(model: Network, images: Images) -> nn.Module:
    """The folded network with NNCF's fake quantisers, their ranges set from calibration photos (n, h, w, 3) uint8.

    Activations are quantised per tensor (NNCF's own default, per channel for depthwise inputs, keeps ONNX Runtime from
    fusing), weights symmetrically per channel.
    """
    nncf = _nncf()
    from nncf.common.quantization.structs import QuantizationScheme
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        OverflowFix,
        QuantizationParameters,
    )

    activations = QuantizationParameters(per_channel=False, mode=QuantizationScheme.ASYMMETRIC)
    weights = QuantizationParameters(per_channel=True, mode=QuantizationScheme.SYMMETRIC)
    photos = [torch.from_numpy(as_real(i[None])) for i in images]
    quantised: nn.Module = nncf.quantize(
        copy.deepcopy(model).eval(),
        nncf.Dataset(photos),
        subset_size=len(photos),
        fast_bias_correction=True,
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE,  # seven bits in the first layer, for processors that are not the boards'
            activations_quantization_params=activations,
            weights_quantization_params=weights,
        ),
    )
    return quantised


def _nncf() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, at import
        import nncf
    import logging

    nncf.set_log_level(logging.ERROR)
    return nncf


@torch.no_grad()
def baked(quantised: nn.Module, like: Network) -> Network:
    """A plain student with the weights that the fake quantisers of ``quantised`` make of its weights."""
    from nncf.torch.function_hook.hook_storage import decode_hook_name
    from nncf.torch.function_hook.nncf_graph.nncf_graph_builder import build_nncf_graph
    from nncf.torch.function_hook.wrapper import get_hook_storage
    from nncf.torch.model_graph_manager import get_const_node
    from nncf.torch.quantization.layers import BaseQuantizer

    result = copy.deepcopy(like).eval()
    wanted = result.state_dict()
    result.load_state_dict({k: v.detach().cpu() for k, v in quantised.state_dict().items() if k in wanted})
    parameters = dict(result.named_parameters())
    device = next(quantised.parameters()).device
    graph = build_nncf_graph(quantised.eval(), torch.zeros(1, 3, 64, 64, device=device))
    done = 0
    for name, module in get_hook_storage(quantised).named_hooks():
        if not isinstance(module, BaseQuantizer):
            continue
        kind, operation, port = decode_hook_name(name)
        constant = get_const_node(graph.get_node_by_name(operation), port, graph) if kind == "pre_hooks" else None
        if constant is not None:
            weight = parameters[constant.layer_attributes.name]
            grid = module.quantize(weight.to(device), execute_traced_op_as_identity=False)
            # NNCF has a step of -128; the exporters take the largest magnitude for 127 and would miss the grid
            limit = module.scale.abs()
            weight.copy_(torch.minimum(torch.maximum(grid, -limit), limit).cpu())
            done += 1
    convolutions = sum(isinstance(m, nn.Conv2d) for m in result.modules())
    if done != convolutions:
        raise RuntimeError(f"every convolution must have a weight quantiser, but got {done} for {convolutions}")
    return result


class Tuner:
    """One fine-tuning run, resumable from ``folder/qat-last.pt``.

    Args:
        model: folded, its head scaled by ``scales`` (see `quantize.compress.channel_scales.fold_scales`).
        scales: factor of each channel by stride: the losses see the real numbers.
        images: calibration photos.
        recipe: ``compress.qat`` has steps, batch, size, lr, ema; views and losses are those of ``train``.
        packed: what `quantize.data.pack` wrote.
        folder: receives the log and the checkpoint.
    """

    def __init__(
        self,
        model: Network,
        scales: Scales,
        images: Images,
        recipe: Recipe,
        packed: Path,
        folder: Path,
        device: str = "auto",
    ) -> None:
        self.recipe, self.packed, self.folder, self.like = recipe, packed, folder, model
        self.options = recipe.compress.qat
        self.device = pick_device(device)
        torch.manual_seed(recipe.seed)
        self.model = with_fake_quantisers(model, images).to(self.device)
        self.scales = [torch.from_numpy(scales[s])[None, :, None, None].to(self.device) for s in STRIDES]
        self.losses = Losses(recipe.train.losses, False).to(self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=self.options.lr, weight_decay=0.0, betas=(0.9, 0.99))
        self.step = 0
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.path = folder / "qat-last.pt"
        if self.path.is_file():
            state = torch.load(self.path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step = state["average"], state["step"]

    def save(self) -> None:
        """Writes what a later run goes on from."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
        }
        with replacing(self.path) as part:
            torch.save(state, part)

    def train(self) -> Network:
        """Runs to the end and returns the plain student with the averaged weights on their grid."""
        options, total = self.options, self.options.steps
        augment = self.recipe.train.augment.model_copy(update={"hard": 0.0})  # nothing is mined for it
        data = ViewBatches(
            self.packed,
            augment,
            photo_chances(PackedPhotos(self.packed).samples, self.recipe.data, QUALITY_WEIGHT),
            self.recipe.seed + 1,
            [(options.size, options.batch)],
            range(self.step, total),
            pose_quantile=self.recipe.label.pose_quantile,
        )
        self.model.train()
        saved = time.monotonic()
        for pixels, targets in loader(data, self.recipe.train.loader_workers):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.step, total, options.lr, max(1, total // 20), 0.05)
            loss, terms = self._step(*on_device(pixels, targets, self.device))
            self.step += 1
            if self.step % 20 == 0 or self.step == total:
                row = {"step": self.step} | {k: round(v, 4) for k, v in ({"loss": loss} | terms).items()}
                with (self.folder / "qat.jsonl").open("a") as f:
                    f.write(json.dumps(row) + "\n")
            if time.monotonic() - saved > self.recipe.train.checkpoint_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()
        self.model.load_state_dict(self.average)
        return baked(self.model, self.like)

    def _step(self, x: Tensor, batch: Batch) -> tuple[float, dict[str, float]]:
        outputs = tuple(o * s for o, s in zip(self.model(x), self.scales, strict=True))
        loss, terms = self.losses(outputs, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.train.optimizer.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
            self._average()
        return float(loss.detach()), {name: float(value) for name, value in terms.items()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        for k, v in self.model.state_dict().items():
            if v.dtype.is_floating_point:
                self.average[k].lerp_(v, 1 - decay)
            else:
                self.average[k].copy_(v)
