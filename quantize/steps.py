"""The seven steps. Each reads what the one before it wrote in the run folder, and leaves its config, log and results in
a folder of its own; a step whose inputs and config have not changed is not done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from quantize.config import batches_of, parts_of
from quantize.data.sample import Sample, read_samples, write_samples
from quantize.engines import open_engine

if TYPE_CHECKING:
    from quantize.models import Student

console = Console(stderr=True)


class StepError(RuntimeError):
    """A step cannot start: what it needs is not there."""


@dataclass
class Run:
    """One run: its config (see `quantize.config`), and how to work."""

    config: dict[str, Any]
    engine: str = "local"
    workers: int | None = None
    device: str = "auto"
    checkpoint: Path | None = None
    again: bool = False

    @property
    def folder(self) -> Path:
        return Path(self.config["run"])

    def path(self, step: str, name: str = "") -> Path:
        return self.folder / step / name

    def need(self, step: str, name: str) -> Path:
        """A file that an earlier step wrote. Raises StepError where it is missing."""
        path = self.path(step, name)
        if not path.exists():
            raise StepError(f"{path} must be there, but is not: run step `{step}` first")
        return path


def perform(
    run: Run, step: str, work: Callable[[Run, Path], dict[str, Any]], inputs: Sequence[Path], sections: Sequence[str]
) -> dict[str, Any]:
    """Runs one step unless it is done: writes ``config.json``, appends to ``steps.jsonl``, and ``done.json`` at the
    end.
    """
    folder = run.path(step)
    folder.mkdir(parents=True, exist_ok=True)
    config = {k: run.config.get(k) for k in ("name", "seed", *sections)}
    key = _digest([json.dumps(config, sort_keys=True), *(_content(p) for p in inputs)])
    done = folder / "done.json"
    if not run.again and done.is_file():
        before: dict[str, Any] = json.loads(done.read_text())
        if before["key"] == key:
            console.print(f"{step}: done before in {folder} (--again does it again)")
            result: dict[str, Any] = before["result"]
            return result
    if os.environ.get("RANK", "0") != "0":  # torchrun's other processes only work; the first one keeps the books
        return work(run, folder)
    (folder / "config.json").write_text(json.dumps(run.config, indent=1, ensure_ascii=False))
    started = time.time()
    console.print(f"{step}: {folder}")
    done.unlink(missing_ok=True)  # of an earlier result: should this one break its budget, no step may take it for done
    result = work(run, folder)
    record = {"step": step, "seconds": round(time.time() - started, 1), **result}
    with (run.folder / "steps.jsonl").open("a") as f:
        f.write(json.dumps(record, ensure_ascii=False) + "\n")
    done.write_text(json.dumps({"key": key, "result": result}, indent=1, ensure_ascii=False))
    console.print(f"{step}: {', '.join(f'{k} {v}' for k, v in record.items() if k != 'step')}", highlight=False)
    return result


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _content(path: Path) -> str:
    """The file's own hash; of a folder, names and sizes."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return json.dumps(sorted((p.name, p.stat().st_size) for p in path.glob("*")))


def data(run: Run) -> dict[str, Any]:
    """Reads every set into one list of samples; what cannot be read is written to ``skipped.txt`` and counted."""
    sets = run.config["data"]["sets"]
    return perform(run, "data", _data, [Path(s["path"]) for s in sets], ["data"])


def _data(run: Run, folder: Path) -> dict[str, Any]:
    from quantize.data.readers import read_set

    samples: list[Sample] = []
    skipped: list[str] = []
    for entry in run.config["data"]["sets"]:
        found, bad = read_set(entry["reader"], Path(entry["path"]), entry["name"])
        console.print(
            f"  {entry['name']}: {len(found)} photos, {sum(len(s.faces) for s in found)} faces, {len(bad)} skipped"
        )
        samples += found
        skipped += bad
    if not samples:
        raise StepError(
            f"[data].sets must hold photos, but got none ({len(skipped)} skipped, see {folder / 'skipped.txt'})"
        )
    write_samples(folder / "samples.jsonl", samples)
    (folder / "skipped.txt").write_text("".join(f"{s}\n" for s in skipped))
    return {"photos": len(samples), "faces": sum(len(s.faces) for s in samples), "skipped": len(skipped)}


