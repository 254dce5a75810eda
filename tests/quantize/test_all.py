"""From 20 drawn photos to a bundle in at most three minutes, by the commands of docs/toolchain.md."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_voc
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the toolchain's extra is not installed")
pytest.importorskip("edgeface._core", reason="the core is not built")
pytest.importorskip("quantize.label.ensemble", reason="the teachers' code is not here")
pytest.importorskip("quantize.package.step", reason="the steps behind train are not here")

from quantize.cli import app

SMALL = (
    "train.phases=[{views=80, size=[160], batch=[4]}]",
    "compress.photos=8",
    "compress.large_photos=2",
    "compress.control_photos=8",
    "compress.photo_size=[160, 128]",
    "compress.large_photo_size=[320, 256]",
    "compress.budget={ap=1.0, degrees=180.0, nme=100.0}",
    "export.sizes=[[160, 128]]",
    "evaluate.resamples=20",
    "evaluate.budget={ap=1.0, degrees=180.0, nme=100.0}",
)
SECONDS = 180


def test_twenty_photos_become_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeface import FaceEngine

    write_voc(tmp_path / "photos", 20, seed=1)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Any:
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    started = time.process_time()
    invoke("new", "my-faces", "--photos", "photos", "--labels", "voc")
    settings = [part for s in SMALL for part in ("-s", s)]
    invoke("all", "-c", "my-faces.toml", *settings)
    assert time.process_time() - started < SECONDS, "seconds of processor time, whatever else the machine does"

    run = tmp_path / "runs" / "my-faces"
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == ["data", "label", "train", "compress", "export", "evaluate", "package"]
    (bundle,) = [p for p in (run / "package").glob("*.efm") if "float32" not in p.name]
    with FaceEngine(bundle, min_score=0.3) as engine:
        assert isinstance(len(engine.detect(np.full((240, 320, 3), 90, np.uint8), "bgr")), int)
    invoke("all", "-c", "my-faces.toml", *settings)
    assert len((run / "steps.jsonl").read_text().splitlines()) == len(rows), "nothing is done twice"
