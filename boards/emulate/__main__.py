"""``python -m boards.emulate``: runs edgeface on emulated ARM cores. `--help` lists the commands.

It uses argparse, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from boards.emulate import root as rootfs
from boards.emulate.guest_run import HERE
from boards.emulate.networks import RUNTIMES, Network, count_networks
from boards.emulate.table import CPUS

if TYPE_CHECKING:
    import numpy as np

EXAMPLE = rootfs.REPOSITORY / "examples" / "astronaut.jpg"
BUNDLES = rootfs.REPOSITORY / "edgeface" / "models"


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"size must be WIDTHxHEIGHT, but got {text!r}") from None
    return width, height


def _site(wheel: Path | None) -> Path:
    rootfs.build_all()
    return rootfs.unpack_wheel(wheel or rootfs.cross_build_wheel())


def _picture(path: Path, size: tuple[int, int] = (640, 480)) -> np.ndarray:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise rootfs.EmulationError(f"picture must be a picture, but got {path}")
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def run_root(_: argparse.Namespace) -> None:
    """Build missing parts of the arm64 root file system and print its folder."""
    rootfs.build_all()
    print(rootfs.root_dir())


def run_count(args: argparse.Namespace) -> None:
    """Count the executed instructions of one inference of network files."""
    rootfs.build_all()
    if args.int8 and args.runtime != "ncnn":
        raise rootfs.EmulationError("--int8 is for --runtime ncnn; give the others an int8 network")
    networks = [Network.of(model, args.size, None, args.runtime, rough_int8=args.int8) for model in args.model]
    for cpu in args.cpu:
        for network, counts in zip(networks, count_networks(networks, cpu), strict=True):
            if args.json:
                record = {"model": network.name, "runtime": network.runtime, "cpu": cpu, "size": network.size}
                print(json.dumps({**record, "instructions": counts}))
            else:
                millions = counts["total"] / 1e6
                print(f"{network.name}  {network.runtime}  {cpu}  {millions:.2f} M instructions/inference  {counts}")


def run_layers(args: argparse.Namespace) -> None:
    """Count the executed instructions of single layers in ncnn, for the step `search` of the toolchain."""
    from boards.emulate.layers import count_layers, write_table

    rootfs.build_all()
    with tempfile.TemporaryDirectory() as folder:
        write_table(args.out, count_layers(args.cpu, Path(folder)))


def run_python(args: argparse.Namespace) -> None:
    """Run Python with the cross-built edgeface on an emulated CPU, such as: run -- -P -m edgeface doctor."""
    from boards.emulate.guest_run import run_python as run

    site = _site(args.wheel)
    arguments = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    for cpu in args.cpu:
        print(run(arguments, cpu, [site]), end="")


#: The kernels against their reference, and the shipped networks on both runtimes.
TESTS = (
    "tests/core/test_decode.py::test_equals_reference",
    "tests/core/test_preprocess.py::test_equals_reference",
    "tests/core/test_preprocess.py::test_isa",
    "tests/sdk/test_bundled.py::test_the_astronaut_is_found_at_every_size",
)


def run_tests(args: argparse.Namespace) -> None:
    """Run some of the project's tests on an emulated CPU, with the cross-built edgeface."""
    from boards.emulate.guest_run import run_python as run

    site = _site(args.wheel)
    arguments = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    what = arguments or [str(rootfs.REPOSITORY / test) for test in TESTS]
    options = ["-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={rootfs.REPOSITORY}"]
    options += ["-c", str(rootfs.REPOSITORY / "pyproject.toml")]
    for cpu in args.cpu:
        print(f"{cpu}: {run([*options, *what], cpu, [site]).strip()}")