def label(run: Run) -> dict[str, Any]:
    """Teachers fill in what is missing; then all photos are packed for training."""
    return perform(run, "label", _label, [run.need("data", "samples.jsonl")], ["label"])


class _LabelWorker:
    """Sample to labelled sample, both as JSON; opens its teachers where it runs."""

    _open: dict[str, Any] = {}  # noqa: RUF012 - one for the whole process is what is wanted

    def __init__(self, teachers: str, cache: str) -> None:
        self.teachers, self.cache = teachers, cache

    def __call__(self, line: str) -> str | None:
        from quantize.label.labeller import Labeller, cached

        if self.teachers not in self._open:
            cv2.setNumThreads(1)
            self._open[self.teachers] = Labeller(Path(self.teachers))
        done = cached(Sample.from_json(json.loads(line)), self._open[self.teachers], Path(self.cache))
        return None if done is None else json.dumps(done.to_json())


def _label(run: Run, folder: Path) -> dict[str, Any]:
    from quantize.label.entropy import drop_doubtful
    from quantize.data.drawn import draw_alike
    from quantize.data.mean_face import refine_rotations
    from quantize.data.pack import pack
    from quantize.label.quality import make_tiles

    options = run.config["label"]
    samples = read_samples(run.need("data", "samples.jsonl"))
    unreadable = refined = dropped = corrected = 0
    if options["teachers"]:
        engine = open_engine(run.engine, run.workers)
        try:
            worker = _LabelWorker(options["teachers"], options["cache"])
            lines = list(engine.map(worker, [json.dumps(s.to_json()) for s in samples], "label"))
            unreadable = sum(line is None for line in lines)
            samples = [Sample.from_json(json.loads(line)) for line in lines if line is not None]
            refined = refine_rotations(samples) if options["refine_from_points"] else 0
            dropped = drop_doubtful(samples, options["pose_quantile"])
            corrected = draw_alike(samples, options["points_drawn_in"])
            _forget_doubtful(samples, options["ignore_from"])
            wanted = [s for s in samples if s.source in options["quality_sets"]]
            if wanted and options["quality_variants"]:
                samples += make_tiles(
                    wanted,
                    Path(options["teachers"]),
                    folder / "tiles",
                    run.config["seed"],
                    options["quality_variants"],
                    engine=engine,
                )
        finally:
            engine.close()
    write_samples(folder / "samples.jsonl", samples)
    messages = pack(samples, folder / "pack")
    (folder / "skipped.txt").write_text("".join(f"{m}\n" for m in messages))
    return {
        "photos": len(samples),
        "faces": sum(len(s.faces) for s in samples),
        "unreadable": unreadable + len(messages),
        "rotations_from_points": refined,
        "rotations_dropped": dropped,
        "points_corrected": corrected,
    }


def _forget_doubtful(samples: Sequence[Sample], least: dict[str, float]) -> None:
    """What a teacher found and nobody boxed is background in the sets of ``least`` unless its score is at least the
    set's.
    """
    for s in samples:
        s.faces = [
            f
            for f in s.faces
            if not (
                f.ignore
                and f.extra.get("box_from") == "yunet"
                and f.extra.get("yunet_score", 1) < least.get(s.source, 0)
            )
        ]


def train(run: Run) -> dict[str, Any]:
    """The trainer of `quantize.train.loop`; under ``torchrun`` on several processes or devices."""
    sections = [
        "student",
        "init",
        "depths",
        "fold_norm",
        "only",
        "frozen",
        "optimizer",
        "losses",
        "phases",
        "views",
        "ema",
        "uncertainty",
        "distill",
        "mimic",
        "echo",
        "landmark_teachers",
        "precision",
        "again_slots",
        "again_score",
        "stitch_below",
        "mine",
    ]
    return perform(run, "train", _train, [run.need("label", "pack/samples.jsonl")], sections)


