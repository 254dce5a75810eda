"""A layer of a network, as the profilers of all runtimes tell it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One node of a network as the runtime executes it: name, operator, median microseconds."""

    name: str
    operator: str
    microseconds: float
