"""The verbs of ``python -m quantize``, and nothing else: each imports what it needs when it is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantize.run import Run

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train and package networks: data, label, train, compress, export, evaluate, package (docs/toolchain.md).",
)

RecipeFile = Annotated[Path, typer.Option("--recipe", "-c", metavar="FILE", help="Recipe (TOML file) of the network.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Change one value, such as train.optimizer.lr=1e-3."),
]
Folder = Annotated[
    Path | None, typer.Option("--run", metavar="FOLDER", help="Run folder. Default: that of the recipe.")
]
Engine = Annotated[str, typer.Option(help="Where to process photos: local, dask, or dask=ADDRESS of a scheduler.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of --engine dask. Default: one per core.")]
Device = Annotated[str, typer.Option(help="auto (an accelerator if available), cpu, cuda, cuda:1 …")]
Again = Annotated[bool, typer.Option("--again", help="Repeat the step even if it is up to date.")]
Checkpoint = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Float checkpoint. Default: train/ema.pt of the run.")
]
Runtime = Annotated[str, typer.Option(help="Runtime for bundles.")]
Size = Annotated[str, typer.Option(metavar="WxH", help="Input size; photos are letterboxed.")]


def _run(
    recipe: Path, settings: list[str] | None, folder: Path | None, engine: str = "local", workers: int | None = None,
    device: str = "auto", again: bool = False,
) -> Run:  # fmt: skip
    from quantize.config import load_recipe
    from quantize.run import Run

    wanted = load_recipe(recipe, [*(settings or []), *([f"run={folder}"] if folder else [])])
    return Run(wanted, engine, workers, device, again)


def _step(run: Run, name: str) -> Callable[..., dict[str, Any]]:
    """The work of a step, by what the recipe is for."""
    from importlib import import_module

    place = f"quantize.points.{name}" if run.recipe.task == "points" else f"quantize.{name}.step"
    if name in ("data", "search", "pretrain"):  # the data of all networks are read alike
        place = "quantize.data.step" if name == "data" else f"quantize.train.{name}"
    work: Callable[..., dict[str, Any]] = getattr(import_module(place), name)
    return work


@app.command()
def data(recipe: RecipeFile, settings: Setting = None, folder: Folder = None, again: Again = False) -> None:
    """Read the labelled sets and set aside the dev split."""
    from quantize.data.step import data as step

    step(_run(recipe, settings, folder, again=again))


@app.command()
def label(
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    engine: Engine = "local",
    workers: Workers = None,
    again: Again = False,
) -> None:
    """Add missing labels with teacher networks, and pack the photos."""
    run = _run(recipe, settings, folder, engine, workers, again=again)
    _step(run, "label")(run)


@app.command()
def pretrain(
    recipe: RecipeFile, settings: Setting = None, folder: Folder = None, device: Device = "auto", again: Again = False
) -> None:
    """Pre-train the backbone on masked photos, if enabled in the recipe."""
    from quantize.train.pretrain import pretrain as step

    step(_run(recipe, settings, folder, device=device, again=again))


@app.command()
def search(
    recipe: RecipeFile, settings: Setting = None, folder: Folder = None, device: Device = "auto", again: Again = False
) -> None:
    """Search for the channels that are worth their cost, if enabled in the recipe."""
    from quantize.train.search import search as step

    step(_run(recipe, settings, folder, device=device, again=again))


@app.command()
def train(
    recipe: RecipeFile, settings: Setting = None, folder: Folder = None, device: Device = "auto", again: Again = False
) -> None:
    """Train the network (torchrun -m quantize train … for several processes)."""
    run = _run(recipe, settings, folder, device=device, again=again)
    _step(run, "train")(run)


@app.command()
def compress(
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    again: Again = False,
) -> None:
    """Quantise the network to int8, within the accuracy budget of the recipe."""
    run = _run(recipe, settings, folder, device=device, again=again)
    _step(run, "compress")(run, checkpoint)


@app.command()
def export(recipe: RecipeFile, settings: Setting = None, folder: Folder = None, again: Again = False) -> None:
    """Export the network for each runtime, and compare the outputs."""
    run = _run(recipe, settings, folder, again=again)
    _step(run, "export")(run)


@app.command()
def evaluate(
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    engine: Engine = "local",
    workers: Workers = None,
    again: Again = False,
) -> None:
    """Evaluate the bundle, its float network and other detectors on held-out photos."""
    run = _run(recipe, settings, folder, engine, workers, again=again)
    _step(run, "evaluate")(run)


@app.command()
def package(recipe: RecipeFile, settings: Setting = None, folder: Folder = None, again: Again = False) -> None:
    """Write bundle and model card into the run folder."""
    run = _run(recipe, settings, folder, again=again)
    _step(run, "package")(run)


@app.command("all")
def everything(
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    engine: Engine = "local",
    workers: Workers = None,
    device: Device = "auto",
    again: Again = False,
) -> None:
    """Run all steps in order; steps that are up to date are skipped."""
    from quantize.doctor import STEPS, missing
    from quantize.run import StepError

    run = _run(recipe, settings, folder, engine, workers, device, again)
    lacks = {str(f): f for step in STEPS for f in missing(run.recipe, step, engine, device)}
    if lacks:
        raise StepError("\n".join(f"{f.step} needs {text}" for text, f in lacks.items()))
    for step in STEPS:
        if step in ("search", "pretrain") and not getattr(run.recipe, step).views:
            continue
        _step(run, step)(run)


@app.command()
def show(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (TOML file).")], settings: Setting = None
) -> None:
    """Print every value of a recipe and where it comes from."""
    from quantize.show import print_recipe

    print_recipe(recipe, settings or [])


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the network; the recipe is NAME.toml.")],
    photos: Annotated[Path, typer.Option(metavar="DIR", help="Folder of photos and labels.")],
    labels: Annotated[
        Literal["voc", "coco", "wider", "yolo", "jsonl"] | None, typer.Option(help="Format of the labels.")
    ] = None,
    teachers: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of teacher weights, which label photos without labels."),
    ] = None,
) -> None:
    """Write a short recipe that fine-tunes edgeface-s on your own photos."""
    from quantize.new import write_recipe

    typer.echo(write_recipe(name, photos, labels, teachers))


@app.command()
def doctor(
    recipe: Annotated[
        Path | None, typer.Option("--recipe", "-c", metavar="FILE", help="Check the requirements of this recipe.")
    ] = None,
    settings: Setting = None,
    engine: Engine = "local",
    device: Device = "auto",
) -> None:
    """List missing requirements of each step; exit status 1 if the recipe needs one of them."""
    from quantize.config import load_recipe
    from quantize.doctor import examine
    from quantize.show import print_findings

    wanted = load_recipe(recipe, settings or []) if recipe else None
    findings = examine(wanted, engine, device)
    print_findings(findings)
    if any(f.needed and not f.here for f in findings):
        raise typer.Exit(1)


@app.command()
def dev(
    recipe: RecipeFile,
    checkpoint: Checkpoint = None,
    photos: Annotated[int, typer.Option(min=0, help="Number of photos of each kind; 0 for all.")] = 0,
    source: Annotated[
        list[str] | None, typer.Option(metavar="SET", help="Use only photos of this set; may be repeated.")
    ] = None,
    turn: Annotated[int, typer.Option(help="Rotate the photos first: 0, 90, 180 or 270 degrees.")] = 0,
    settings: Setting = None,
    folder: Folder = None,
) -> None:
    """Print the figures of a checkpoint on the dev split."""
    from quantize.data.sample import read_samples
    from quantize.models import load_student
    from quantize.train.dev import measure

    run = _run(recipe, settings, folder)
    if run.recipe.task == "points":
        if source or turn:
            raise ValueError(
                "source and turn must not be given with a recipe of points, which is measured on all of its crops"
            )
        from quantize.points.dev import measure as measure_points
        from quantize.points.model import load_points

        points = load_points(checkpoint or run.need("train", "ema.pt"))
        typer.echo(json.dumps(measure_points(points, run.path("label", "dev-pack")), indent=1))
        return
    model = load_student(checkpoint or run.need("train", "ema.pt"))
    uses = {s.name: s.use for s in run.recipe.data.sets}
    if unknown := sorted(set(source or ()) - uses.keys()):
        raise ValueError(f"source must be one of {', '.join(uses)}, but got {', '.join(unknown)}")
    samples = [s for s in read_samples(run.need("label", "dev.jsonl")) if not source or s.source in source]
    typer.echo(json.dumps(measure(model, samples, uses, photos, turn), indent=1))


@app.command()
def ablate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Ablation file (TOML), such as quantize/recipes/ablation.toml.")
    ],
    device: Device = "auto",
) -> None:
    """Train short variants that differ in one setting each, and compare them."""
    from quantize.train.ablation import ablate as work

    typer.echo(work(file, device).read_text())


@app.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Bundles (path or name), peers (ADAPTER:FILE), checkpoints (float:FILE.pt)."
        ),
    ],
    sets: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the labelled sets.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for predictions and tables.")] = Path(
        "runs/compare"
    ),
    trial: Annotated[
        list[str] | None,
        typer.Option(metavar="SET@WxH[+90]", help="Set, input size, and optional rotation of the photos."),
    ] = None,
    runtime: Runtime = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="Precision for bundles: int8 or float32.")] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples for intervals; 0 for none.")] = 0,
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Evaluate bundles, checkpoints and other detectors side by side."""
    from quantize.evaluate.compare import compare as work

    typer.echo(work(models, sets, out, trial or [], runtime, precision, resamples, engine, workers))


