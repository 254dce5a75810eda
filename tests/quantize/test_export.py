"""Step export: the networks are those that were measured, and lie close together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
pytest.importorskip("edgeface._core", reason="the core is not built")

from edgeface.bundle import Bundle
from quantize.config import load_recipe
from quantize.export.step import export
from quantize.export.tflite import ConverterMissingError, interpreter
from quantize.run import Run, StepError


def test_what_was_measured_is_exported(finished: Run) -> None:
    measured = finished.path("compress", "int8.onnx").read_bytes()
    bundle = Bundle.open(finished.path("export", "edgeface-smoke.efm"))
    model = next(m for m in bundle.manifest.models if m.format == "onnx")
    assert [m.precision for m in bundle.manifest.models if m.format == "ncnn"] == ["int8", "float32"]
    assert bundle.read(model) == measured
    full = Bundle.open(finished.path("export", "edgeface-smoke-float32.efm"))
    assert [m.precision for m in full.manifest.models] == ["float32"]


def test_int8_is_near_float(finished: Run) -> None:
    rows = json.loads(finished.path("export", "parity.json").read_text())
    assert {tuple(r["size"]) for r in rows} == {(96, 80), (128, 96)}
    assert all(r["score"] < 0.5 and r["box"] < 0.5 for r in rows), rows
    assert "| 96x80 | float32 ONNX, int8 ONNX |" in finished.path("export", "parity.md").read_text()


def test_tflite_files_are_made_for_the_sizes_that_are_asked_for(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr("quantize.run.missing", lambda *_: [])  # a converter
    monkeypatch.setattr(
        "quantize.export.step.add_tflite", lambda exported, model, name, images, *_: made.extend(images)
    )
    for step in ("data", "compress"):
        shutil.copytree(finished.path(step), tmp_path / step)
    change = {"tflite": True, "tflite_sizes": [(128, 96)], "ncnn": False}
    options = finished.recipe.export.model_copy(update=change)
    recipe = finished.recipe.model_copy(update={"run": tmp_path, "export": options})
    export(Run(recipe))
    assert made == [(128, 96)]
    assert Bundle.open(tmp_path / "export" / "edgeface-smoke.efm").manifest.sizes == ((96, 80), (128, 96))


def test_what_is_missing_is_named(back_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepError, match="run step `compress` first"):
        export(Run(load_recipe(back_root / "c.toml", [f'run="{tmp_path}/empty"'])))
    monkeypatch.delenv("EDGEFACE_LITERT_PYTHON", raising=False)
    monkeypatch.setattr("quantize.export.tflite._default_folder", lambda: tmp_path / "none")
    with pytest.raises(ConverterMissingError, match="python -m quantize make-litert"):
        interpreter(tmp_path / "no-python")
