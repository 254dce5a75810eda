"""Step ``export``: ONNX and TFLite files of the same weights, in a bundle, with a report of their parity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from quantize.compress.calibration import choose_filled, choose_photos, load_photos
from quantize.compress.step import scales_of, training_samples
from quantize.export.networks import add_ncnn, add_tflite, export_onnx
from quantize.export.parity import parity, write_parity
from quantize.models import load_student
from quantize.models.bundles import make_manifest, write_bundle
from quantize.run import Run, console, perform


def export(run: Run) -> dict[str, Any]:
    """Draft bundles, int8 and float32, and their parity.

    Returns:
        ``bundle``, its path, and ``bytes``.

    Raises:
        StepError: step ``compress`` is missing.
        ConverterMissingError: TFLite files are asked for, and there is no environment that makes them.
    """
    run.need("compress", "done.json")  # what broke its budget is not exported
    inputs = [run.need("compress", name) for name in ("weights.pt", "float.pt", "int8.onnx")]
    return perform(run, "export", _export, inputs, ["export", "compress"])


def _export(run: Run, folder: Path) -> dict[str, Any]:
    options, name = run.recipe.export, run.recipe.name
    torch.set_num_threads(run.recipe.train.threads)
    weights = run.need("compress", "weights.pt")
    scales = scales_of(torch.load(weights, map_location="cpu", weights_only=True))
    sizes, extra = list(options.sizes), [s for s in options.evaluation_sizes if s not in options.sizes]
    samples, seed = training_samples(run), run.recipe.seed
    chosen = choose_photos(samples, run.recipe.compress.photos, seed)
    kinds = [paths for paths in (chosen, choose_filled(samples, options.filled_photos, seed)) if paths]
    images = {size: [load_photos(paths, size) for paths in kinds] for size in [*sizes, *extra]}
    exported = export_onnx(
        load_student(run.need("compress", "float.pt")), run.need("compress", "int8.onnx"), scales, name, folder
    )
    if options.tflite:
        lite = {size: images[size] for size in [*(options.tflite_sizes or sizes), *extra]}
        console.print(f"  TFLite: {len(lite)} sizes, {sum(map(len, kinds))} photos each", highlight=False)
        covered = options.covered if len(kinds) > 1 else 1.0  # else what large faces say would be cut off
        add_tflite(exported, load_student(weights), name, lite, extra, covered, options.litert_python)
    if options.ncnn:
        add_ncnn(exported, name)
    write_parity(folder, parity(exported, {s: images[s][0] for s in sizes}))
    bundle = folder / f"{name}.efm"
    write_bundle(bundle, make_manifest(name, "0", exported.models, scales, sizes), folder)
    if options.float_bundle:
        full = f"{name}-float32"
        write_bundle(folder / f"{full}.efm", make_manifest(full, "0", exported.float_models, scales, sizes), folder)
    if exported.extra_models:
        everything = make_manifest(name, "0", [*exported.models, *exported.extra_models], scales, [*sizes, *extra])
        write_bundle(folder / f"{name}-evaluation.efm", everything, folder)
    return {"bundle": str(bundle), "bytes": bundle.stat().st_size}