@app.command()
def wider_official(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Bundle or peer.")],
    photos: Annotated[Path, typer.Option(metavar="DIR", help="The folder WIDER_val/images.")],
    truth: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the official wider_*_val.mat files.")],
    size: Size = "640x640",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for predictions.")] = Path(
        "runs/wider-official"
    ),
    runtime: Runtime = "onnxruntime",
    engine: Engine = "local",
    workers: Workers = None,
) -> None:
    """Evaluate on the easy, medium and hard subsets of WIDER FACE."""
    from quantize.evaluate.wider_official import measure

    typer.echo(json.dumps(measure(model, photos, truth, size, out, runtime, engine, workers)))


@app.command()
def forest(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Bundle or peer whose landmarks are used.")],
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    size: Size = "320x320",
    most: Annotated[int | None, typer.Option(min=1, help="Maximum number of training faces, evenly spaced.")] = None,
) -> None:
    """Evaluate a baseline for quality: random forests on 5 and 68 landmarks."""
    from quantize.evaluate.forest import measure

    typer.echo(json.dumps(measure(_run(recipe, settings, folder), model, size, most)))


@app.command()
def publish(
    recipe: RecipeFile,
    settings: Setting = None,
    folder: Folder = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing bundle.")] = False,
    models: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for the bundles.")] = Path(
        "edgeface/models"
    ),
    docs: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for the model card.")] = Path("docs"),
) -> None:
    """Copy a packaged bundle and its card into the checkout."""
    from quantize.package.publish import publish as work

    run = _run(recipe, settings, folder)
    for path in work(run, replace, models, docs, _step(run, "package")):
        typer.echo(path)


