"""Processor time of a training step per view, by its parts, with the compiled batch norm and without it, in turns.

python benchmarks/training_step.py [--architecture edgeface-s] [--side 256] [--batch 12] [--rounds 9]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from quantize.config import OptimizerOptions
from quantize.models import build_student
from quantize.train import precision
from quantize.train.optimizers import optimizers_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="edgeface-s")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.rand(options.batch, 3, options.side, options.side).contiguous(memory_format=torch.channels_last)
    steps = {"PyTorch's batch norm": _step(options.architecture, x, False)}
    steps["compiled batch norm"] = _step(options.architecture, x, True)
    taken: dict[str, list[list[float]]] = {name: [] for name in steps}
    for _ in range(options.rounds + 1):
        for name, step in steps.items():
            taken[name].append(step())
    medians = {k: [statistics.median(part) for part in zip(*v[1:], strict=True)] for k, v in taken.items()}
    print(
        f"{options.architecture}, {options.batch} views of {options.side} px, ms a view: forward, backward, optimizer"
    )
    for name, parts in medians.items():
        print(f"{name:22}", *(f"{1e3 * t / options.batch:6.2f}" for t in parts))
    totals = [sum(parts) for parts in medians.values()]
    print(f"ratio of the sums: {totals[1] / totals[0]:.2f}")


def _step(architecture: str, x: torch.Tensor, compiled: bool) -> Callable[[], list[float]]:
    """A function that makes one step and returns the seconds of processor time of its parts."""
    model: Any = build_student(architecture).train().to(memory_format=torch.channels_last)
    with mock.patch.object(precision, "compiled", precision.compiled if compiled else lambda: None):
        precision.prefer_bfloat16(model)
    optimizers = optimizers_of(model, torch.nn.Module(), OptimizerOptions())

    def step() -> list[float]:
        times = [time.process_time()]
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(x)
        loss = sum(o.float().square().mean() for o in outputs)
        times.append(time.process_time())
        loss.backward()
        times.append(time.process_time())
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        times.append(time.process_time())
        return [b - a for a, b in itertools.pairwise(times)]

    return step


if __name__ == "__main__":
    main()
