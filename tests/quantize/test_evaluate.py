"""Step evaluate: pooled sets and crowds, the dev split alone, the ledger, budgets, resuming and engines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
pytest.importorskip("edgeface._core", reason="the core is not built")

from quantize.compress.control import BudgetError  # noqa: E402
from quantize.config import BudgetOptions, load_recipe  # noqa: E402
from quantize.data.jsonl import read_jsonl  # noqa: E402
from quantize.data.metrics import score_samples  # noqa: E402
from quantize.data.sample import FaceLabel, Sample  # noqa: E402
from quantize.evaluate.budget import over_budget  # noqa: E402
from quantize.evaluate.compare import compare  # noqa: E402
from quantize.evaluate.detectors import DetectorSpec  # noqa: E402
from quantize.evaluate.predict import predict  # noqa: E402
from quantize.evaluate.step import evaluate  # noqa: E402
from quantize.evaluate.tables import markdown  # noqa: E402
from quantize.evaluate.trials import VAL, SplitSets, Trial  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402

ROOT = Path(__file__).parents[2]
INT8 = "edgeface-smoke int8 onnxruntime"


def _copied(root: Path, finished: Run, to: Path, *settings: str) -> Run:
    run = Run(load_recipe(root / "c.toml", [f'run="{to}"', "evaluate.resamples=0", *settings]))
    for step in ("data", "export"):
        shutil.copytree(finished.path(step), run.path(step))
    return run


def test_what_the_default_measures() -> None:
    said = [(t.name, t.size[0], t.turn) for t in VAL]
    assert len(set(said)) == len(said)
    for side in (640, 320):
        assert {(n, side, 0) for n in ("wider", "wider2", "wider+wider2", "wider+wider2:crowd", "aflw2000")} <= set(
            said
        )
    assert {("aflw2000", 320, turn) for turn in (90, 180, 270)} | {("wider", 640, 90)} <= set(said)
    assert {("mask_web", 640, 0), ("afw", 640, 0), ("background", 640, 0), ("people_degraded", 320, 0)} <= set(said)


def test_pooled_sets_and_crowds(finished: Run, back_root: Path) -> None:
    results = json.loads(finished.path("evaluate", "table.json").read_text())
    by_set = {r["set"]: r for r in results if r["model"] == INT8 and "128x96" in r["rule"]}
    one, two = (read_jsonl(back_root / "val" / name)[0] for name in ("wider", "wider2"))
    spec = DetectorSpec(str(finished.path("export", "edgeface-smoke.efm")), (128, 96))
    found = predict(spec, [*one, *two], back_root / "pooled.jsonl")
    for name, samples in (("wider", one), ("wider+wider2", [*one, *two]), ("wider+wider2:crowd", two)):
        wanted = score_samples(samples, found)
        assert by_set[name]["images"] == len(samples)
        assert {k: by_set[name][k] for k in wanted} == wanted
    assert by_set["wider+wider2"]["by_lightness"]
    assert "by_lightness" not in by_set["wider+wider2:crowd"]
    assert "afw" not in by_set  # it is not there
    turned = next(r for r in results if r["set"] == "background" and r["model"] == INT8)
    assert turned["rule"] == "turned 90°, letterbox 96x80"
    dev = {r["set"] for r in results if r["set"].startswith("dev/")}
    assert dev == {"dev/drawn", "dev/empty"}
    rows = json.loads(finished.path("evaluate", "intervals.json").read_text())
    assert {r["model"] for r in rows if r["set"] == "wider"} == {INT8, "edgeface-smoke-float32 float32 onnxruntime"}


def test_each_opening_of_the_held_out_sets_is_a_line(finished: Run, back_root: Path, tmp_path: Path) -> None:
    import hashlib

    (line,) = [json.loads(text) for text in (back_root / "ledger.jsonl").read_text().splitlines()]
    bundle = finished.path("export", "edgeface-smoke.efm")
    assert (line["recipe"], line["sha256"]) == ("edgeface-smoke", hashlib.sha256(bundle.read_bytes()).hexdigest())
    assert line["date"].startswith("20")
    assert not any("dev/" in key for key in line["figures"])
    assert "ap_all" in line["figures"]["int8 onnxruntime, wider, letterbox 128x96"]
    evaluate(finished)  # done before: nothing is opened
    assert len((back_root / "ledger.jsonl").read_text().splitlines()) == 1
    trials = 'evaluate.trials=[{set = "background", size = [96, 80]}]'
    run = _copied(back_root, finished, tmp_path / "run", f'evaluate.ledger="{tmp_path}/l/own.jsonl"', trials)
    (back_root / "val" / "background" / "labels.jsonl").rename(tmp_path / "kept")
    try:  # interrupted at the first photo: it was opened all the same
        (back_root / "val" / "background" / "labels.jsonl").write_text("no label\n")
        with pytest.raises(ValueError, match="must all be readable"):
            evaluate(run)
    finally:
        (tmp_path / "kept").rename(back_root / "val" / "background" / "labels.jsonl")
    assert len((tmp_path / "l" / "own.jsonl").read_text().splitlines()) == 1


def test_the_dev_split_alone(finished: Run, back_root: Path, tmp_path: Path) -> None:
    run = _copied(back_root, finished, tmp_path / "run", f'evaluate.sets="{tmp_path}/none"')
    evaluate(run)
    results = json.loads(run.path("evaluate", "table.json").read_text())
    assert {r["set"] for r in results} == {"dev/drawn", "dev/empty"}
    assert {r["rule"] for r in results} == {"letterbox 640x640", "letterbox 320x320"}
    assert not any("ap_all" in r for r in results if r["set"] == "dev/empty")
    (run.path("data", "dev.jsonl")).write_text("")
    with pytest.raises(StepError, match=r"raise data\.dev_share, or name a folder of labelled sets in evaluate\.sets"):
        evaluate(run)


def test_what_of_the_dev_split_is_measured() -> None:
    face = FaceLabel(np.array([0, 0, 20, 20], np.float32))

    def sample(source: str, complete: bool = True, unknown: float = 0) -> Sample:
        return Sample(Path(f"{source}.jpg"), 99, 99, [face], complete, source, unknown_below=unknown)

    samples = [
        sample("a"),
        sample("b", complete=False),
        sample("c", unknown=16),
        sample("d", complete=False),
        sample("e"),
    ]
    uses = {"a": "detection", "b": "detection", "c": "detection", "d": "landmarks", "e": "unlabelled"}
    assert list(SplitSets(samples, uses).sets) == ["dev/a", "dev/d"]


def test_what_breaks_a_budget_does_not_ship(
    finished: Run, back_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantize.package.step import package

    run = _copied(back_root, finished, tmp_path / "run", f'evaluate.sets="{tmp_path}/none"')
    shutil.copytree(finished.path("compress"), run.path("compress"))
    evaluate(run)
    package(run)
    monkeypatch.setattr("quantize.evaluate.step.over_budget", lambda *_: ["ap_ge16 must lose at most 0.01"])
    with pytest.raises(BudgetError, match="int8 broke its budget"):
        evaluate(Run(run.recipe, again=True))
    with pytest.raises(StepError, match=r"evaluate/done\.json must be there"):
        package(run)


def test_budget_names_what_is_over() -> None:
    counts = {"n_ge16": 100, "n5": 100, "n_pose": 100}
    int8 = {"model": "m int8 onnxruntime", "set": "w", "rule": "r", "ap_ge16": 0.80, "nme5_box": 3.3, "pose_mae": 5.0}
    full = {"model": "m-float32 float32 onnxruntime", "set": "w", "rule": "r", "ap_ge16": 0.82, "nme5_box": 3.0}
    rows = [int8 | counts, full | counts | {"pose_mae": 5.0}]
    broken = over_budget(rows, "m", BudgetOptions())
    assert len(broken) == 2
    assert "ap_ge16 on w, r must lose at most 0.01, but got 0.02" in broken[0]
    assert "| w, r | AP ≥16 px | 0.8 | 0.82 |" in markdown(rows)
    assert len(over_budget(rows, "m", BudgetOptions(ap=0.05))) == 1
    assert over_budget([row | {"rule": "turned 90°, r"} for row in rows], "m", BudgetOptions()) == []
    assert over_budget([row | {"n_ge16": 99, "n5": 99} for row in rows], "m", BudgetOptions()) == []


def test_prediction_goes_on_where_it_stopped(finished: Run, back_root: Path, tmp_path: Path) -> None:
    samples = read_jsonl(back_root / "val" / "wider")[0]
    spec = DetectorSpec(str(finished.path("package", "edgeface-smoke.efm")), (128, 96))
    predict(spec, samples, tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    predict(spec, samples, tmp_path / "cut.jsonl")
    assert (tmp_path / "cut.jsonl").read_text() == "".join(lines)
    samples[1].path = tmp_path / "none.png"
    with pytest.raises(ValueError, match="photo must be a readable picture"):
        predict(spec, samples, tmp_path / "cut.jsonl")


DASK = """
import sys
from pathlib import Path
from quantize.data.jsonl import read_jsonl
from quantize.evaluate.detectors import DetectorSpec
from quantize.engines import open_engine
from quantize.evaluate.predict import predict
if __name__ == "__main__":
    bundle, folder, out = sys.argv[1:]
    engine = open_engine("dask", 2)
    predict(DetectorSpec(bundle, (128, 96)), read_jsonl(Path(folder))[0], Path(out), engine)
    engine.close()