def _train(run: Run, folder: Path) -> dict[str, Any]:
    from quantize.train.curves import draw_log
    from quantize.evaluate.evaluation import validate_float
    from quantize.train.loop import Trainer

    trainer = Trainer(run.config, run.path("label", "pack"), folder, run.device)
    sets = Path(run.config["evaluate"]["sets"])
    known = all((sets / name / "labels.jsonl").is_file() for name in ("wider", "aflw2000"))
    try:
        with _bar("train", lambda: trainer.step, trainer.total):
            trainer.train((lambda model: validate_float(model, sets)) if known else None)
    finally:
        if trainer.rank == 0 and (folder / "log.jsonl").is_file():
            draw_log(folder / "log.jsonl", folder)
    return {"steps": trainer.step, "checkpoint": str(folder / "ema.pt")}


@contextlib.contextmanager
def _bar(what: str, done: Callable[[], int], total: int) -> Iterator[None]:
    """A progress bar beside work that counts its own steps."""
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total, completed=done())
        over = threading.Event()

        def follow() -> None:
            while not over.wait(1.0):
                progress.update(task, completed=done())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            progress.update(task, completed=done())


def _checkpoint(run: Run) -> Path:
    return run.checkpoint if run.checkpoint is not None else run.need("train", "ema.pt")


def _samples(run: Run) -> list[Sample]:
    """Labelled samples where there are any, else those of step ``data``."""
    path = run.path("label", "samples.jsonl")
    return read_samples(path if path.is_file() else run.need("data", "samples.jsonl"))


def quantize(run: Run) -> dict[str, Any]:
    """Int8 weights and a plan that hold the budget; fails where they do not."""
    return perform(run, "quantize", _quantize, [_checkpoint(run)], ["quantize", "views", "losses", "checkpoint"])


def _large_photos(run: Run) -> NDArray[np.uint8]:
    """The ONNX file takes any size, so its ranges come from a few large inputs besides: on them faces are larger, and
    what says so would be cut off.
    """
    from quantize.compress.calibration import choose_large, load_photos

    options = run.config["quantize"]
    paths = choose_large(_samples(run), options["large_photos"], run.config["seed"])
    return load_photos(paths, _size(options["large_photo_size"]))


