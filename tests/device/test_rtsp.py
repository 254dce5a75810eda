"""A real RTSP stream, served by GStreamer on the loopback interface and read by OpenCV's FFmpeg."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.moving import ScriptedEngine

from edgeface.errors import SourceError
from edgeface.sources import open_source
from edgeface.streaming import Stream

SERVER = Path(__file__).parents[1] / "support" / "rtsp_server.py"
OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
#: Seconds for a stream to begin.
PATIENCE = 30.0


@contextmanager
def serving(port: int = 0) -> Iterator[int]:
    """The server and its port."""
    with subprocess.Popen(
        [sys.executable, str(SERVER), str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip():
                assert process.stderr is not None
                said = process.stderr.read().strip()
                if any(known in said for known in ("ModuleNotFoundError", "ImportError", "Namespace GstRtspServer")):
                    pytest.skip(f"no RTSP server here: {said.splitlines()[-1]}")
                raise AssertionError(said)
            yield int(line)
        finally:
            process.kill()


def address(port: int) -> str:
    return f"rtsp://127.0.0.1:{port}/red"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_come_by_either_transport(transport: str) -> None:
    with serving() as port, open_source(address(port), transport=transport, timeout=PATIENCE) as source:
        frames = [source.read() for _ in range(5)]
    stamps = []
    for frame in frames:
        assert frame is not None
        assert (frame.size, frame.color) == ((320, 240), "bgr")
        blue, green, red = frame.planes[0].reshape(-1, 3).mean(0)
        assert red > 200
        assert max(blue, green) < 40
        stamps.append(frame.timestamp_ns)
    assert stamps == sorted(set(stamps))
    assert OPTIONS not in os.environ  # the next source may want another transport


def test_a_server_that_goes_away_is_a_loss() -> None:
    with serving() as port:
        source = open_source(address(port), timeout=5.0)
        source.open()
        assert source.read() is not None
    with pytest.raises(SourceError, match="must go on giving frames"):
        for _ in range(1000):  # what is still on its way
            source.read()
    source.close()


def test_a_stream_outlives_its_server() -> None:
    engine = ScriptedEngine(lambda _: [])
    with serving() as port:
        stream = Stream(engine, open_source(address(port), timeout=5.0), retry=(0.1, 0.5))
        stream.start()
        assert stream.read(timeout=PATIENCE) is not None
    with serving(port), stream:
        results = 0
        for _ in range(200):
            result = stream.read(timeout=1.0)
            results += result is not None
            if stream.stats.reconnects and result is not None:
                break
        assert stream.stats.reconnects >= 1  # a busy machine may lose the new server once more
        assert results
