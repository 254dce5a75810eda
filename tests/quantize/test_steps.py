"""All seven steps on a dozen drawn photos, through the command line; engines, resuming, budgets and errors."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
pytest.importorskip("edgeface._core", reason="the core is not built")

from typer.testing import CliRunner  # noqa: E402

from quantize.cli import app  # noqa: E402
from quantize.evaluate.evaluation import over_budget, predict  # noqa: E402
from quantize.models import STRIDES, STUDENTS, build_student, checkpoint_of, fuse, load_student  # noqa: E402
from quantize.compress.accuracy import Budget, BudgetError  # noqa: E402
from quantize.steps import StepError  # noqa: E402
from quantize.evaluate.tables import markdown  # noqa: E402

ROOT = Path(__file__).parents[2]
synthetic_spec = importlib.util.spec_from_file_location("synthetic", Path(__file__).parent / "synthetic.py")
assert synthetic_spec is not None
assert synthetic_spec.loader is not None
synthetic = importlib.util.module_from_spec(synthetic_spec)
synthetic_spec.loader.exec_module(synthetic)

LITERT = os.environ.get("EDGEFACE_LITERT_PYTHON")
CONFIG = """
student = "n"
name = "edgeface-smoke"
seed = 3
workers = 0
run = "{root}/run"
[optimizer]
muon = true
lr = 2e-3
weight_decay = 0.02
warmup = 2
[losses]
score = 1.0
box = 2.0
points = 8.0
rotation = 2.0
quality = 0.5
[[phases]]
size = 64
batch = 4
steps = 50
[views.weights]
drawn = 1
[data]
sets = [{{name = "drawn", reader = "jsonl", path = "{root}/train/drawn"}}]
[label]
teachers = ""
[quantize]
photos = 6
photo_size = [96, 64]
large_photo_size = [128, 96]
large_photos = 2
control_photos = 4
[quantize.budget]
ap = 1.0
degrees = 180
nme = 100
[export]
sizes = [[96, 80], [128, 96]]
tflite = {tflite}
[evaluate]
sets = "{root}/val"
peers = []
resamples = 20
trials = [{{set = "wider", size = [128, 96]}}, {{set = "background", size = [96, 80]}}]
[evaluate.budget]
ap = 1.0
[package]
lineage = "{checkout}/quantize/configs/lineage.toml"
out = "{root}/models"
cards = "{root}/docs"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    synthetic.write_set(folder / "train" / "drawn", 8, 1)
    synthetic.write_set(folder / "val" / "wider", 4, 2, faces=2)
    synthetic.write_set(folder / "val" / "background", 2, 3, faces=0)
    (folder / "c.toml").write_text(CONFIG.format(root=folder, checkout=ROOT, tflite="true" if LITERT else "false"))
    return folder


def _invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_every_switch_of_the_recipe_at_once(finished: Path, root: Path) -> None:
    """bfloat16, both kinds of distillation, feedback, hidden parts, smoothed points and learned weights in one run."""
    own = finished / "train" / "ema.pt"
    switches = [
        "precision=bfloat16",
        "fold_norm=true",
        f"init={own}",
        f"distill={{teacher = '{own}', weight = 1.0}}",
        f"landmark_teachers={{tough = '{own}', tolerant = '{own}'}}",
        "uncertainty=true",
        "again_slots=2",
        "stitch_below=1.1",  # of every batch the small faces' share is below it
        "views.hide=0.5",
        "views.points_variance=0.9",
        "phases=[{size=64, batch=4, steps=50}]",
    ]
    folder = root / "switches"
    (folder / "label").mkdir(parents=True)
    (folder / "label" / "pack").symlink_to(finished / "label" / "pack")
    options = [x for s in switches for x in ("--set", s)]
    assert _invoke("train", "--config", str(root / "c.toml"), "--folder", str(folder), *options).exit_code == 0
    (row,) = [r for r in map(json.loads, (folder / "train" / "log.jsonl").read_text().splitlines()) if "loss" in r]
    assert np.isfinite([row[k] for k in ("loss", "distilled", "points", "rotation")]).all()
    before, after = (torch.load(p, weights_only=True)["ema"] for p in (own, folder / "train" / "ema.pt"))
    assert any(not torch.equal(after[k], v) for k, v in before.items() if k in after)


@pytest.fixture(scope="module")
def finished(root: Path) -> Path:
    """The run folder after all seven steps."""
    assert _invoke("all", "--config", str(root / "c.toml")).exit_code == 0
    return root / "run"


