"""``edgeface demo``: what somebody sees first."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgeface
import edgeface.web
from edgeface.cli import demo
from edgeface.cli.app import main
from edgeface.demo import CollageSource, portraits_path
from edgeface.gate import QualityGate
from edgeface.sources.images import ImagesSource
from edgeface.sources.realtime import RealTimeSource


@pytest.fixture
def page() -> Iterator[str]:
    """The address of a demo that runs as a process."""
    command = [sys.executable, "-P", "-m", "edgeface", "demo", "--collage", "--no-open", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        line = run.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address is not None, line
        yield address[0]
        run.send_signal(signal.SIGTERM)  # SIGINT is ignored in what a shell starts in the background
        assert run.wait(30) == 0
        assert run.stderr.read() == ""


def test_the_collage_has_faces_to_pass_and_to_refuse() -> None:
    reasons: set[str] = set()
    counts = []
    with edgeface.FaceEngine() as engine, CollageSource() as source:
        for seconds in (1.0, 2.6, 4.5):
            picture = source.picture(seconds)
            faces = engine.detect(picture, color="bgr")
            counts.append(len(faces))
            for report in QualityGate.preset("verify").check(faces, picture, color="bgr"):
                reasons |= set(report.reasons) or {"good"}
    assert min(counts) >= 3
    assert len(reasons) >= 3
    assert "good" in reasons


def test_the_collage_comes_as_a_camera_would() -> None:
    with CollageSource() as source:
        began = time.monotonic()
        frames = [source.read() for _ in range(6)]
        assert time.monotonic() - began >= 0.2
    assert [frame.sequence for frame in frames if frame is not None] == list(range(6))
    assert frames[0] is not None
    assert frames[5] is not None
    assert frames[0].size == (640, 480)
    assert (frames[0].planes[0] != frames[5].planes[0]).any()


def test_the_portraits_are_those_of_the_examples() -> None:
    examples = Path(__file__).parents[2] / "examples" / "portraits.jpg"
    assert portraits_path().read_bytes() == examples.read_bytes()


def test_the_page_shows_faces(page: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        record = json.load(urllib.request.urlopen(f"{page}faces.json", timeout=20))
        faces = record.get("faces", [])
        if len(faces) >= 3:
            break
        assert time.monotonic() < deadline, record
        time.sleep(0.05)
    assert len({face["track_id"] for face in faces}) == len(faces)
    assert any(face["reasons"] for face in faces)
    described = [face for face in faces if "points68" in face]
    assert 1 <= len(described) <= 4  # as many as the engine describes without being told
    for face in described:
        points = np.array(face["points68"])
        x1, y1, x2, y2 = face["box"]
        inside = (points > [x1 - 0.3 * (x2 - x1), y1 - 0.3 * (y2 - y1)]).all(1)
        inside &= (points < [x2 + 0.3 * (x2 - x1), y2 + 0.3 * (y2 - y1)]).all(1)
        assert points.shape == (68, 2) and inside.mean() > 0.9
    data = urllib.request.urlopen(f"{page}snapshot.jpg", timeout=20).read()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    green = (picture[..., 1] > 180) & (picture[..., 0] < 140) & (picture[..., 2] < 140)
    assert green.sum() > 100  # boxes


def test_a_real_browser_shows_it(page: str, tmp_path: Path) -> None:
    pytest.importorskip("websockets", reason="websockets is not installed (in a checkout pip install '.[dev]')")
    from support import browser

    if browser.CHROMIUM is None:
        pytest.skip("no Chromium")
    with browser.opened(page, tmp_path) as tab:
        browser.until(lambda: tab.value("document.getElementById('state').textContent") == "live")
        browser.until(lambda: tab.value("document.querySelectorAll('#faces td.bad').length") > 0)
        browser.until(lambda: tab.value("document.getElementById('picture').naturalWidth") == 640)


def test_without_a_camera_it_is_the_collage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))
    source = demo._chosen(None, False)
    assert isinstance(source, CollageSource)
    assert "no camera gives a picture" in capsys.readouterr().err
    assert isinstance(demo._chosen(None, True), CollageSource)
    assert capsys.readouterr().err == ""


def test_a_recording_is_played_as_it_was_taken(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    source = demo._chosen(str(tmp_path), False)
    assert isinstance(source, RealTimeSource)
    assert isinstance(source._source, ImagesSource)
    assert source._source._loop


def test_a_taken_port_is_no_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened: list[str] = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(demo, "_PORT", taken.getsockname()[1])
        assert main(["demo", "--collage", "--frames", "2"]) == 0
        assert main(["demo", "--collage", "--frames", "2", "--port", str(demo._PORT)]) == 1
    assert len(opened) == 1
    assert f"at {opened[0]} " in capsys.readouterr().err
    assert main(["demo", "0", "--collage"]) == 1


def test_a_turned_camera_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    monkeypatch.setattr(edgeface.web.LiveView, "show", lambda self, frame, faces, **_: shown.append(faces.rotation))
    command = ["demo", "--collage", "--frames", "2", "--no-open", "--port", "0"]
    assert main([*command, "--rotation", "90"]) == 0
    assert shown == [90, 90]
    assert main([*command, "--rotation", "45"]) == 1


def test_no_frames_are_no_number_of_frames(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--collage", "--no-open", "--port", "0", "--frames", "0"]) == 1
    assert "error: --frames must be at least 1, but got 0" in capsys.readouterr().err