def run_equal(args: argparse.Namespace) -> None:
    """Compare results of the emulated CPUs with this machine; int8 results must be bit-identical."""
    from boards.emulate.compare import compare_pipeline

    site = _site(args.wheel)
    wrong = []
    for runtime in args.runtime:
        for got in compare_pipeline(args.bundle, runtime, args.size, _picture(args.picture), args.cpu, site, "int8"):
            print(f"{'equal' if got.exact else f'differs by {got.difference:.3g}'}: {got.faces} faces, {got.what}")
            wrong += [] if got.exact and got.faces else [got.what]
    if wrong:
        raise rootfs.EmulationError(f"must be equal to the bit, with faces, but are not: {'; '.join(wrong)}")


def run_bits(args: argparse.Namespace) -> None:
    """Compare the raw outputs of network files between the emulated CPUs, and print the largest difference."""
    from boards.emulate.compare import compare_networks

    rootfs.build_all()
    networks = [Network.of(model, args.size, None, args.runtime) for model in args.model]
    wrong = []
    for network, cpu, gap in compare_networks(networks, args.cpu):
        said = "equal" if gap == 0 else f"differs by {gap:.3g}"
        print(f"{network.name}  {network.runtime}  {cpu} and {args.cpu[0]}: {said}")
        wrong += [f"{network.name} on {cpu}"] if gap else []
    if args.exact and wrong:
        raise rootfs.EmulationError(f"must be equal to the bit, but are not: {', '.join(wrong)}")


def run_table(args: argparse.Namespace) -> None:
    """Instructions per frame of every network of the bundles and of other files, and of the stages; written into
    docs/boards.md and boards/results/instructions.json.
    """
    from boards.emulate import table
    from boards.emulate.stages import stage_records

    site = _site(args.wheel) if not args.keep_stages else None
    bundles = args.bundle or sorted(BUNDLES.glob("*.efm"))
    with tempfile.TemporaryDirectory() as folder:
        networks = [n for b in bundles for n in table.networks_of(b, Path(folder) / b.stem, args.size, args.runtime)]
        networks += [table.extra(text, args.size[-1]) for text in args.extra]
        counts = {}
        for cpu in args.cpu:
            counts[cpu] = count_networks(networks, cpu)
            print(f"{len(networks)} networks on {cpu}: done", file=sys.stderr, flush=True)
        records = table.records_of(networks, counts)
    if args.keep:
        records = table.kept(records, rootfs.versions())
    if site is None:
        stages = json.loads(table.RESULTS.read_text(encoding="utf-8"))["stages"]
    else:
        size = "x".join(map(str, args.size[0]))
        stages = stage_records(bundles[-1], size, _picture(args.picture), args.cpu, [site])
    print(table.write(records, stages, (*table.CPUS, HERE), rootfs.versions()))


def run_install(args: argparse.Namespace) -> None:
    """Pack the offline tar of a board, install it in the arm64 root without network access, and detect faces."""
    from boards.emulate.install import install_and_detect

    wheel = args.wheel or rootfs.cross_build_wheel()
    rootfs.build_all()
    for cpu in args.cpu:
        print(install_and_detect(wheel, args.board, cpu, args.picture), end="")


def run_wheel(args: argparse.Namespace) -> None:
    """Install cross-built wheels with their Python on an emulated ARM core, and detect faces."""
    from boards.emulate.wheels import try_wheel

    for wheel in args.wheel:
        print(try_wheel(wheel, _picture(args.picture)), flush=True)