def _quantize(run: Run, folder: Path) -> dict[str, Any]:
    import torch

    from quantize.compress import accuracy as q
    from quantize.compress.bounded_stem import bound_stem
    from quantize.compress.calibration import (
        channel_scales,
        choose_photos,
        fold_scales,
        lean_scores,
        load_photos,
        shift_boxes,
        shift_scores,
        shift_turned_boxes,
    )
    from quantize.compress.equalisation import equalise
    from quantize.models import checkpoint_of, fuse, load_student
    from quantize.export.onnx import export_float

    options = run.config["quantize"]
    torch.set_num_threads(run.config.get("threads", 1))
    samples = _samples(run)
    chosen = choose_photos(samples, options["photos"], run.config["seed"])
    images = load_photos(chosen, _size(options["photo_size"]))
    checkpoint = _checkpoint(run)
    mean_of = torch.load(checkpoint, map_location="cpu", weights_only=True).get("mean_of", [])
    model = equalise(fuse(load_student(checkpoint)), images, options["equalise"])
    bound_stem(model, images, options["stem_percentile"])
    lean_scores(model, options["score_per_octave"])
    shift_scores(model, options["score_shift"])
    shift_boxes(model, options["box_shift"])
    shift_turned_boxes(model, options["turned_box_shift"])
    scales = channel_scales(model, images, load_photos(chosen, _size(options["large_photo_size"])))
    float_model = fold_scales(model, scales)
    float_path, int8_path = folder / "float32.onnx", folder / "int8.onnx"
    export_float(float_model, float_path)
    held = q.control_samples(samples, options["control_photos"])
    reference = q.figures(float_path, "float32", scales, held)
    calibration = [images, _large_photos(run)]
    full, rounded = _for_int8(run, folder, float_model, scales, calibration)
    source = folder / "rounded.onnx"
    export_float(rounded, source)
    budget = q.Budget(**options["budget"])
    kept, tries = q.control(
        rounded,
        source,
        int8_path,
        calibration,
        budget,
        lambda path: q.figures(path, "int8", scales, held),
        reference,
        options["most_float_layers"],
    )
    report = q.layer_report(full, float_path if full is float_model else source, int8_path, images[:8])
    q.write_report(folder, report, tries)
    torch.save(checkpoint_of(full), folder / "float.pt")
    state = checkpoint_of(
        rounded,
        channel_scale={str(s): v.tolist() for s, v in scales.items()},
        keep_float=kept,
        mean_of=[re.sub(r" sha256:\w+", "", text) for text in mean_of],
        method=options["method"],
        photos=[p.name for p in chosen],
    )
    torch.save(state, folder / "weights.pt")
    result = {
        "method": options["method"],
        "float_figures": _rounded(reference),
        "loss": tries[-1]["loss"],
        "float_layers": kept,
    }
    if tries[-1]["broken"]:
        raise q.BudgetError(
            f"int8 broke its budget ({'; '.join(tries[-1]['broken'])}); see {folder / 'control.json'} and layers.json"
        )
    return result


def _for_int8(
    run: Run, folder: Path, model: Student, scales: dict[int, NDArray[np.float32]], images: list[NDArray[np.uint8]]
) -> tuple[Student, Student]:
    """What `[quantize] method` makes of a folded network: the one that int8 is measured by and ships in float, and the
    one that is written in int8. Both are the tuned one where there was tuning. ``images``: calibration photos, small
    ones first.
    """
    options = run.config["quantize"]
    if options["method"] == "ptq":
        return model, model
    if options["method"] == "gptq":
        from quantize.compress.rounding import round_weights

        return model, round_weights(model, images, run.config["seed"], grids=options["grids"])
    if options["method"] == "nncf":
        from quantize.compress.qat import baked, with_fake_quantisers

        tuned = baked(with_fake_quantisers(model, images[0]), model)
        return tuned, tuned
    if options["method"] == "qat":
        from quantize.train.curves import draw_log
        from quantize.compress.qat import Tuner

        run.need("label", "pack/samples.jsonl")
        tuner = Tuner(model, scales, images[0], run.config, run.path("label", "pack"), folder, run.device)
        with Progress(console=console) as progress:
            task = progress.add_task("qat", total=options["qat"]["steps"])
            tuned = tuner.train(lambda step, _: progress.update(task, completed=step))
        draw_log(folder / "qat.jsonl", folder, "qat")
        return tuned, tuned
    raise StepError(f"[quantize].method must be {', '.join(METHODS)}, but got {options['method']}")


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {k: round(v, 4) for k, v in values.items()}


def export(run: Run) -> dict[str, Any]:
    """ONNX and TFLite files in a draft bundle, and their parity."""
    return perform(run, "export", _export, [run.need("quantize", "weights.pt")], ["export"])


