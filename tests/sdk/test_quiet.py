"""What libraries print on their own account."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from edgeface.runtimes import installed, quiet
from edgeface.runtimes.quiet import without_line


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(quiet, "_done", set())
    yield


def test_one_line_is_left_out_and_all_others_come(capfd: pytest.CaptureFixture[str]) -> None:
    other = threading.Thread(target=os.write, args=(2, b"of another thread\n"))
    with without_line(b"INFO: noise"):
        os.write(2, b"before\nINFO: noise for CPU.\nafter\n")
        other.start()
        other.join()
    os.write(2, b"INFO: noise the second time is told\n")
    assert capfd.readouterr().err == "before\nafter\nof another thread\nINFO: noise the second time is told\n"


def test_only_the_first_use_catches_anything(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with without_line(b"noise"):
            os.write(2, b"noise\n")
    assert capfd.readouterr().err == "noise\n"


def test_errors_pass_and_stderr_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(ValueError, match="mine"), without_line(b"noise"):
        os.write(2, b"why\n")
        raise ValueError("mine")
    assert capfd.readouterr().err == "why\n"
    assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208


@pytest.mark.skipif(not installed("litert"), reason="LiteRT is not installed")
@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_litert_prints_nothing(redirection: str) -> None:
    program = (
        "import numpy as np, edgeface; engine = edgeface.FaceEngine(runtime='litert'); "
        "engine.detect(np.zeros((64, 64, 3), np.uint8), color='bgr'); print('done')"
    )
    command = ["sh", "-c", f'"$0" -P -c "$1" {redirection}', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
