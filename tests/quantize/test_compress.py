"""Step compress: what it leaves behind, what reaches the int8 file, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the toolchain's extra is not installed (pip install -e '.[quantize]')")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("edgeface._core", reason="the core is not built")

from quantize.compress import figures  # noqa: E402
from quantize.compress.control import BudgetError, broken, control  # noqa: E402
from quantize.compress.figures import control_samples, loss_of  # noqa: E402
from quantize.compress.step import compress, training_samples  # noqa: E402
from quantize.config import BudgetOptions, load_recipe  # noqa: E402
from quantize.data.pack import pack  # noqa: E402
from quantize.data.sample import FaceLabel, Sample, read_samples  # noqa: E402
from quantize.models import build_student, checkpoint_of, fuse, load_student  # noqa: E402
from quantize.run import Run, StepError  # noqa: E402


def _copied(root: Path, finished: Run, to: Path, *settings: str) -> Run:
    """Another run with the data and the float weights of the finished one."""
    run = Run(load_recipe(root / "c.toml", [f'run="{to}"', *settings]))
    for step in ("data", "train"):
        shutil.copytree(finished.path(step), run.path(step))
    return run


def test_what_it_leaves_behind(finished: Run) -> None:
    rows = json.loads(finished.path("compress", "layers.json").read_text())
    convolutions = [n for n, m in build_student("edgeface-n").named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert sorted(r["layer"] for r in rows) == sorted(convolutions)
    assert all(r["weight_db"] > 20 and r["result_db"] is not None for r in rows)
    assert finished.path("compress", "layers.png").is_file()
    (attempt,) = json.loads(finished.path("compress", "control.json").read_text())
    assert attempt == {"float_layers": [], "loss": {}, "broken": []}  # eight photos say nothing of a hundredth


def test_weights_rounded_together_reach_the_int8_file(finished: Run) -> None:
    full, rounded = (load_student(finished.path("compress", name)) for name in ("float.pt", "weights.pt"))
    graph = onnx.load(finished.path("compress", "int8.onnx")).graph
    stored = [onnx.numpy_helper.to_array(t) for t in graph.initializer]
    for a, b in zip(full.heads, rounded.heads, strict=True):
        weight, grid = a.weight.detach().numpy(), b.weight.detach().numpy()
        step = np.abs(grid).max((1, 2, 3), keepdims=True) / 127
        whole = np.rint(grid / step)
        assert np.allclose(grid / step, whole, atol=1e-3)
        assert any(w.dtype == np.int8 and w.shape == whole.shape and np.array_equal(w, whole) for w in stored)
        assert not np.array_equal(whole, np.rint(weight / step))  # to the nearest it would be another


def test_a_checkpoint_of_ones_own_and_a_shift_of_its_scores(back_root: Path, finished: Run, tmp_path: Path) -> None:
    settings = ("compress.score_shift=-0.5", "compress.method=ptq", "compress.stem_percentile=99.97")
    run = _copied(back_root, finished, tmp_path / "run", *settings)
    shutil.rmtree(run.path("train"))
    torch.manual_seed(4)
    torch.save(checkpoint_of(fuse(build_student("edgeface-n"))), tmp_path / "mine.pt")
    compress(run, tmp_path / "mine.pt")
    state = torch.load(run.path("compress", "weights.pt"), weights_only=True)
    assert (state["source"]["name"], state["source"]["foreign"], state["method"]) == ("mine.pt", True, "ptq")
    assert state["architecture"]["bounded"]
    x = torch.zeros(1, 3, 64, 96)  # grey: nothing that the first layer's bound cuts off
    with torch.no_grad():
        levels = zip(
            load_student(tmp_path / "mine.pt")(x), load_student(run.path("compress", "float.pt"))(x), strict=True
        )
        for (before, scaled), scale in zip(levels, state["channel_scale"].values(), strict=True):
            after = scaled * torch.tensor(scale).view(1, -1, 1, 1)
            assert torch.allclose(after[:, 0], before[:, 0] - 0.5, atol=1e-3)
            assert torch.allclose(after[:, 1:], before[:, 1:], atol=1e-3)
    with pytest.raises(StepError, match="--checkpoint must be a file, but got"):
        compress(run, tmp_path / "none.pt")
    with pytest.raises(StepError, match="run step `train` first"):
        compress(run)


def test_a_broken_budget_fails_the_step(
    back_root: Path, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("compress.method=ptq", "compress.most_float_layers=1", "compress.budget.ap=0")
    run = _copied(back_root, finished, tmp_path / "run", *settings)
    losses = iter([{"ap": 0.5}, {"ap": 0.4}, {"ap": 0.3}])  # float, then int8 of two tries
    monkeypatch.setattr("quantize.compress.step.figures", lambda *_: next(losses))
    with pytest.raises(BudgetError, match=r"ap must lose at most 0, but got 0\.2"):
        compress(run)
    tries = json.loads(run.path("compress", "control.json").read_text())
    assert [len(t["float_layers"]) for t in tries] == [0, 1]
    worst = json.loads(run.path("compress", "layers.json").read_text())
    assert tries[1]["float_layers"][0] in [r["node"] for r in worst]
    assert next(r["weight_db"] for r in worst if r["node"] == tries[1]["float_layers"][0]) is None
    assert not run.path("compress", "done.json").exists()


def test_control_gives_layers_back_until_it_holds() -> None:
    made: list[list[str]] = []
    kept, tries = control(
        lambda kept: made.append(list(kept)),
        lambda: {"x": 3.0 - len(made)},
        lambda loss: ["x"] if loss["x"] > 0 else [],
        lambda: ["b", "a", "c"],
        8,
    )
    assert kept == ["a"] and made == [[], ["b"], ["b", "a"], ["a"]]  # "a" alone does it
    assert [t["loss"]["x"] for t in tries] == [2, 1, 0, -1]
    kept, tries = control(made.append, lambda: {"x": 1.0}, lambda _: ["x"], lambda: ["b"], 8)  # there are no more
    assert kept == ["b"] and len(tries) == 2


def test_layers_that_are_not_needed_return_to_int8() -> None:
    """Two layers help only together; what came before and between them does not."""
    made: list[list[str]] = []
    kept, tries = control(
        made.append,
        lambda: {"nme": 0.0 if {"c", "e"} <= set(made[-1]) else 0.5},
        lambda loss: ["nme"] if loss["nme"] else [],
        lambda: ["a", "b", "c", "d", "e", "f"],
        6,
    )
    assert kept == ["c", "e"] and made[-1] == kept  # the file that is left is that of `kept`
    assert tries[-1] == {"float_layers": kept, "loss": {"nme": 0.0}, "broken": []}


def test_a_figure_over_few_faces_is_not_judged(finished: Run) -> None:
    samples = control_samples(read_samples(finished.path("data", "samples.jsonl")), 9)
    scales = {8: np.ones(22, np.float32), 16: np.ones(22, np.float32), 32: np.ones(22, np.float32)}
    network = finished.path("compress", "float32.onnx")
    assert figures.figures(network, "float32", scales, samples) == {}
    assert figures.figures(network, "float32", scales, samples, least=1).keys() == {"ap", "degrees", "nme"}
    assert loss_of({"ap": 0.8, "nme": 3.3}, {"ap": 0.82, "nme": 3.0, "degrees": 1.0}) == {
        "ap": pytest.approx(0.02),
        "nme": pytest.approx(0.1),
    }
    assert broken(BudgetOptions(ap=0.01), {"ap": 0.02}) == ["ap must lose at most 0.01, but got 0.02"]
    assert broken(BudgetOptions(), {}) == []


def test_nothing_is_calibrated_on_what_is_measured(back_root: Path, finished: Run, tmp_path: Path) -> None:
    run = _copied(back_root, finished, tmp_path / "run", f'evaluate.sets="{back_root}/train"')
    with pytest.raises(StepError, match=r"calibration photos must not be of evaluate\.sets"):
        training_samples(run)
    assert len(training_samples(finished)) == 9


@pytest.mark.filterwarnings("ignore:Exception ignored in. <function Pool:pytest.PytestUnraisableExceptionWarning")
def test_quantisation_aware_tuning_resumes(
    back_root: Path, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf", reason="nncf is not installed")
    monkeypatch.setenv("NNCF_EXTENSION_LOAD_TIMEOUT", "0")
    for steps in (2, 3):
        settings = [f"compress.qat={{steps = {steps}, batch = 2, size = 64}}", "compress.method=qat"]
        run = Run(load_recipe(back_root / "c.toml", [f'run="{tmp_path}/run"', *settings]))
        if steps == 2:
            for step in ("data", "train"):
                shutil.copytree(finished.path(step), run.path(step))
            run.path("label").mkdir()
            shutil.copyfile(run.path("data", "samples.jsonl"), run.path("label", "samples.jsonl"))
            pack(read_samples(run.path("data", "samples.jsonl")), run.path("label", "pack"))
        compress(run)
    log = [json.loads(line)["step"] for line in run.path("compress", "qat.jsonl").read_text().splitlines()]
    assert log == [2, 3]  # the second run made one step only
    state: dict[str, Any] = torch.load(run.path("compress", "weights.pt"), weights_only=True)
    for row in state["weights"]["heads.0.weight"].flatten(1):  # at most 256 values a channel, evenly apart
        values = row.unique()
        gaps = values.diff()
        assert len(values) == 1 or torch.allclose(gaps / gaps.min(), (gaps / gaps.min()).round(), atol=1e-2)


def test_half_of_the_large_photos_are_filled_by_a_face() -> None:
    from quantize.compress.calibration import choose_filled, choose_large

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
