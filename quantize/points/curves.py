"""Cumulative error distributions as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.points.metrics import FAILURE


def draw_ced(errors: Mapping[str, NDArray[Any]], path: Path, title: str) -> None:
    """One curve a network: the share of faces (missed ones among them) whose error is at most so many percent."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for name, e in errors.items():
        x = np.sort(np.asarray(e, float)[np.isfinite(e)])
        axes.plot(x, np.arange(1, len(x) + 1) / max(len(e), 1), label=name)
    axes.axvline(FAILURE, color="grey", linewidth=0.8)
    axes.set(xlim=(0, 15), ylim=(0, 1), title=title)
    axes.set_xlabel("mean error, % of the outer eye corners' distance")
    axes.set_ylabel("share of faces")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