@app.command()
def compress_onnx(
    network: Annotated[Path, typer.Argument(metavar="NET.onnx", help="Any float32 network with one picture as input.")],
    photos: Annotated[Path, typer.Option(metavar="DIR", help="Folder of calibration photos.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Output folder for network and report.")] = Path(
        "runs/compress-onnx"
    ),
    metric: Annotated[
        str | None,
        typer.Option(metavar="MODULE:CALLABLE", help="Function from a network path to a number; larger is better."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of calibration photos.")] = 96,
    most_loss: Annotated[float, typer.Option(min=0, help="Maximum loss of the metric, compared with float.")] = 0.01,
    most_float_layers: Annotated[int, typer.Option(min=0, help="Maximum number of layers kept in float.")] = 8,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Input size, for networks with a dynamic size.")
    ] = None,
    mean: Annotated[str, typer.Option(metavar="R,G,B", help="Mean, subtracted from pixels (0 to 255).")] = "0,0,0",
    std: Annotated[str, typer.Option(metavar="R,G,B", help="Standard deviation, divides the pixels.")] = "255,255,255",
    bgr: Annotated[bool, typer.Option("--bgr", help="The network expects BGR.")] = False,
) -> None:
    """Quantise any ONNX network to int8, with a report per layer."""
    from edgeface.engine import parse_size
    from quantize.compress.any_onnx import compress_onnx as work

    result = work(
        network, photos, out, metric=metric, count=count, most_loss=most_loss, most_float_layers=most_float_layers,
        size=parse_size(size) if size else None, mean=_three("--mean", mean), std=_three("--std", std), bgr=bgr,
    )  # fmt: skip
    typer.echo(json.dumps(result, indent=1))


def _three(option: str, text: str) -> tuple[float, float, float]:
    try:
        a, b, c = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} must be three numbers with commas between, but got {text}") from None
    return a, b, c


@app.command()
def make_litert(
    folder: Annotated[Path | None, typer.Argument(help="Folder of the environment. Default: .venv-litert.")] = None,
) -> None:
    """Create the environment for TFLite export (2.1 GB)."""
    from quantize.export.tflite import VARIABLE, make_environment

    typer.echo(f"export {VARIABLE}={make_environment(folder)}")


def main() -> int:
    """Runs a verb. What a user can do something about is one line on stderr and status 1."""
    from edgeface.errors import EdgeFaceError
    from quantize.run import StepError

    try:
        app()
    except (EdgeFaceError, StepError, ValueError) as error:  # a RecipeError is a ValueError
        typer.echo(f"error: {error}", err=True)
        return 1
    except OSError as error:
        if error.filename is None and error.strerror:  # a full disk does not say what was written
            typer.echo(f"error: what is written must find room, but got: {error.strerror}", err=True)
        else:
            typer.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
