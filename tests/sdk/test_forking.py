"""A forked process has an engine's memory and not its threads: it raises and ends, and the first one goes on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from edgeface.bundle import bundled_models
from edgeface.engine import FaceEngine

_PROGRAM = """
import gc, os, signal, sys
import numpy as np
from edgeface import FaceEngine
from edgeface.errors import EngineClosedError

engine = FaceEngine(sys.argv[1], runtime=sys.argv[2], threads=2)
picture = np.zeros((64, 64, 3), np.uint8)
process = os.fork()
if process == 0:
    signal.alarm(20)
    for use in (engine.detect, engine.track):
        try:
            use(picture, "bgr")
        except EngineClosedError as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError("a fork was used")
    if sys.argv[3] == "close":
        engine.close()
    elif sys.argv[3] == "drop":
        del engine
        gc.collect()
    sys.exit(7)  # as programs end, with everything destroyed
_, status = os.waitpid(process, 0)
engine.detect(picture, "bgr")
engine.close()
print(status)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])


@pytest.mark.parametrize("end", ["close", "drop", "keep"])
def test_a_fork_raises_and_lets_go(bundle: Path, end: str) -> None:
    check(str(bundle), "onnxruntime", end)


@pytest.mark.skipif("edgeface-s" not in bundled_models(), reason="no network in this checkout")
def test_a_fork_of_litert_does_too() -> None:
    pytest.importorskip("ai_edge_litert")
    check("edgeface-s", "litert", "close")


def check(bundle: str, runtime: str, end: str) -> None:
    command = [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, bundle, runtime, end]
    # a thread of onnxruntime's telemetry would be waited for when the fork ends, engine or not
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(7 << 8)], done.stderr


def test_a_closed_engine_still_says_that_it_is_closed(bundle: Path) -> None:
    engine = FaceEngine(bundle, runtime="onnxruntime")
    engine.close()
    with pytest.raises(RuntimeError, match="got a closed one"):
        engine.detect(np.zeros((8, 8, 3), np.uint8), "bgr")