def _export(run: Run, folder: Path) -> dict[str, Any]:
    import torch

    from quantize.export import networks as e
    from quantize.package.bundles import make_manifest, write_bundle
    from quantize.compress.calibration import choose_filled, choose_photos, load_photos
    from quantize.models import load_student

    options, name = run.config["export"], run.config["name"]
    torch.set_num_threads(run.config.get("threads", 1))
    weights = run.need("quantize", "weights.pt")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    scales = channel_scale_of(state)
    sizes = [_size(s) for s in options["sizes"]]
    extra = [_size(s) for s in options["evaluation_sizes"]]
    samples, seed = _samples(run), run.config["seed"]
    chosen = choose_photos(samples, run.config["quantize"]["photos"], seed)
    kinds = [paths for paths in (chosen, choose_filled(samples, options["filled_photos"], seed)) if paths]
    images = {size: [load_photos(paths, size) for paths in kinds] for size in dict.fromkeys([*sizes, *extra])}
    exported = e.export(
        load_student(run.need("quantize", "float.pt")),
        scales,
        name,
        folder,
        images,
        [load_photos(chosen, _size(run.config["quantize"]["photo_size"])), _large_photos(run)],
        rounded=load_student(weights),
        covered=options["covered"] if len(kinds) > 1 else 1.0,  # else what large faces say would be cut off
        keep_float=state["keep_float"],
        extra_sizes=extra,
        tflite=options["tflite"],
        python=options.get("litert_python"),
    )
    e.write_parity(folder, e.parity(exported, {s: images[s][0] for s in sizes}))
    manifest = make_manifest(name, "0", exported.models, scales, sizes)
    write_bundle(folder / f"{name}.efm", manifest, folder)
    if options["float_bundle"]:
        write_bundle(
            folder / f"{name}-float32.efm",
            make_manifest(f"{name}-float32", "0", exported.float_models, scales, sizes),
            folder,
        )
    if exported.extra_models:
        everything = make_manifest(name, "0", [*exported.models, *exported.extra_models], scales, [*sizes, *extra])
        write_bundle(folder / f"{name}-evaluation.efm", everything, folder)
    return {"bundle": str(folder / f"{name}.efm"), "bytes": (folder / f"{name}.efm").stat().st_size}


METHODS = {
    "gptq": "static, after training, with weights rounded together (GPTQ) and corrected biases",
    "ptq": "static, after training",
    "nncf": "static, after training, with NNCF's bias correction",
    "qat": "quantisation-aware tuning (NNCF), then static",
}


def channel_scale_of(state: dict[str, Any]) -> dict[int, NDArray[np.float32]]:
    """The channel scales that a checkpoint of step ``quantize`` has folded into its head."""
    return {int(s): np.array(v, np.float32) for s, v in state["channel_scale"].items()}


def _size(value: Sequence[int]) -> tuple[int, int]:
    width, height = value
    return int(width), int(height)


def evaluate(run: Run) -> dict[str, Any]:
    """Int8, float32 and the peers side by side; fails where int8 loses more than its budget."""
    bundle = run.need("export", f"{run.config['name']}.efm")
    return perform(run, "evaluate", _evaluate, [bundle], ["evaluate"])


def _evaluate(run: Run, folder: Path) -> dict[str, Any]:
    from quantize.evaluate import evaluation as v
    from quantize.evaluate.intervals import Resamples
    from quantize.evaluate.tables import write_intervals, write_table

    options, name = run.config["evaluate"], run.config["name"]
    resamples = Resamples(options["resamples"]) if options["resamples"] else None
    sets = Path(options["sets"])
    trials = list(v.TRIALS)
    if "trials" in options:
        trials = [v.Trial(t["set"], _size(t["size"]), t.get("turn", 0)) for t in options["trials"]]
    if not any((sets / t.name / "labels.jsonl").is_file() for t in trials):
        raise StepError(
            f"[evaluate].sets must hold labelled sets, but got none of {', '.join(t.name for t in trials)} in {sets}"
        )
    full = run.path("export", f"{name}-float32.efm")
    peers = [p for p in options["peers"] if Path(p.partition(":")[2]).is_file()]
    engine = None if run.engine == "local" else open_engine(run.engine, run.workers)
    results: list[dict[str, Any]] = []
    try:
        for runtime in options["runtimes"]:
            results += v.evaluate(
                [str(_bundle_for(run, runtime))],
                sets,
                folder,
                _served(_bundle_for(run, runtime), runtime, trials),
                runtime=runtime,
                engine=engine,
                before=results,
                resamples=resamples,
            )
        rest = [*([str(full)] if full.is_file() else []), *peers]
        results += v.evaluate(rest, sets, folder, trials, engine=engine, before=results, resamples=resamples)
        write_intervals(folder, resamples)
    finally:
        if engine is not None:
            engine.close()
        write_table(folder, results)
    broken = v.over_budget(results, name, options["budget"])
    if broken:
        from quantize.compress.accuracy import BudgetError

        raise BudgetError(f"int8 broke its budget ({'; '.join(broken)}); see {folder / 'table.md'}")
    return {"table": str(folder / "table.md"), "rows": len(results)}


