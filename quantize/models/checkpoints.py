"""Float checkpoints: a network's architecture and its weights in one file, opened without running code."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quantize.models.first_generation import FirstN, FirstS
from quantize.models.student import Architecture, Student, fuse

Network = Student | FirstS | FirstN
FIRST: dict[str, type[FirstS] | type[FirstN]] = {"edgeface-s 0.1.0": FirstS, "edgeface-n 0.1.0": FirstN}


def checkpoint_of(model: Network, **more: Any) -> dict[str, Any]:
    """What `load_student` reads: the architecture, whether batch norm is folded, the weights, and ``more`` to
    remember.
    """
    folded = not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    return {"architecture": _described(model), "folded": folded, "weights": model.state_dict(), **more}


def _described(model: Network) -> dict[str, Any]:
    if isinstance(model, Student):
        return asdict(model.architecture)
    name = next(k for k, v in FIRST.items() if type(model) is v)
    return {"name": name, "bounded": model.bounded}


def student_of(described: dict[str, Any]) -> Network:
    """The network that a checkpoint's ``architecture`` describes. Raises ValueError for another."""
    if "name" in described:
        if described["name"] not in FIRST:
            raise ValueError(f"architecture must be one of {', '.join(FIRST)}, but got {described['name']!r}")
        return FIRST[described["name"]](bool(described.get("bounded")))
    try:
        return Student(Architecture(**described))
    except TypeError as error:
        raise ValueError(f"architecture must have the fields of an Architecture, but got others: {error}") from None


def read_state(path: Path, device: str | torch.device = "cpu") -> Any:
    """What ``torch.save`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another kind of file, or cut off.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"checkpoint must be a whole file of PyTorch's, but got {path}: {why}") from None


def load_student(path: Path, device: str | torch.device = "cpu") -> Network:
    """The network of a checkpoint (``ema.pt`` of a run), for evaluation.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of a student.
    """
    state = read_state(path, device)
    if not isinstance(state, dict) or not {"architecture", "weights"} <= set(state):
        raise ValueError(f"{path} must be a student's checkpoint, but has no architecture and weights")
    model = student_of(state["architecture"]).eval().to(device)
    if state.get("folded"):
        fuse(model)
    model.load_state_dict(state["weights"])
    return model
