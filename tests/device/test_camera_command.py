"""``edgeface camera`` from end to end, on the network whose answers can be worked out by hand."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import cv2
import pytest
from support import tiny

from edgeface.cli.app import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten times the same square."""
    path = tmp_path_factory.mktemp("frames")
    for i in range(10):
        cv2.imwrite(str(path / f"{i:02d}.png"), tiny.red_squares((64, 64), [(8, 24)]))
    return path


def test_json_lines(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["camera", "--source", str(folder), "--model", str(bundle), "--format", "jsonl", "--gate", "attention"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["sequence"] for record in records] == list(range(10))
    assert records[0]["faces"] == []  # reported from the second sighting on
    assert {face["track_id"] for record in records for face in record["faces"]} == {1}
    assert records[5]["faces"][0]["reasons"] == ["too_small"]
    assert (records[0]["width"], records[0]["dropped"]) == (64, 0)
    assert "10 results of 10 frames, 0 dropped, 0 damaged, 0 reconnects" in err


def test_lines_without_tracking(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--source", str(folder), "--model", str(bundle), "--no-track", "--frames", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("0 age ")
    assert "yaw+20° pitch-10° roll+5° q0.75" in lines[0]


def test_best_shots_are_written(bundle: Path, folder: Path, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    arguments = ["camera", "--source", str(folder), "--model", str(bundle), "--format", "none"]
    assert main([*arguments, "--best-shots", str(shots)]) == 0
    (shot,) = shots.iterdir()
    assert shot.name.endswith("-1-q0.75.png")
    assert cv2.imread(str(shot)).shape == (112, 112, 3)


def test_raw_frames_of_a_region(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "frames.rgb"
    raw.write_bytes(tiny.red_squares((64, 64), [(8, 24), (40, 24)])[..., ::-1].tobytes() * 3)
    arguments = ["camera", "--source", str(raw), "--pixel-format", "rgb", "--camera-size", "64x64"]
    assert main([*arguments, "--model", str(bundle), "--no-track", "--roi", "32,0,64,64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.count("q0.75") == 1 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "nowhere.mp4"], "source must be .*, but got nowhere.mp4"),
        (["--gate", "strict"], "preset must be one of enrol, verify, attention"),
        (["--roi", "1,2,3"], "--roi must be four whole numbers"),
        (["--every", "3", "--no-track"], "--every must be used with --track"),
        (["--source", "FOLDER", "--fps", "0"], "fps must be above 0"),
    ],
)
def test_wrong_use(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    arguments = [str(folder) if argument == "FOLDER" else argument for argument in arguments]
    assert main(["camera", "--model", str(bundle), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)


def test_a_camera_that_is_not_there(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--source", "63", "--model", str(bundle)]) == 1
    assert "error: source must be one that OpenCV can open, but got /dev/video63" in capsys.readouterr().err


def test_serving_until_ctrl_c(bundle: Path, tmp_path: Path) -> None:
    """Live frames from a pipe that stays open: the view is up, Ctrl-C ends it within a second or so, with a summary."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options = ["--pixel-format", "bgr", "--camera-size", "64x64", "--serve", "--port", "0", "--format", "none"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN, "camera", "--source", str(pipe), "--model", str(bundle), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        # for reading too: opening must not wait for a process that may have died
        with os.fdopen(os.open(pipe, os.O_RDWR), "wb", buffering=0) as writer:
            picture = tiny.red_squares((64, 64), [(8, 24)]).tobytes()
            seen: dict[str, object] = {}
            deadline = time.monotonic() + 60
            while not seen.get("faces") and time.monotonic() < deadline:
                writer.write(picture)
                time.sleep(0.02)
                with urllib.request.urlopen(f"{url}faces.json", timeout=10) as answer:
                    seen = json.load(answer)
            assert seen["faces"]
            process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=30)[1]
        assert process.returncode == 0
        assert "results of" in err
        assert "Traceback" not in err
    finally:
        process.kill()
        process.wait()


# what a shell starts in the background ignores SIGINT, and so do its children: CI may run there
_MAIN = """
import signal, sys
from edgeface.cli.app import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