def run_mca(args: argparse.Namespace) -> None:
    """Estimate the cycles of the kernels' inner loops with llvm-mca, as a Markdown table."""
    from boards.emulate import mca

    heads = [cpu.replace("cortex-a", "A") for cpu in mca.MODELS]
    print(f"| loop | instructions | {' | '.join(f'{head} cycles' for head in heads)} |\n|---|--:|{'--:|' * len(heads)}")
    for source in args.source or sorted(mca.SOURCES.glob("kernels_neon*.cpp")):
        options = ("-march=armv8.2-a+dotprod",) if "dotprod" in source.name else ()
        for loop in mca.innermost_loops(mca.assembly(source, options)):
            if len(loop.lines) < args.at_least:
                continue
            costs = [mca.cost(loop, model) for model in mca.MODELS.values()]
            cells = " | ".join(f"{c.cycles:.1f}" for c in costs)
            print(
                f"| {mca.demangled(loop.function)} {loop.number} | {costs[0].instructions:.0f} | {cells} |", flush=True
            )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m boards.emulate", description=__doc__)
    commands = top.add_subparsers(required=True)

    def add(name: str, run: object, cpus: tuple[str, ...] | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=getattr(run, "__doc__", ""), description=getattr(run, "__doc__", ""))
        command.set_defaults(run=run, default_cpus=cpus)
        if cpus is not None:
            known = [*sorted(rootfs.CPU_PARTS), *([HERE] if name in ("bits", "count", "table") else [])]
            command.add_argument("--cpu", action="append", choices=known, help=f"default: {cpus}")
        return command

    add("root", run_root)
    count = add("count", run_count, ("cortex-a76",))
    count.add_argument("model", nargs="+", type=Path)
    count.add_argument("--runtime", choices=sorted(set(RUNTIMES.values())))
    count.add_argument("--size", type=_size, default=(320, 320), help="WIDTHxHEIGHT for free ONNX dimensions")
    count.add_argument(
        "--int8", action="store_true", help="ncnn: count a float ONNX file as if in int8 (ranges made up)"
    )
    count.add_argument("--json", action="store_true")
    layers = add("layers", run_layers, CPUS)
    layers.add_argument("--out", type=Path, default=Path("boards/results/layer_costs.json"))
    bits = add("bits", run_bits, CPUS)
    bits.add_argument("model", nargs="+", type=Path)
    bits.add_argument("--exact", action="store_true", help="fail where any number differs")
    bits.add_argument("--runtime", choices=sorted(set(RUNTIMES.values())))
    bits.add_argument("--size", type=_size, default=(320, 320), help="WIDTHxHEIGHT for free ONNX dimensions")
    run = add("run", run_python, ("cortex-a76",))
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    tests = add("tests", run_tests, ("cortex-a53",))
    tests.add_argument("arguments", nargs=argparse.REMAINDER)
    equal = add("equal", run_equal, CPUS)
    equal.add_argument("--bundle", default=str(BUNDLES / "edgeface-s.efm"))
    equal.add_argument("--runtime", nargs="+", default=["litert", "onnxruntime"])
    equal.add_argument("--size", default="320x320")
    table = add("table", run_table, CPUS)
    table.add_argument("--bundle", action="append", type=Path, help="default: all bundles of edgeface/models")
    table.add_argument(
        "--extra",
        nargs="+",
        action="extend",  # a second --extra adds, it does not replace
        default=[],
        metavar="FILE[@WIDTHxHEIGHT][:RUNTIME]",
        help="any ONNX or TFLite files",
    )
    table.add_argument(
        "--runtime", nargs="+", choices=sorted(set(RUNTIMES.values())), default=[], help="of the bundles"
    )
    table.add_argument("--keep", action="store_true", help="keep what the last table has of other networks and CPUs")
    table.add_argument("--keep-stages", action="store_true", help="count no stages; the last ones stay")
    table.add_argument("--size", type=_size, nargs="+", default=[(320, 240), (320, 320)])
    install = add("install", run_install, ("cortex-a72",))
    install.add_argument("--board", default="rpi4")
    for command in (run, tests, equal, table, install):
        command.add_argument("--wheel", type=Path, help="aarch64 wheel; cross-built if left out")
    for command in (equal, table, install):
        command.add_argument("--picture", type=Path, default=EXAMPLE)
    wheel = add("wheel", run_wheel)
    wheel.add_argument("wheel", nargs="+", type=Path)
    wheel.add_argument("--picture", type=Path, default=EXAMPLE)
    mca = add("mca", run_mca)
    mca.add_argument("source", nargs="*", type=Path)
    mca.add_argument("--at-least", type=int, default=12, help="instructions of a loop worth a line")
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.default_cpus is not None and args.cpu is None:
        args.cpu = list(args.default_cpus)
    try:
        args.run(args)
    except rootfs.EmulationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