def test_seven_steps_make_a_bundle_that_runs(finished: Path, root: Path) -> None:
    from edgeface import FaceEngine
    from edgeface.bundle import Bundle

    steps = [json.loads(line)["step"] for line in (finished / "steps.jsonl").read_text().splitlines()]
    assert steps == ["data", "label", "train", "quantize", "export", "evaluate", "package"]
    for name in (
        "train/ema.pt",
        "train/curves.png",
        "quantize/layers.png",
        "quantize/control.json",
        "export/parity.md",
    ):
        assert (finished / name).is_file(), name
    bundle = Bundle.open(root / "models" / "edgeface-smoke.efm")
    assert {t["name"] for t in bundle.manifest.lineage["teachers"]} >= {"YuNet n"}
    assert [r["set"] for r in bundle.manifest.metrics["results"]] == ["wider", "background"]
    card = (root / "docs" / "model-card-edgeface-smoke.md").read_text()
    assert re.search(r"\| wider \| letterbox 128x96 \| AP all \| [\d.e-]+ \([\d.e-]+ to [\d.e-]+\) \|\n", card)
    assert "In brackets: between which values" in card
    rows = json.loads((finished / "evaluate" / "intervals.json").read_text())
    assert {row["model"] for row in rows if row["set"] == "wider"} == {
        "edgeface-smoke int8 onnxruntime",
        "edgeface-smoke-float32 float32 onnxruntime",
    }
    for runtime, needed in (("onnxruntime", True), ("litert", bool(LITERT))):
        if needed:
            with FaceEngine(root / "models" / "edgeface-smoke.efm", runtime=runtime, min_score=0.01) as engine:
                assert engine.info.size == (96, 80)  # stride 32 does not divide it
                engine.detect(np.full((120, 160, 3), 100, np.uint8), "bgr")


def test_int8_is_near_float(finished: Path) -> None:
    rows = json.loads((finished / "export" / "parity.json").read_text())
    assert {tuple(r["size"]) for r in rows} == {(96, 80), (128, 96)}
    assert all(r["score"] < 0.5 and r["box"] < 0.5 for r in rows), rows


def test_a_finished_step_is_not_done_again(finished: Path, root: Path) -> None:
    before = (finished / "steps.jsonl").read_text()
    assert _invoke("quantize", "--config", str(root / "c.toml")).exit_code == 0
    assert (finished / "steps.jsonl").read_text() == before
    assert _invoke("data", "--config", str(root / "c.toml"), "--again").exit_code == 0
    assert len((finished / "steps.jsonl").read_text()) > len(before)


