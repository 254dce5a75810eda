"""The students: their layers, architectures and checkpoints."""

from __future__ import annotations

from quantize.models.checkpoints import Network, checkpoint_of, load_student, student_of
from quantize.models.student import (
    BOX,
    CHANNELS,
    LANDMARKS,
    OUTPUTS,
    QUALITY,
    ROTATION,
    SCORE,
    STRIDES,
    Architecture,
    Student,
    fuse,
)

ARCHITECTURES = {
    # counted on ncnn at 320 × 320: 47.4 (int8) / 48.9 / 25.2 million instructions on A53 / A72 / A76
    "edgeface-s": Architecture(
        stem="16/2 32/2",
        stage8="64/2 64",
        stage16="pool 64 64 64",
        stage32="pool 64 64 64",
        branch="pool 120 120",
        neck=64,
    ),
    # 23.4 (int8) / 21.7 / 11.8 million
    "edgeface-n": Architecture(
        stem="8/2 24/2",
        stage8="40/2 40",
        stage16="pool 40 40 40",
        stage32="pool 40 40",
        branch="pool 56 56",
        neck=40,
    ),
    # what a search for a shape at edgeface-n's cost begins with (`quantize.train.search`): its gated layers made wider
    "edgeface-n-wide": Architecture(
        stem="16/2 32/2",
        stage8="64/2 40",
        stage16="pool 64 64 40",
        stage32="pool 64 64",
        branch="pool 96 96",
        neck=40,
    ),
}
"""What recipes name."""


def build_student(name: str) -> Student:
    """A freshly initialised student; ``name`` is a key of `ARCHITECTURES`. Raises ValueError for another.

    Examples:
        >>> import torch
        >>> [tuple(t.shape) for t in build_student("edgeface-n").eval()(torch.zeros(1, 3, 64, 96))]
        [(1, 22, 8, 12), (1, 22, 4, 6), (1, 22, 2, 3)]
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, but got {name!r}")
    return Student(ARCHITECTURES[name])


__all__ = [
    "ARCHITECTURES",
    "BOX",
    "CHANNELS",
    "LANDMARKS",
    "OUTPUTS",
    "QUALITY",
    "ROTATION",
    "SCORE",
    "STRIDES",
    "Architecture",
    "Network",
    "Student",
    "build_student",
    "checkpoint_of",
    "fuse",
    "load_student",
    "student_of",
]
