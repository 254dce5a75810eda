"""``python -m quantize STEP --config X.toml``: the toolchain's command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from quantize.steps import Run

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML of the run, over quantize/configs/defaults.toml.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one value, such as quantize.photos=32."),
]
Folder = Annotated[Path | None, typer.Option("--folder", help="Run folder, instead of the config's.")]
Engine = Annotated[str, typer.Option(help="Where photos are worked on: local, dask, or dask=ADDRESS of a scheduler.")]
Workers = Annotated[int | None, typer.Option(help="Processes of --engine dask; as many as there are cores by default.")]
Device = Annotated[str, typer.Option(help="auto (an accelerator where there is one), cpu, cuda, cuda:1 …")]
Again = Annotated[bool, typer.Option("--again", help="Do it even if it is done.")]
Checkpoint = Annotated[Path | None, typer.Option(help="Float checkpoint to quantise, instead of the run's own.")]


def _opened(config: Path, settings: list[str] | None, folder: Path | None) -> tuple[dict[str, Any], Run]:
    """A config's values and the run that they describe, for commands beside the seven steps."""
    from quantize.config import load_config
    from quantize.steps import Run

    values = load_config(config, settings or [])
    return values, Run(values | ({"run": str(folder)} if folder else {}))


def _run(step: str, config: Path, settings: list[str] | None, folder: Path | None, **more: object) -> None:
    from quantize.config import load_config
    from quantize.steps import STEPS, Run

    values = load_config(config, settings or [])
    if folder is not None:
        values["run"] = str(folder)
    run = Run(values, **more)  # type: ignore[arg-type]
    names = list(STEPS) if step == "all" else [step]
    for name in names:
        STEPS[name](run)


def _plain(step: str, text: str) -> None:
    """Registers a step that works in this process."""

    @app.command(step, help=text)
    def command(config: Config, settings: Setting = None, run: Folder = None, again: Again = False) -> None:
        _run(step, config, settings, run, again=again)


def _spread(step: str, text: str) -> None:
    """Registers a step that goes over photos and can be spread over processes."""

    @app.command(step, help=text)
    def command(
        config: Config,
        settings: Setting = None,
        run: Folder = None,
        engine: Engine = "local",
        workers: Workers = None,
        again: Again = False,
    ) -> None:
        _run(step, config, settings, run, engine=engine, workers=workers, again=again)


_plain("data", "Read the labelled sets; bad files are reported and skipped.")
_spread("label", "Let the teachers fill in what is missing, and pack the photos.")


@app.command()
def train(
    config: Config, settings: Setting = None, run: Folder = None, device: Device = "auto", again: Again = False
) -> None:
    """Train the student (torchrun -m quantize train … for several processes)."""
    _run("train", config, settings, run, device=device, again=again)


@app.command()
def quantize(
    config: Config,
    settings: Setting = None,
    run: Folder = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    again: Again = False,
) -> None:
    """Make the weights int8, within the budget."""
    _run("quantize", config, settings, run, checkpoint=checkpoint, device=device, again=again)


_plain("export", "Write ONNX and TFLite files and compare them.")
_spread("evaluate", "Measure the bundle, its float network and the peers on labelled sets.")
_plain("package", "Write the bundle that ships, and its model card.")


@app.command(name="all")
def everything(
    config: Config,
    settings: Setting = None,
    run: Folder = None,
    engine: Engine = "local",
    workers: Workers = None,
    device: Device = "auto",
    again: Again = False,
) -> None:
    """All seven steps, one after the other."""
    _run("all", config, settings, run, engine=engine, workers=workers, device=device, again=again)


@app.command()
def ablate(config: Config, settings: Setting = None, folder: Folder = None, device: Device = "auto") -> None:
    """Train short variants, one switch at a time, and compare them."""
    from quantize.train.ablation import ablate as work
    from quantize.train.ablation import markdown

    values, run = _opened(config, settings, folder)
    packed = run.need("label", "pack/samples.jsonl").parent
    typer.echo(markdown(work(values, packed, run.path("ablate"), device)))