def test_layer_report_covers_every_convolution(finished: Path) -> None:
    rows = json.loads((finished / "quantize" / "layers.json").read_text())
    from quantize.models import build_student

    convolutions = [n for n, m in build_student("n").named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert sorted(r["layer"] for r in rows) == sorted(convolutions)
    assert all(r["weight_db"] > 20 and r["result_db"] is not None for r in rows)


def test_a_broken_budget_fails_the_step(finished: Path, root: Path) -> None:
    with pytest.raises(BudgetError, match="int8 broke its budget"):
        _invoke(
            "quantize", "--config", str(root / "c.toml"), "--again", "--folder", str(_copy(finished, root / "broken")),
            "--set", "quantize.budget.ap=-1.0", "--set", "quantize.most_float_layers=1",
        )  # fmt: skip
    tries = json.loads((root / "broken" / "quantize" / "control.json").read_text())
    assert [len(t["float_layers"]) for t in tries] == [0, 1]


def test_what_broke_a_budget_does_not_ship(finished: Path, root: Path) -> None:
    run = str(_copy(finished, root / "unshippable"))  # it kept its budget in an earlier evaluation
    with pytest.raises(BudgetError, match="int8 broke its budget"):
        _invoke("evaluate", "--config", str(root / "c.toml"), "--folder", run, "--set", "evaluate.budget.ap=-2.0")
    with pytest.raises(StepError, match=r"evaluate/done\.json must be there"):
        _invoke("package", "--config", str(root / "c.toml"), "--folder", run)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <function Pool:pytest.PytestUnraisableExceptionWarning")
def test_quantisation_aware_tuning_resumes(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed")
    monkeypatch.setenv("NNCF_EXTENSION_LOAD_TIMEOUT", "0")
    run = _copy(finished, root / "tuned")
    options = ["quantize", "--config", str(root / "c.toml"), "--folder", str(run), "--set", "quantize.method=qat"]
    options += ["--set", "quantize.compress.qat={steps = 2, batch = 2, size = 64, lr = 1e-4}"]
    assert _invoke(*options).exit_code == 0
    options[-1] = "quantize.compress.qat={steps = 3, batch = 2, size = 64, lr = 1e-4}"
    assert _invoke(*options).exit_code == 0
    log = [json.loads(line)["step"] for line in (run / "quantize" / "qat.jsonl").read_text().splitlines()]
    assert log == [2, 3]  # the second run made one step only
    state = torch.load(run / "quantize" / "weights.pt", weights_only=True)
    weight = state["ema"]["heads.0.weight"].flatten(1)
    for row in weight:  # at most 256 values a channel, evenly apart
        values = row.unique()
        gaps = values.diff()
        assert len(values) == 1 or torch.allclose(gaps / gaps.min(), (gaps / gaps.min()).round(), atol=1e-2)


def test_weights_rounded_together_reach_the_int8_files(finished: Path, root: Path) -> None:
    onnx = pytest.importorskip("onnx")
    run = _copy(finished, root / "rounded")
    options = ["--config", str(root / "c.toml"), "--folder", str(run), "--set", "quantize.method=gptq"]
    for step in ("quantize", "export"):
        assert _invoke(step, *options, "--set", "export.tflite=false").exit_code == 0
    full, rounded = (load_student(run / "quantize" / name) for name in ("float.pt", "weights.pt"))
    files = {name: onnx.load(run / "export" / f"edgeface-smoke-{name}.onnx").graph for name in ("float32", "int8")}
    stored = {name: [onnx.numpy_helper.to_array(t) for t in graph.initializer] for name, graph in files.items()}
    for a, b in zip(full.heads, rounded.heads, strict=True):
        weight, grid = a.weight.detach().numpy(), b.weight.detach().numpy()
        assert any(w.shape == weight.shape and np.allclose(w, weight, atol=1e-6) for w in stored["float32"])
        step = np.abs(grid).max((1, 2, 3), keepdims=True) / 127
        whole = np.rint(grid / step)
        assert np.allclose(grid / step, whole, atol=1e-3)
        assert any(w.dtype == np.int8 and w.shape == whole.shape and np.array_equal(w, whole) for w in stored["int8"])
        assert not np.array_equal(whole, np.rint(weight / step))  # to the nearest it would be another


def test_what_is_set_for_scores_and_boxes_reaches_the_weights(finished: Path, root: Path) -> None:
    run = _copy(finished, root / "moved")
    options = ["--config", str(root / "c.toml"), "--folder", str(run)]
    moved = {
        "score_shift": "-0.5",
        "score_per_octave": "0.25",
        "box_shift": "[[0.1, -0.2], [0, 0], [0, 0.3]]",
        "turned_box_shift": "0.15",
    }
    options += [part for key, value in moved.items() for part in ("--set", f"quantize.{key}={value}")]
    assert _invoke("quantize", *options).exit_code == 0
    weights = torch.load(run / "quantize" / "weights.pt", weights_only=True)
    assert weights["student"]["bounded"]  # by default
    x = torch.zeros(1, 3, 64, 96)  # grey: nothing that the first layer's bound cuts off
    shift = torch.tensor([[0.1, -0.2], [0.0, 0.0], [0.0, 0.3]])
    with torch.no_grad():
        plain, full = load_student(run / "train" / "ema.pt")(x), load_student(run / "quantize" / "float.pt")(x)
    for level, (before, scaled) in enumerate(zip(plain, full, strict=True)):
        stride = STRIDES[level]
        after = scaled * torch.tensor(weights["channel_scale"][str(stride)]).view(1, -1, 1, 1)
        octaves = ((stride * before[:, 4:6].exp()).prod(1).sqrt() / 32).log2()
        assert torch.allclose(after[:, 0], before[:, 0] + 0.25 * octaves - 0.5, atol=1e-3)
        right = before[:, 2] + shift[level][0] + 0.15 * before[:, 18]
        assert torch.allclose(after[:, 2:4], torch.stack([right, before[:, 3] + shift[level][1]], 1), atol=1e-3)
        assert torch.allclose(after[:, 4:], before[:, 4:], atol=1e-3)


DASK = """
import sys
from pathlib import Path
from quantize.data.jsonl import read_jsonl
from quantize.evaluate.detectors import DetectorSpec
from quantize.engines import open_engine
from quantize.evaluate.evaluation import predict
if __name__ == "__main__":
    bundle, folder, out = sys.argv[1:]
    engine = open_engine("dask", 2)
    predict(DetectorSpec(bundle, (128, 96)), read_jsonl(Path(folder))[0], Path(out), engine)
    engine.close()
"""


def test_dask_gives_what_one_process_gives(finished: Path, root: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (pip install 'dask[distributed]')")
    (root / "dask_run.py").write_text(DASK)
    bundle = root / "models" / "edgeface-smoke.efm"
    arguments = [str(bundle), str(root / "val" / "wider"), str(root / "dask.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(root / "dask_run.py"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    from quantize.data.jsonl import read_jsonl
    from quantize.evaluate.detectors import DetectorSpec

    predict(DetectorSpec(str(bundle), (128, 96)), read_jsonl(root / "val" / "wider")[0], root / "local.jsonl")
    assert (root / "dask.jsonl").read_text() == (root / "local.jsonl").read_text()


TEACHERS = ROOT / ".." / "shared" / "teachers"
LABEL = """
import sys
from quantize.cli import app
if __name__ == "__main__":
    app(sys.argv[1:])
"""


@pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")
def test_dask_labels_as_one_process_does(finished: Path, root: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (pip install -e '.[scale]')")
    pytest.importorskip("openvino", reason="openvino is not installed")
    (root / "label_run.py").write_text(LABEL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    written = []
    for engine in ("local", "dask"):
        run = _copy(finished, root / f"label-{engine}")
        command = [sys.executable, str(root / "label_run.py"), "label", "--config", str(root / "c.toml"), "--again"]
        command += ["--folder", str(run), "--engine", engine, "--workers", "2"]
        command += ["--set", f"label.teachers={TEACHERS}", "--set", f"label.cache={run}/cache"]
        command += ["--set", 'label.quality_sets=["drawn"]']
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert result.returncode == 0, result.stderr[-2000:]
        written.append((run / "label" / "samples.jsonl").read_text().replace(str(run), ""))
    assert written[0] == written[1]
    sources = [json.loads(line)["source"] for line in written[0].splitlines()]
    assert sources.count("drawn") == 8
    assert sources.count("quality") >= 3, "tiles with a quality target as well"


def test_float_detector_is_the_float_bundle(finished: Path, root: Path) -> None:
    from quantize.data.jsonl import read_jsonl
    from quantize.evaluate.detectors import DetectorSpec, FloatDetector
    from quantize.evaluate.evaluation import photos
    from quantize.models import fuse, load_student

    spec = DetectorSpec(str(finished / "export" / "edgeface-smoke-float32.efm"), (128, 96), precision="float32")
    model = FloatDetector(fuse(load_student(finished / "train" / "ema.pt")), (128, 96))
    bundle = spec.open()
    seen = 0
    for _, image in photos(read_jsonl(root / "val" / "wider")[0]):
        a, b = model.detect(image), bundle.detect(image)
        n = min(len(a.scores), len(b.scores), 5)
        seen += n
        assert np.allclose(a.scores[:n], b.scores[:n], atol=1e-4)
        assert np.allclose(a.boxes[:n], b.boxes[:n], atol=0.05)
    assert seen > 0


def test_checkpoints_side_by_side(finished: Path, root: Path) -> None:
    one, mean = finished / "train" / "ema.pt", root / "mean.pt"
    _invoke("mean", str(one), str(one), "--out", str(mean))
    arguments = ["--sets", str(root / "val"), "--out", str(root / "cmp"), "--trial", "wider@128x96"]
    _invoke("compare", f"float:{one}", f"float:{one}+{mean}", *arguments, "--intervals")
    rows = json.loads((root / "cmp" / "intervals.json").read_text())
    assert {row["figure"] for row in rows} >= {"ap_all", "ap_ge16"}
    (apart,) = (row["difference"] for row in rows if row["figure"] == "ap_all" and "difference" in row)
    assert list(apart.values()) == pytest.approx([0, 0, 0], abs=1e-6)
    assert "| wider, letterbox 128x96 | AP all |" in (root / "cmp" / "intervals.md").read_text()
    first, second = json.loads((root / "cmp" / "table.json").read_text())
    assert (first["model"], second["model"]) == ("float train/ema.pt", f"float train/ema.pt + {root.name}/mean.pt")
    assert first["ap_all"] == pytest.approx(second["ap_all"], abs=1e-6)
    assert len(list((root / "cmp" / "predictions").iterdir())) == 2
    _invoke("compare", f"float:{one}", *arguments[:-1], "wider@128x96+90")
    (turned,) = json.loads((root / "cmp" / "table.json").read_text())
    assert turned["rule"] == "turned 90°, letterbox 128x96"
    assert len(list((root / "cmp" / "predictions").iterdir())) == 3  # not those of the upright photos
    assert not list((root / "cmp").glob("intervals.*")), "they were of another table"
    with pytest.raises(ValueError, match="must be a student's checkpoint"):
        _invoke("compare", f"float:{finished / 'train' / 'last.pt'}", *arguments)


def test_bundles_of_one_name_side_by_side(finished: Path, root: Path, tmp_path: Path) -> None:
    from quantize.evaluate.evaluation import Trial, evaluate

    one, other = finished / "export" / "edgeface-smoke.efm", tmp_path / "before.efm"
    shutil.copyfile(one, other)
    trials = [Trial.parse("wider@128x96"), Trial.parse("wider@128x96+90")]
    results = evaluate([str(one), str(other)], root / "val", tmp_path / "cmp", trials)
    name = "edgeface-smoke int8 onnxruntime"
    assert [r["model"] for r in results] == [name, name, f"{name} ({other})", f"{name} ({other})"]
    assert f"| figure | {name} | {name} ({other}) |" in markdown(results)


def test_a_bundle_says_what_its_weights_are_the_mean_of(finished: Path, root: Path, tmp_path: Path) -> None:
    from edgeface.bundle import Bundle

    one = finished / "train" / "ema.pt"
    _invoke("mean", str(one), str(one), "--landmarks", str(one), "--out", str(tmp_path / "mean.pt"))
    shutil.copytree(finished, tmp_path / "run")
    options = ["--config", str(root / "c.toml"), "--folder", str(tmp_path / "run"), "--again"]
    options += ["--set", f'package.out="{tmp_path}"', "--set", f'package.cards="{tmp_path}"']
    _invoke("quantize", *options, "--checkpoint", str(tmp_path / "mean.pt"))
    _invoke("package", *options)
    training = Bundle.open(tmp_path / "edgeface-smoke.efm").manifest.training
    assert training["weights"] == "the mean of ema.pt (whose landmarks are kept) and ema.pt"
    assert "weights" not in Bundle.open(root / "models" / "edgeface-smoke.efm").manifest.training


def test_prediction_goes_on_where_it_stopped(finished: Path, root: Path) -> None:
    from quantize.data.jsonl import read_jsonl
    from quantize.evaluate.detectors import DetectorSpec

    samples = read_jsonl(root / "val" / "wider")[0]
    spec = DetectorSpec(str(root / "models" / "edgeface-smoke.efm"), (128, 96))
    predict(spec, samples, root / "whole.jsonl")
    lines = (root / "whole.jsonl").read_text().splitlines(keepends=True)
    (root / "cut.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    predict(spec, samples, root / "cut.jsonl")
    assert (root / "cut.jsonl").read_text() == "".join(lines)


@pytest.mark.parametrize("beyond", [1.0, 0.0], ids=["features", "echoes of answers"])
def test_a_training_cut_short_goes_on_as_if_it_had_not_been(finished: Path, root: Path, beyond: float) -> None:
    from quantize.config import load_config
    from quantize.train.loop import Trainer

    settings = [
        "phases=[{size=64, batch=4, steps=6}, {size=[96, 64], batch=[2, 3], parts=3, steps=6}]",
        'mine={sets=["drawn"], sizes=[96], photos=9, least=0.002}',
        "views.hard=0.5",
        f'init="{finished / "train" / "ema.pt"}"',
    ]
    if TEACHERS.is_dir():
        detector = TEACHERS / "yunet_n_dynamic.onnx"
        parts = "".join(f"{name}={beyond}, " for name in ("hints", "features", "heads"))
        silent = "" if beyond else "silent=true, boxes=2.0, "
        settings.append(f"mimic={{detector='{detector}', {parts}{silent}answers=1.0, alone=5}}")
    if not beyond:
        settings += ["echo={times=3, batches=4}", "views.whole={share=0.5, weights={drawn=1}}"]
    config = load_config(root / "c.toml", settings)

    class CutError(Exception):
        pass

    class Interrupted(Trainer):
        """Stops after its checkpoint of step 8, in the middle of the second phase."""

        def save(self) -> None:
            super().save()
            if self.step == 8:
                raise CutError

    pack, run = finished / "label" / "pack", root / f"cut-{beyond}"
    config["checkpoint_minutes"] = 0  # after every step
    with pytest.raises(CutError):
        Interrupted(config, pack, run / "cut").train()
    Trainer(config, pack, run / "cut").train()
    Trainer(config, pack, run / "whole").train()
    cut, whole = (torch.load(run / name / "last.pt", weights_only=True) for name in ("cut", "whole"))
    assert cut["step"] == whole["step"] == 12
    mined = [np.load(run / "cut" / f"hard-{phase}-0of1.npy") for phase in (0, 1)]
    assert all(len(m) for m in mined), "a network of fifty steps takes much for a face"
    for kind in ("model", "ema", "adapters"):
        assert all(torch.equal(v, whole[kind][k]) for k, v in cut[kind].items())


def test_rows_that_alone_learn_leave_all_else_as_it_was(finished: Path, root: Path) -> None:
    from quantize.config import ConfigError, load_config
    from quantize.models import LANDMARKS, ROTATION, fuse, load_student
    from quantize.train.loop import Trainer

    first = finished / "train" / "ema.pt"
    settings = ["phases=[{size=64, batch=4, steps=3}]", f'init="{first}"', 'only=["landmarks", "rotation"]']
    pack = finished / "label" / "pack"
    with pytest.raises(ConfigError, match=r"weight_decay = 0, but got"):
        Trainer(load_config(root / "c.toml", [*settings, "optimizer.weight_decay=0.1"]), pack, root / "rows")
    settings.append("optimizer.weight_decay=0.0")
    with pytest.raises(ConfigError, match="needs fold_norm"):
        Trainer(load_config(root / "c.toml", settings), pack, root / "rows")
    settings.append("fold_norm=true")
    with pytest.raises(ConfigError, match=r"only must be of .*landmarks.*, but got points"):
        Trainer(load_config(root / "c.toml", [*settings, 'only=["points"]']), pack, root / "rows")
    Trainer(load_config(root / "c.toml", settings), pack, root / "rows").train()

    before, after = fuse(load_student(first)).state_dict(), load_student(root / "rows" / "ema.pt").state_dict()
    assert before.keys() == after.keys()
    learning = torch.zeros(22, dtype=torch.bool)
    learning[LANDMARKS] = learning[ROTATION] = True
    learned = 0
    for name, was in before.items():
        same = was == after[name]
        heads = name.startswith("heads.")
        assert (same[~learning] if heads else same).all(), name
        learned += int((~same[learning]).sum()) if heads else 0
    assert learned


@pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")
def test_echoes_do_not_ask_the_detector_again(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quantize.config import load_config
    from quantize.train.loop import Trainer
    from quantize.train.mimic import Mimic

    asked: list[int] = []
    look = Mimic.look
    monkeypatch.setattr(Mimic, "look", lambda self, x: asked.append(len(x)) or look(self, x))
    detector = TEACHERS / "yunet_n_dynamic.onnx"
    answers = f"mimic={{detector='{detector}', hints=0.0, features=0.0, heads=0.0, answers=1.0, alone=0}}"
    settings = ["phases=[{size=64, batch=2, parts=2, steps=3}]", "echo={times=3, batches=2}", answers]
    trainer = Trainer(load_config(root / "c.toml", settings), finished / "label" / "pack", root / "echoes")
    trainer.train()
    assert (trainer.step, asked) == (3, [2, 2])


@pytest.mark.skipif(not TEACHERS.is_dir(), reason="../shared is not there")
def test_every_second_echo_comes_in_a_mirror(finished: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quantize.config import load_config
    from quantize.train.loop import Trainer
    from quantize.train.mirror import mirrored_answers, mirrored_batch

    shown = []
    loss = Trainer._loss
    monkeypatch.setattr(Trainer, "_loss", lambda self, model, *given: shown.append(given) or loss(self, model, *given))
    mimic = f"mimic={{detector='{TEACHERS / 'yunet_n_dynamic.onnx'}', hints=0.0, features=0.0, heads=0.0, answers=1.0,"
    mimic += " silent=true, mirror=true, alone=0}"
    settings = ["phases=[{size=64, batch=2, parts=2, steps=2}]", "echo={times=4, batches=1, mirror=true}", mimic]
    trainer = Trainer(load_config(root / "c.toml", settings), finished / "label" / "pack", root / "mirrored")
    trainer.train()
    order = sorted(range(4), key=lambda k: torch.equal(shown[k][0], shown[0][0]))  # the mirror images first
    other, same = order[:2], order[2:]
    assert len(shown) == 4 and all(torch.equal(shown[k][0], shown[0][0]) for k in same)
    x, batch, answers = shown[0]
    for k in other:
        assert torch.equal(shown[k][0], x.flip(3))
        assert torch.equal(shown[k][1].box, mirrored_batch(batch, 64).box)
        assert torch.allclose(shown[k][2], mirrored_answers(answers, 64, 64), atol=2e-3, equal_nan=True)


def test_parts_that_are_frozen_stay_and_all_else_learns(finished: Path, root: Path) -> None:
    from quantize.config import ConfigError, load_config
    from quantize.models import fuse, load_student
    from quantize.train.loop import Trainer

    first = finished / "train" / "ema.pt"
    settings = ["phases=[{size=64, batch=4, steps=3}]", f'init="{first}"', 'frozen=["stem", "stage8.0"]']
    pack = finished / "label" / "pack"
    with pytest.raises(ConfigError, match="needs fold_norm"):
        Trainer(load_config(root / "c.toml", settings), pack, root / "frozen")
    settings.append("fold_norm=true")
    with pytest.raises(ConfigError, match=r"must name parts of the network, but got stage9"):
        Trainer(load_config(root / "c.toml", [*settings, 'frozen=["stem", "stage9"]']), pack, root / "frozen")
    muon = [*settings, "optimizer.muon=true", "optimizer.weight_decay=0.1"]
    Trainer(load_config(root / "c.toml", muon), pack, root / "frozen").train()

    before, after = fuse(load_student(first)).state_dict(), load_student(root / "frozen" / "ema.pt").state_dict()
    assert before.keys() == after.keys()
    for name, was in before.items():
        assert torch.equal(was, after[name]) == name.startswith(("stem.", "stage8.0.")), name


def test_a_step_in_parts_follows_the_mean_of_their_gradients(finished: Path, root: Path) -> None:
    from quantize.config import load_config
    from quantize.train.loader import phase_views
    from quantize.train.loop import Trainer, learning_rate

    settings = ["phases=[{size=64, batch=2, parts=3, steps=1}]", "optimizer.lr=10.0", "optimizer.clip=1e9"]
    settings += ["fold_norm=true", f'init="{finished / "train" / "ema.pt"}"']
    config = load_config(root / "c.toml", settings)
    pack = finished / "label" / "pack"
    trainers = [Trainer(config, pack, root / name) for name in ("parts", "by-hand")]
    for x, batch in phase_views(config, 0, pack, 0, 3, trainers[1].device):
        (trainers[1].losses(trainers[1].model(x), batch)[0] / 3).backward()
    trainers[0].optimizers = [torch.optim.SGD(trainers[0].model.parameters())]
    trainers[0].train()
    options = config["optimizer"]
    lr = learning_rate(0, 1, options["lr"], options["warmup"], options.get("final", 0.01))
    steps = [lr * p.grad for p in trainers[1].model.parameters()]
    for moved, p, step in zip(trainers[0].model.parameters(), trainers[1].model.parameters(), steps, strict=True):
        torch.testing.assert_close(moved, p - step, rtol=1e-4, atol=1e-5)
    assert max(step.abs().max() for step in steps) > 1e-3, "or nothing is tested"


def test_what_pulls_adds_up_to_the_gradient(finished: Path, root: Path) -> None:
    from quantize.config import load_config
    from quantize.train.loader import phase_views
    from quantize.train.loop import Trainer
    from quantize.train.pulls import pulls

    run = _copy(finished, root / "pulled")
    trainer = Trainer(
        load_config(root / "c.toml", ["uncertainty=true", "losses.hit=1.0"]), run / "label" / "pack", root / "unlearnt"
    )
    trainer.losses.log_variance.data = torch.tensor([0.0, 1.0, -1.0, 0.5, 0.0])
    before = [p.clone() for p in trainer.model.parameters()]
    found = pulls(trainer, 2)
    assert all(torch.equal(p, b) for p, b in zip(trainer.model.parameters(), before, strict=True))
    for x, batch in phase_views(trainer.config, -1, trainer.packed, trainer.step, 2, trainer.device):
        (trainer.losses(trainer.model(x), batch)[0] / 2).backward()
    for part, pull in found.items():
        module = getattr(trainer.model, part)
        whole = torch.cat([p.grad.flatten() for p in module.parameters()])
        along = sum(p.norm * p.along for p in pull.values() if p.norm)
        assert along == pytest.approx(whole.norm().item(), rel=1e-3), part
    shown = CliRunner().invoke(app, ["pulls", "-c", str(root / "c.toml"), "--folder", str(run), "--batches", "1"])
    assert shown.exit_code == 0, shown.output
    assert [line.split("|")[1].strip() for line in shown.output.splitlines()[2:]] == list(found)


def test_a_checkpoint_for_another_shape_to_begin_with(finished: Path, root: Path, tmp_path: Path) -> None:
    old = fuse(build_student("thinned"))
    torch.save(checkpoint_of(old), tmp_path / "old.pt")
    done = _invoke(
        *("inherit", str(tmp_path / "old.pt"), "--config", str(root / "c.toml"), "--set", "student=s"),
        *("--out", str(tmp_path / "new.pt"), "--steps", "2"),
    )
    assert done.exit_code == 0 and "of the old one's sum of squares away" in done.output
    new = load_student(tmp_path / "new.pt")
    assert new.config == STUDENTS["s"]
    assert torch.equal(new.heads[0].weight, old.heads[0].weight)


def test_a_checkpoint_with_more_weights_to_begin_with(finished: Path, root: Path, tmp_path: Path) -> None:
    torch.save(checkpoint_of(fuse(build_student("s"))), tmp_path / "old.pt")
    options = ["--config", str(root / "c.toml"), "--out", str(tmp_path / "new.pt"), "--batches", "2"]
    more = ["--dense-unit", "towers.0", "--stem-dense", "1", "--branch", "144"]
    done = _invoke("reshape", str(tmp_path / "old.pt"), *more, *options)
    assert done.exit_code == 0 and re.search(r"39\d,\d{3} parameters, outputs 0\.\d{3}, ", done.output), done.output
    config = load_student(tmp_path / "new.pt").config
    assert (config.stem_dense, config.dense_units, config.widths) == (1, ("towers.0",), (64, 64, 144))
    again = _invoke("reshape", str(tmp_path / "new.pt"), "--dense-unit", "lateral8", *options)
    assert again.exit_code == 0 and load_student(tmp_path / "new.pt").config.dense_units == ("towers.0", "lateral8")
    refused = _invoke("reshape", str(finished / "train" / "ema.pt"), *more, *options)
    assert refused.exit_code == 2 and "must be of edgeface-s" in refused.output


def test_a_student_doubts_what_a_detector_labelled(finished: Path, root: Path, tmp_path: Path) -> None:
    from quantize.data.sample import FaceLabel, read_samples, write_samples

    for step in ("data", "label"):
        shutil.copytree(finished / step, tmp_path / "run" / step)
    labels, packed = (tmp_path / "run" / "label" / name for name in ("samples.jsonl", "pack/samples.jsonl"))
    samples = read_samples(labels)
    a_persons = next(f for s in samples for f in s.faces if not f.ignore)
    a_persons.extra |= {"box_from": "yunet", "yunet_score": 0.65}
    face = FaceLabel(np.array([2, 2, 12, 14], np.float32), extra={"box_from": "yunet", "yunet_score": 0.65})
    samples[0].faces.append(face)
    write_samples(labels, samples)
    torch.save(checkpoint_of(fuse(build_student("n"))), tmp_path / "untrained.pt")  # it sees no face anywhere
    options = ["--config", str(root / "c.toml"), "--folder", str(tmp_path / "run"), "--size", "96", "--size", "64"]
    for _ in range(2):  # every call begins with what `label` wrote
        done = _invoke("second-opinion", str(tmp_path / "untrained.pt"), *options)
        assert "1 faces became ignore regions, 0 ignore regions faces, in 1 photos" in done.output
    face.ignore = True
    assert [s.to_json() for s in read_samples(packed)] == [s.to_json() for s in samples]


def _on_two_processes(root: Path, run: Path, *settings: str) -> dict[str, Any]:
    """``train`` anew by torchrun; its last checkpoint."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--master-port=29517",
        "-m",
        "quantize",
    ]
    command += ["train", "--config", str(root / "c.toml"), "--folder", str(run), "--again", "--device", "cpu"]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    (run / "train" / "last.pt").unlink()
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    state: dict[str, Any] = torch.load(run / "train" / "last.pt", weights_only=True)
    return state


def test_torchrun_trains_on_two_processes(finished: Path, root: Path) -> None:
    state = _on_two_processes(root, _copy(finished, root / "two"))
    assert state["step"] == 50
    one = torch.load(finished / "train" / "last.pt", weights_only=True)
    # twice the photos a step: other weights than one process reaches
    assert not torch.equal(state["model"]["heads.0.bias"], one["model"]["heads.0.bias"])


def test_two_processes_take_the_step_that_one_takes_in_twice_the_parts(finished: Path, root: Path) -> None:
    from quantize.config import load_config
    from quantize.train.loop import Trainer

    init = finished / "train" / "ema.pt"
    settings = ["fold_norm=true", f'init="{init}"', "again_slots=0"]  # without batch norm, which sees one batch alone
    phases = "phases=[{{size=64, batch=2, parts={}, steps=2}}]"
    two = _on_two_processes(root, _copy(finished, root / "parts-two"), *settings, phases.format(2))["model"]
    trainer = Trainer(
        load_config(root / "c.toml", [*settings, phases.format(4)]), finished / "label" / "pack", root / "four"
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    one = trainer.model.state_dict()
    moved, apart = (torch.cat([(one[k] - other[k]).flatten() for k in one]).norm() for other in (before, two))
    assert apart < 0.02 * moved


def test_missing_steps_and_bad_configs_are_named(root: Path, tmp_path: Path) -> None:
    from quantize.config import ConfigError
    from quantize.steps import StepError

    with pytest.raises(StepError, match="run step `quantize` first"):
        _invoke("export", "--config", str(root / "c.toml"), "--folder", str(tmp_path / "empty"))
    (tmp_path / "bad.toml").write_text("student = ")
    with pytest.raises(ConfigError, match="config must be TOML"):
        _invoke("data", "--config", str(tmp_path / "bad.toml"))
    with pytest.raises(ConfigError, match="setting must be key=value"):
        _invoke("data", "--config", str(root / "c.toml"), "--set", "oops")
    with pytest.raises(ConfigError, match="config must be a readable file"):
        _invoke("data", "--config", str(tmp_path / "none.toml"))


def test_calibration_refuses_validation_photos() -> None:
    from quantize.compress.calibration import choose_photos
    from quantize.data.sample import Sample

    with pytest.raises(ValueError, match="must be of the training sets"):
        choose_photos([Sample(Path("data/val/a.jpg"), 9, 9, [], True, "x")], 1, 0)


def test_half_of_the_large_photos_are_filled_by_a_face() -> None:
    from quantize.compress.calibration import choose_filled, choose_large
    from quantize.data.sample import FaceLabel, Sample

    def sample(number: int, side: float) -> Sample:
        return Sample(Path(f"{number}.jpg"), 100, 80, [FaceLabel(np.array([0, 0, side, side], np.float32))], True, "x")

    samples = [sample(i, 60 if i < 5 else 59) for i in range(40)]
    numbers = [int(p.stem) for p in choose_large(samples, 8, 0)]
    assert sum(n < 5 for n in numbers) >= 4 and len(set(numbers)) == 8
    assert choose_large(samples, 8, 0) == choose_large(samples, 8, 0) != choose_large(samples, 8, 1)
    assert {int(p.stem) for p in choose_filled(samples, 8, 0)} == {0, 1, 2, 3, 4}
    assert choose_filled(samples[5:], 8, 0) == []
    # where there are fewer, others take their place
    numbers = [int(p.stem) for p in choose_large(samples[4:], 8, 0)]
    assert 4 in numbers and len(set(numbers)) == 8


def test_lineage_refuses_teachers_that_forbid_commercial_use(tmp_path: Path) -> None:
    from quantize.package.card import LineageError, read_lineage

    (tmp_path / "l.toml").write_text('[[teachers]]\nname = "T"\nuse = "x"\nlicence = "NC"\ncommercial = false\n')
    with pytest.raises(LineageError, match="must allow commercial use, but got T"):
        read_lineage(tmp_path / "l.toml")
    (tmp_path / "l.toml").write_text('[[data]]\nname = "D"\nuse = "x"\n')
    with pytest.raises(LineageError, match="got D without"):
        read_lineage(tmp_path / "l.toml")


def test_budget_names_what_is_over() -> None:
    assert Budget(ap=0.01).broken({"ap": 0.02, "degrees": 5}) == ["ap must lose at most 0.01, but got 0.02"]
    assert Budget().broken({"ap": 1.0, "nme": 9.0}) == []
    rows = [
        {"model": "m int8 onnxruntime", "set": "w", "rule": "r", "ap_ge16": 0.80, "nme5_box": 3.3, "pose_mae": 5.0},
        {
            "model": "m-float32 float32 onnxruntime",
            "set": "w",
            "rule": "r",
            "ap_ge16": 0.82,
            "nme5_box": 3.0,
            "pose_mae": 5.0,
        },
    ]
    broken = over_budget(rows, "m", {"ap": 0.01, "nme": 0.03, "degrees": 0.2})
    assert len(broken) == 2
    assert "ap_ge16 on w, r must lose at most 0.01, but got 0.02" in broken[0]
    assert "| w, r | AP ≥16 px | 0.8 | 0.82 |" in markdown(rows)
    assert len(over_budget(rows, "m", {"ap": 0.01, "nme": 0.03, "w": {"ap": 0.05}})) == 1
    assert len(over_budget(rows, "m", {"ap": 0.01, "nme": 0.03, "onnxruntime": {"ap": 0.05}})) == 1
    turned = [row | {"rule": "turned 90°, r"} for row in rows]
    assert over_budget(turned, "m", {"ap": 0.01, "nme": 0.03, "degrees": 0.2}) == []


def _copy(run: Path, to: Path) -> Path:
    import shutil

    shutil.copytree(run, to)
    return to
