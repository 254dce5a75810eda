"""Accuracy control: while int8 breaks its budget, layers go back to float, as few as are needed."""

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
    """Quantises, measures, and gives one layer more back to float until nothing is broken or ``most`` are float. Layers
    that turn out not to be needed return to int8: two may help only together, and others came before them.

    Args:
        make: writes the int8 network; the nodes named stay in float.
        measure: what that network loses, by figure.
        judge: a sentence for each loss that is too large.
        worst_first: names of nodes, asked once and only if needed.
        most: layers that may stay in float.

    Returns:
        Nodes that stay in float, and a record of each try. The last try's network is the one that ``make`` left.
    """
    tries: list[dict[str, Any]] = []

    def holds(kept: list[str]) -> bool:
        make(kept)
        loss = measure()
        rounded = {key: round(value, 5) for key, value in loss.items()}
        tries.append({"float_layers": kept, "loss": rounded, "broken": judge(loss)})
        return not tries[-1]["broken"]

    kept: list[str] = []
    if holds(kept) or not most:
        return kept, tries
    order = worst_first()[:most]
    for node in order:
        kept = [*kept, node]
        if holds(kept):
            break
    else:
        return kept, tries
    for node in kept[:-1]:
        fewer = [n for n in kept if n != node]
        if holds(fewer):
            kept = fewer
    if tries[-1]["float_layers"] != kept:
        holds(kept)
    return kept, tries