"""


def test_dask_gives_what_one_process_gives(finished: Run, back_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (pip install 'dask[distributed]')")
    (tmp_path / "dask_run.py").write_text(DASK)
    bundle, photos = finished.path("package", "edgeface-smoke.efm"), back_root / "val" / "wider"
    command = [sys.executable, str(tmp_path / "dask_run.py"), str(bundle), str(photos), str(tmp_path / "dask.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    predict(DetectorSpec(str(bundle), (128, 96)), read_jsonl(photos)[0], tmp_path / "local.jsonl")
    assert (tmp_path / "dask.jsonl").read_text() == (tmp_path / "local.jsonl").read_text()


def test_a_checkpoint_is_its_float_bundle(finished: Run, back_root: Path, tmp_path: Path) -> None:
    """With `compare`: the same figures."""
    bundle = finished.path("export", "edgeface-smoke-float32.efm")
    trials = ["wider@128x96", "wider@128x96+90"]
    checkpoint = f"float:{finished.path('train', 'ema.pt')}"
    text = compare([str(bundle), checkpoint], back_root / "val", tmp_path, trials, precision="float32", resamples=20)
    results = json.loads((tmp_path / "table.json").read_text())
    names = ["edgeface-smoke-float32 float32 onnxruntime"] * 2 + ["float train/ema.pt"] * 2
    assert [r["model"] for r in results] == names
    assert results[1]["rule"] == "turned 90°, letterbox 128x96"
    for a, b in zip(results[:2], results[2:], strict=True):
        assert a["ap_all"] == pytest.approx(b["ap_all"], abs=0.01)
    assert len(list((tmp_path / "predictions").iterdir())) == 4
    assert "| wider, letterbox 128x96 | AP all |" in text
    other = tmp_path / "before.efm"
    shutil.copyfile(bundle, other)
    compare([str(bundle), str(other)], back_root / "val", tmp_path, trials[:1])
    assert [r["model"] for r in json.loads((tmp_path / "table.json").read_text())] == [
        names[0],
        f"{names[0]} ({other})",
    ]
    assert not list(tmp_path.glob("intervals.*")), "they were of another table"
    with pytest.raises(ValueError, match="--sets must hold labelled sets, but got none of wider"):
        compare([str(bundle)], tmp_path, tmp_path, trials)


@pytest.mark.parametrize("text", ["wider", "640x640", "wider@640x640+45", "wider@640x640+", "wider@640+90"])
def test_what_is_no_trial_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Trial.parse(text)


def test_parts_of_sets() -> None:
    assert Trial.parse("a+b:crowd@64x32+90") == Trial("a+b:crowd", (64, 32), 90)
    assert Trial("a+b:crowd", (64, 32)).members == ["a", "b"]
    with pytest.raises(ValueError, match="the part of a set must be crowd, but got 'mob'"):
        _ = Trial("a:mob", (64, 32)).members