def _bundle_for(run: Run, runtime: str) -> Path:
    """The draft bundle; for TFLite the one with further sizes where it was made."""
    name = run.config["name"]
    more = run.path("export", f"{name}-evaluation.efm")
    return more if runtime != "onnxruntime" and more.is_file() else run.need("export", f"{name}.efm")


def _served(bundle: Path, runtime: str, trials: Sequence[Any]) -> list[Any]:
    """Trials at a size that the bundle has a network for."""
    from edgeface.bundle import Bundle

    formats = ("onnx",) if runtime == "onnxruntime" else ("tflite",)
    opened = Bundle.open(bundle)
    return [t for t in trials if opened.select(formats, t.size) is not None]


def package(run: Run) -> dict[str, Any]:
    """The bundle that ships, and its model card."""
    name = run.config["name"]
    run.need("evaluate", "done.json")  # what broke a budget does not ship
    inputs = [
        run.need("export", f"{name}.efm"),
        run.need("evaluate", "table.json"),
        Path(run.config["package"]["lineage"]),
    ]
    return perform(run, "package", _package, inputs, ["package"])


def _said(phase: dict[str, Any]) -> str:
    """One phase of training for the model card; views of one process."""
    kinds, parts = batches_of(phase), parts_of(phase)
    views = parts * sum(batch for _, batch in kinds) / len(kinds)
    return f"{phase['steps']} steps of {views:g} at {' and '.join(str(size) for size, _ in kinds)} px"


def _package(run: Run, folder: Path) -> dict[str, Any]:
    import torch

    from quantize.package import card as p

    options, name = run.config["package"], run.config["name"]
    state = torch.load(run.need("quantize", "weights.pt"), map_location="cpu", weights_only=True)
    results = json.loads(run.need("evaluate", "table.json").read_text())
    phases = run.config.get("phases", [])
    training = {
        "seed": run.config["seed"],
        "phases": "; ".join(_said(phase) for phase in phases),
    }
    if run.config.get("init"):
        training["begun from"] = Path(run.config["init"]).name
    if state.get("mean_of"):
        training["weights"] = f"the mean of {' and '.join(state['mean_of'])}"
    lineage = p.read_lineage(Path(options["lineage"]))

    def made(draft: Path, training: dict[str, Any], calibration: dict[str, Any]) -> Path:
        return p.package(
            draft,
            Path(options["out"]),
            version=options["version"],
            licence=options["licence"],
            lineage=lineage,
            metrics=[r for r in results if r["model"].startswith(f"{draft.stem} ")],
            training=training,
            calibration=calibration,
            min_score=options["min_score"],
            nms_iou=options["nms_iou"],
        )

    path = made(
        run.need("export", f"{name}.efm"),
        training | {"quantisation": METHODS[state["method"]]},
        {"photos": len(state["photos"]), "of": "training sets only", "float_layers": state["keep_float"]},
    )
    full = run.path("export", f"{name}-float32.efm")
    if full.is_file():
        made(full, training, {})
    parameters = sum(v.numel() for v in state["ema"].values())
    card = Path(options["cards"]) / f"model-card-{name}.md"
    p.write_card(path, card, parameters)
    return {"bundle": str(path), "bytes": path.stat().st_size, "card": str(card)}


STEPS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "data": data,
    "label": label,
    "train": train,
    "quantize": quantize,
    "export": export,
    "evaluate": evaluate,
    "package": package,
}
