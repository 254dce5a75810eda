"""``python -m boards.emulate``: build the arm64 root, count instructions.

It uses argparse, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from boards.emulate import root as rootfs
from boards.emulate.networks import RUNTIMES, count_network


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"size must be WIDTHxHEIGHT, but got {text!r}") from None
    return width, height


def _count(args: argparse.Namespace) -> None:
    rootfs.build_all()
    for cpu in args.cpu:
        for model in args.model:
            got = count_network(model, cpu, args.runtime, args.size)
            if args.json:
                record = {
                    "model": got.model,
                    "runtime": got.runtime,
                    "cpu": cpu,
                    "size": got.size,
                    "instructions": got.counts,
                }
                print(json.dumps(record))
            else:
                print(f"{got.model}  {got.runtime}  {cpu}  {got.millions:.2f} M instructions/inference  {got.counts}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m boards.emulate", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("root", help="build what is missing of the arm64 root and print its folder")
    command.set_defaults(run=lambda args: (rootfs.build_all(), print(rootfs.root_dir())))
    command = commands.add_parser("count", help="executed instructions of one inference")
    command.add_argument("model", nargs="+", type=Path)
    command.add_argument("--cpu", action="append", choices=sorted(rootfs.CPU_PARTS))
    command.add_argument("--runtime", choices=sorted(set(RUNTIMES.values())))
    command.add_argument("--size", type=_size, default=(320, 320), help="WIDTHxHEIGHT for free ONNX dimensions")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=_count)
    args = parser.parse_args(argv)
    if getattr(args, "cpu", None) is None:
        args.cpu = ["cortex-a76"]
    try:
        args.run(args)
    except rootfs.EmulationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
