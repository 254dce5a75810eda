"""Accuracy control: while int8 breaks its budget, the layer that hurts most goes back to float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quantize.config import BudgetOptions
from quantize.run import StepError


class BudgetError(StepError):
    """Int8 costs more than the recipe allows."""


def broken(budget: BudgetOptions, loss: dict[str, float]) -> list[str]:
    """A sentence for each figure that is over.

    Examples:
        >>> broken(BudgetOptions(ap=0.01), {"ap": 0.02, "degrees": 0.1})
        ['ap must lose at most 0.01, but got 0.02']
    """
    return [
        f"{key} must lose at most {most:g}, but got {loss[key]:.4g}"
        for key, most in budget.model_dump().items()
        if loss.get(key, 0.0) > most
    ]


def control(
    make: Callable[[list[str]], None],
    measure: Callable[[], dict[str, float]],
    judge: Callable[[dict[str, float]], list[str]],
    worst_first: Callable[[], Sequence[str]],
    most: int,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Quantises, measures, and gives one layer more back to float until nothing is broken or ``most`` are float.

    Args:
        make: writes the int8 network; the nodes named stay in float.
        measure: what that network loses, by figure.
        judge: a sentence for each loss that is too large.
        worst_first: names of nodes, asked once and only if needed.
        most: layers that may stay in float.

    Returns:
        Nodes that stay in float, and a record of each try. The last try's network is the one that ``make`` left.
    """
    kept: list[str] = []
    tries: list[dict[str, Any]] = []
    order: Sequence[str] | None = None
    while True:
        make(kept)
        loss = measure()
        wrong = judge(loss)
        rounded = {key: round(value, 5) for key, value in loss.items()}
        tries.append({"float_layers": list(kept), "loss": rounded, "broken": wrong})
        if not wrong or len(kept) >= most:
            return kept, tries
        order = worst_first() if order is None else order
        if len(kept) >= len(order):
            return kept, tries
        kept.append(order[len(kept)])
