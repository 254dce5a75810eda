"""The budget of step ``evaluate``: what int8 may lose against its own float network on labelled sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quantize.compress.figures import LEAST_FACES
from quantize.config import BudgetOptions
from quantize.models.turned import TURNED

LOSSES: tuple[tuple[str, str, str, Callable[[float, float], float]], ...] = (
    ("ap", "ap_ge16", "n_ge16", lambda int8, full: full - int8),
    ("ap", "ap_ge32", "n_ge32", lambda int8, full: full - int8),
    ("ap", "ap_ge64", "n_ge64", lambda int8, full: full - int8),
    ("degrees", "pose_mae", "n_pose", lambda int8, full: int8 - full),
    ("nme", "nme5_box", "n5", lambda int8, full: int8 / full - 1),
)
"""Key of a budget, the figure that it is for, over how many faces it is, and what int8 loses to float32 by it."""


def over_budget(results: Sequence[dict[str, Any]], name: str, budget: BudgetOptions) -> list[str]:
    """Where the int8 network of bundle ``name`` loses more than ``budget`` against ``name-float32``, a sentence each.

    Turned photos and figures over fewer than 100 faces are measured and not judged.
    """
    broken = []
    for r in results:
        if not r["model"].startswith(f"{name} int8") or r["rule"].startswith(TURNED):
            continue
        for f in results:
            if not f["model"].startswith(f"{name}-float32 ") or (f["set"], f["rule"]) != (r["set"], r["rule"]):
                continue
            for key, figure, faces, lost in LOSSES:
                if r.get(figure) is None or not f.get(figure) or f.get(faces, 0) < LEAST_FACES:
                    continue
                loss, most = lost(r[figure], f[figure]), getattr(budget, key)
                if loss > most:
                    where = f"{figure} on {r['set']}, {r['rule']}"
                    broken.append(f"{where} must lose at most {most:g}, but got {loss:.4g}")
    return broken
