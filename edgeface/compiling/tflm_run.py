"""Runs a network in TensorFlow Lite Micro, in a process of its own: what does not fit its arena ends the process.

``python tflm_run.py NETWORK INPUT.npy OUTPUTS.npz ARENA_BYTES``; how the arena was used goes to stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(network: str, image: str, outputs: str, arena: str) -> None:
    """Write the outputs in the order of the network."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(Path(network).read_bytes(), arena_size=int(arena))
    interpreter.set_input(np.load(image), 0)
    interpreter.invoke()
    found: list[Any] = []
    while True:
        try:
            found.append(interpreter.get_output(len(found)))
        except IndexError:
            break
    np.savez(outputs, *found)
    interpreter.print_allocations()


if __name__ == "__main__":
    main(*sys.argv[1:])
