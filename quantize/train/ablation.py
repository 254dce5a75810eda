"""Command ``ablate``: what each piece of the recipe brings. One short training a variant, one switch at a time, the
same budget for all.

A variant that has been trained and measured is not done again, so an interrupted table goes on where it stopped.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quantize.config import ConfigError, apply_settings
from quantize.steps import console

FIGURES = {
    "val_ap_ge16": ("AP ≥16 px", 3, 1),
    "val_ap_ge32": ("AP ≥32 px", 3, 1),
    "val_pose_mae": ("pose MAE, °", 2, -1),
    "val_nme5_box": ("points / box", 4, -1),
    "val_fp_per_100": ("false positives per 100", 1, -1),
}
"""Key of `quantize.evaluate.evaluation.validate_float`: heading, digits, and whether more is better."""


def ablate(config: dict[str, Any], packed: Path, folder: Path, device: str = "auto") -> list[dict[str, Any]]:
    """Trains and measures every variant of ``config["ablation"]``.

    Args:
        config: a run's config with a table ``ablation``: ``seeds``; ``variants``, each with ``name`` and ``set``, a
            list of KEY=VALUE as the command line takes them. The first variant is what the others are compared with.
        packed: the packed training photos (step ``label``).
        folder: receives a folder a training, ``table.json`` and ``table.md``.

    Returns:
        One row a variant: ``name``, ``set``, ``seeds`` and the figures, each a list over seeds.

    Raises:
        ConfigError: no variants, or two of one name.
    """
    options = config.get("ablation", {})
    variants = options.get("variants", [])
    names = [v["name"] for v in variants]
    if not variants or len(set(names)) < len(names):
        raise ConfigError(f"[ablation].variants must have names of their own, but got {names}")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for variant in variants:
        figures = [_one(config, variant, seed, packed, folder, device) for seed in options.get("seeds", [1])]
        rows.append(
            {"name": variant["name"], "set": variant.get("set", []), "seeds": options.get("seeds", [1])}
            | {key: [f[key] for f in figures] for key in FIGURES if all(key in f for f in figures)}
        )
        (folder / "table.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False))
        (folder / "table.md").write_text(markdown(rows))
    return rows


def _one(
    config: dict[str, Any], variant: Mapping[str, Any], seed: int, packed: Path, folder: Path, device: str
) -> dict[str, float]:
    from quantize.evaluate.evaluation import validate_float
    from quantize.train.loop import Trainer

    run = folder / f"{re.sub(r'[^a-z0-9]+', '-', variant['name'].lower()).strip('-')}-{seed}"
    wanted = copy.deepcopy(config) | {"seed": seed}
    apply_settings(wanted, variant.get("set", []))
    wanted.pop("ablation")
    key = json.dumps([wanted[k] for k in sorted(wanted)], sort_keys=True)
    done = run / "figures.json"
    if done.is_file():
        before = json.loads(done.read_text())
        if before["key"] == key:
            figures: dict[str, float] = before["figures"]
            return figures
    console.print(f"ablate: {run.name}")
    trainer = Trainer(wanted, packed, run, device)
    trainer.train()
    figures = validate_float(trainer.ema.model, Path(config["evaluate"]["sets"]), background=100)
    done.write_text(json.dumps({"key": key, "figures": figures}, indent=1))
    return figures


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table: each figure of the first row, and of the others their difference to it (means over seeds)."""
    shown = [k for k in FIGURES if k in rows[0]]
    lines = [
        "| variant | " + " | ".join(FIGURES[k][0] for k in shown) + " |",
        "|---" * (len(shown) + 1) + "|",
    ]
    base = {k: float(np.mean(rows[0][k])) for k in shown}
    for row in rows:
        cells = []
        for k in shown:
            _, digits, better = FIGURES[k]
            value = float(np.mean(row[k]))
            if row is rows[0]:
                spread = f" ± {np.ptp(row[k]) / 2:.{digits}f}" if len(row[k]) > 1 else ""
                cells.append(f"{value:.{digits}f}{spread}")
            else:
                cells.append(f"{value - base[k]:+.{digits}f}" + (" better" if (value - base[k]) * better > 0 else ""))
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
