"""Does a runtime work on this machine? Tried in a process of its own: some die of an illegal instruction on old cores.

``python -m edgeface.profiling.probe RUNTIME`` is that process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["probe"]

_SECONDS: Final = 120
_REFUSED: Final = 3
#: A folder of sources that we are in is not the package (Python 3.10 has no such option).
_ELSEWHERE: Final = ("-P",) if sys.version_info >= (3, 11) else ()


def probe(runtime: str, command: Sequence[str] = ()) -> str | None:
    """Find no faces in a blank frame with the default model.

    Args:
        runtime: one of `edgeface.runtimes.RUNTIMES`, installed.
        command: to run in place of this module, for tests.

    Returns:
        None if that works or if no process can be started, else what happened, such as "dies of SIGILL".
    """
    argv = list(command) or [sys.executable, *_ELSEWHERE, "-m", "edgeface.profiling.probe", runtime]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"gives no result in {_SECONDS} s"
    except OSError:  # nothing can be started from here, under an emulator for one: no word against the runtime
        return None
    if done.returncode < 0:
        try:
            name = signal.Signals(-done.returncode).name
        except ValueError:
            name = f"signal {-done.returncode}"
        return f"dies of {name}"
    if done.returncode:
        lines = (done.stdout if done.returncode == _REFUSED else done.stderr).strip().splitlines()
        return lines[-1] if lines else f"ends with status {done.returncode}"
    return None


def main(arguments: Sequence[str]) -> int:
    """The process."""
    import numpy as np

    from edgeface.engine import FaceEngine
    from edgeface.errors import EdgeFaceError

    (runtime,) = arguments
    try:
        with FaceEngine(runtime=runtime) as engine:
            engine.detect(np.zeros((240, 320, 3), np.uint8), color="bgr")
    except EdgeFaceError as error:
        print(error)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