@app.command()
def pulls(
    config: Config,
    settings: Setting = None,
    folder: Folder = None,
    batches: Annotated[int, typer.Option(min=1, help="Of the last phase, with the run's last checkpoint.")] = 8,
    device: Device = "auto",
) -> None:
    """Print how hard each loss pulls at each part of the network, and how far along with all of them."""
    from quantize.train.loop import Trainer
    from quantize.train.pulls import markdown
    from quantize.train.pulls import pulls as work

    values, run = _opened(config, settings, folder)
    packed = run.need("label", "pack/samples.jsonl").parent
    typer.echo(markdown(work(Trainer(values, packed, run.need("train", "last.pt").parent, device), batches)))


@app.command()
def inherit(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="ema.pt of a trained student.")],
    config: Config,
    out: Annotated[Path, typer.Option(help="Receives the checkpoint to begin with (`init`).")],
    steps: Annotated[int, typer.Option(min=1, help="Of the config's first phase, without mined places.")] = 1800,
    lr: Annotated[float, typer.Option(help="At its highest.")] = 3e-3,
    settings: Setting = None,
    folder: Folder = None,
    device: Device = "auto",
) -> None:
    """Let the config's student, of another shape, begin with what a trained one knows."""
    import torch
    from rich.progress import track

    from quantize.files import replacing
    from quantize.models import build_student, checkpoint_of, load_student
    from quantize.train.inherit import inherit as work
    from quantize.train.loader import phase_views
    from quantize.train.loop import pick_device

    values, run = _opened(config, settings, folder)
    packed = run.need("label", "pack/samples.jsonl").parent
    torch.manual_seed(values["seed"])
    torch.set_num_threads(values.get("threads", 1))
    where = pick_device(device)
    distances: list[float] = []
    views = (x for x, _ in track(phase_views(values, 0, packed, 0, steps, where), "inherit", steps))
    new, old = build_student(values["student"]).to(where), load_student(checkpoint, where)
    model = work(new, old, views, steps, lr, lambda _, apart: distances.append(apart))
    with replacing(out) as part:
        torch.save(checkpoint_of(model.cpu(), seed=values["seed"]), part)
    last = distances[-max(1, steps // 10) :]
    typer.echo(f"{out}: its backbone is {sum(last) / len(last):.3f} of the old one's sum of squares away")


@app.command()
def reshape(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A trained edgeface-s.")],
    config: Config,
    out: Annotated[Path, typer.Option(help="Receives the checkpoint to begin with (`init`).")],
    stem_dense: Annotated[int, typer.Option(min=0, help="Convolutions more at stride 4.")] = 0,
    dense_unit: Annotated[list[str] | None, typer.Option(help="A unit to make dense, such as towers.0.")] = None,
    branch: Annotated[int | None, typer.Option(min=1, help="Channels at stride 32, fewer than it has.")] = None,
    batches: Annotated[int, typer.Option(min=1, help="Views that its channels are compared on.")] = 8,
    settings: Setting = None,
    folder: Folder = None,
) -> None:
    """Give a trained student more weights where they count, or fewer; it computes what it did until it learns."""
    from dataclasses import replace

    import torch

    from quantize.models.dense import Dense
    from quantize.files import replacing
    from quantize.models import checkpoint_of, fuse, load_student
    from quantize.reshape import reshape as work
    from quantize.train.loader import phase_views

    values, run = _opened(config, settings, folder)
    packed = run.need("label", "pack/samples.jsonl").parent
    old = fuse(load_student(checkpoint))
    if not isinstance(old, Dense):
        raise typer.BadParameter(f"must be of edgeface-s as it is today, but got one of {old.config}")
    wanted = replace(
        old.config,
        stem_dense=old.config.stem_dense + stem_dense,
        dense_units=tuple(dict.fromkeys([*old.config.dense_units, *(dense_unit or [])])),
        widths=(*old.config.widths[:2], branch or old.config.widths[2]),
    )
    views = [x for x, _ in phase_views(values, 0, packed, 0, batches, torch.device("cpu"))]
    new = work(old, wanted, views)
    with torch.no_grad():
        levels = [zip(old(x), new(x), strict=True) for x in views]
        squares = [sum(float((a - b).square().mean()) for a, b in level) for level in zip(*levels, strict=True)]
    with replacing(out) as part:
        torch.save(checkpoint_of(new, reshaped=checkpoint.name), part)
    count = sum(p.numel() for p in new.parameters())
    apart = ", ".join(f"{(s / batches) ** 0.5:.3f}" for s in squares)
    typer.echo(f"{out}: {count:,} parameters, outputs {apart} (rms) from the old ones")


@app.command()
def second_opinion(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A student that learnt from these labels.")],
    config: Config,
    size: Annotated[list[int] | None, typer.Option(help="Sides of its input, 640 and 320 by default.")] = None,
    settings: Setting = None,
    folder: Folder = None,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Let a trained student doubt what the detector alone labelled, and confirm what it doubted; then train again.

    Changes label/pack/samples.jsonl, which `train` reads; label/samples.jsonl stays, and is what every call begins
    with.
    """
    from quantize.data.sample import read_samples, write_samples
    from quantize.evaluate.detectors import DetectorSpec
    from quantize.engines import open_engine
    from quantize.evaluate.evaluation import look
    from quantize.second_opinion import reconsider

    _, run = _opened(config, settings, folder)
    labelled = {s.path: s for s in read_samples(run.need("label", "samples.jsonl"))}
    packed = run.need("label", "pack/samples.jsonl")
    samples = [labelled[s.path] for s in read_samples(packed)]  # unreadable photos are not in the pack
    known = {s.path: len(s.faces) for s in read_samples(run.need("data", "samples.jsonl"))}
    asked = [s for s in samples if any(f.extra.get("box_from") == "yunet" for f in s.faces[known.get(s.path, 0) :])]
    specs = [DetectorSpec(f"float:{checkpoint}", (side, side)) for side in size or (640, 320)]
    taken = made = 0
    opened = open_engine(engine, workers)
    try:
        for sample, opinions in zip(asked, look(specs, asked, opened), strict=True):
            sample.faces, fewer, more = reconsider(sample.faces, opinions, known.get(sample.path, 0))
            taken, made = taken + fewer, made + more
    finally:
        opened.close()
    write_samples(packed, samples)
    typer.echo(f"{packed}: {taken} faces became ignore regions, {made} ignore regions faces, in {len(asked)} photos")


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Bundles (path, name), peers (ADAPTER:FILE.onnx), checkpoints (float:A.pt; a mean: float:A.pt+B.pt).",
        ),
    ],
    sets: Annotated[Path, typer.Option(help="Folder that holds the labelled sets.")],
    out: Annotated[Path, typer.Option(help="Receives predictions and tables.")] = Path("runs/compare"),
    trial: Annotated[
        list[str] | None,
        typer.Option(metavar="SET@WxH[+90]", help="Set, input size, turn of its photos; those of the docs by default."),
    ] = None,
    runtime: Annotated[str, typer.Option(help="Of bundles.")] = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="Of bundles: int8 or float32.")] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Bootstrap over photos: how far figures and differences would move.")
    ] = False,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Measure any bundles, checkpoints and peers side by side."""
    from quantize.evaluate import evaluation as v
    from quantize.engines import open_engine
    from quantize.evaluate.intervals import Resamples
    from quantize.evaluate.tables import markdown, write_intervals

    trials = [v.Trial.parse(t) for t in trial] if trial else list(v.TRIALS)
    opened = None if engine == "local" else open_engine(engine, workers)
    resamples = Resamples() if intervals else None
    try:
        results = v.evaluate(
            models, sets, out, trials, runtime=runtime, precision=precision, engine=opened, resamples=resamples
        )
    finally:
        if opened is not None:
            opened.close()
    write_intervals(out, resamples)
    typer.echo(markdown(results))
    if intervals:
        typer.echo((out / "intervals.md").read_text())


@app.command()
def mean(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...", help="ema.pt of runs of one student.")],
    out: Annotated[Path, typer.Option(help="Receives the checkpoint of the mean.")],
    landmarks: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINT", help="The one of them whose rows for landmarks are kept.")
    ] = None,
) -> None:
    """Average checkpoints of one path of training; compare says whether that does better."""
    import torch

    from quantize.files import replacing
    from quantize.soup import mean_checkpoint

    state = mean_checkpoint(checkpoints, landmarks)
    with replacing(out) as part:
        torch.save(state, part)
    typer.echo(f"{out}: the mean of {', '.join(state['mean_of'])}")


@app.command()
def wider_official(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Bundle or peer.")],
    photos: Annotated[Path, typer.Option(help="WIDER_val/images.")],
    truth: Annotated[Path, typer.Option(help="Folder of the authors' wider_*_val.mat.")],
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size; photos are letterboxed.")] = "640x640",
    out: Annotated[Path, typer.Option(help="Receives predictions.")] = Path("runs/wider-official"),
    runtime: Annotated[str, typer.Option(help="Of a bundle.")] = "onnxruntime",
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Measure easy, medium and hard on the full WIDER FACE."""
    import json

    from edgeface.engine import parse_size
    from quantize.evaluate import evaluation as v
    from quantize.data.readers import read_folder
    from quantize.evaluate.detectors import DetectorSpec
    from quantize.engines import open_engine
    from quantize.evaluate.wider_official import official, read_truth

    labels = read_truth(truth)
    samples, _ = read_folder(photos)
    spec = DetectorSpec(model, parse_size(size), runtime)
    opened = None if engine == "local" else open_engine(engine, workers)
    try:
        found = v.predict(spec, samples, out / f"{v.name_of(spec)}.jsonl", opened)
    finally:
        if opened is not None:
            opened.close()
    keyed = {key: found[Path(key).name] for key in labels if Path(key).name in found}
    result = {"rule": f"letterbox {size}", "photos": len(keyed), "of": len(labels)}
    typer.echo(json.dumps(result | {k: round(ap, 4) for k, ap in official(labels, keyed).items()}))


@app.command()
def forest(
    config: Config,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Bundle or peer whose landmarks are used.")],
    settings: Setting = None,
    folder: Folder = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Input size of the detector.")] = "320x320",
) -> None:
    """Measure the baseline for quality: a random forest on landmarks, against the network's own."""
    import json

    from edgeface.engine import parse_size
    from quantize.evaluate import evaluation as v
    from quantize.data.jsonl import read_jsonl
    from quantize.data.sample import read_samples
    from quantize.evaluate.detectors import DetectorSpec
    from quantize.evaluate.discard import score_quality
    from quantize.evaluate.forest import train_forest, with_quality

    values, run = _opened(config, settings, folder)
    samples = [
        s for s in read_samples(run.need("label", "samples.jsonl")) if any(f.quality is not None for f in s.faces)
    ]
    held = Path(values["evaluate"]["sets"]) / "people_degraded"
    test = read_jsonl(held)[0]
    spec = DetectorSpec(model, parse_size(size))
    out = run.path("forest", v.name_of(spec))
    seen = v.predict(spec, samples, out / "train.jsonl")
    found = v.predict(spec, test, out / "people_degraded.jsonl")
    trained = train_forest(samples, seen, values["seed"])
    result = {"own": score_quality(test, found, held / "embeddings.npz")}
    result["forest"] = score_quality(test, with_quality(found, trained), held / "embeddings.npz")
    (out / "forest.json").write_text(json.dumps(result, indent=1))
    typer.echo(json.dumps(result))


@app.command()
def make_litert(
    folder: Annotated[Path | None, typer.Argument(help="Of the environment; .venv-litert by default.")] = None,
) -> None:
    """Make the environment that TFLite export runs in (2.1 GB)."""
    from quantize.export.tflite import VARIABLE, make_environment

    typer.echo(f"export {VARIABLE}={make_environment(folder)}")


def main() -> int:
    """Errors that a user can do something about are one line; status 1."""
    from edgeface.errors import EdgeFaceError
    from quantize.config import ConfigError
    from quantize.package.card import LineageError
    from quantize.compress.accuracy import BudgetError
    from quantize.steps import StepError
    from quantize.export.tflite import ConverterMissingError

    try:
        app()
    except (
        EdgeFaceError,
        ConfigError,
        LineageError,
        BudgetError,
        StepError,
        ConverterMissingError,
        FileNotFoundError,
    ) as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
