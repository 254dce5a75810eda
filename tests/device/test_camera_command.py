"""``edgeface camera`` from end to end, on the network whose answers can be worked out by hand."""

import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import points_bundle, tiny
from support.moving import Person, faces, frame

from edgeface.cli._best_shots import BestShots
from edgeface.cli.app import main
from edgeface.errors import ImageError
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.tracking import Tracker


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


def test_a_camera_that_is_not_there_is_told_once(bundle: Path) -> None:
    command = [sys.executable, "-P", "-m", "edgeface", "camera", "63", "--model", str(bundle)]
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 1
    summary, error = ran.stderr.splitlines()
    assert summary == "0 results of 0 frames, 0 dropped, 0 damaged, 0 reconnects"
    assert error.startswith("error: source must be one that OpenCV can open, but got /dev/video63: no such device")


def test_points(bundle: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = points_bundle.write_bundle(tmp_path / "points.efm", made=points_bundle.weights(gain=0.0))
    arguments = ["camera", "--source", str(folder), "--model", str(bundle), "--format", "jsonl", "--points"]
    assert main([*arguments, "--points-model", str(model)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (face,) = records[5]["faces"]
    assert np.shape(face["points68"]) == (68, 2) and face["eyes_open"] == pytest.approx([0.9, 0.8], abs=0.01)
    middle = np.mean(face["points68"], 0)
    x1, y1, x2, y2 = face["box"]
    assert x1 < middle[0] < x2 and y1 < middle[1] < y2
    assert main([*arguments, "--points-model", str(tmp_path / "none.efm")]) == 1
    assert "must be the path of a bundle" in capsys.readouterr().err


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
        (["--source", "FOLDER", "--frames", "0"], "--frames must be at least 1, but got 0"),
        (["--source", ""], "source must be a camera number"),
        (["FOLDER", "--source", "FOLDER"], "source must be given once"),
        (["FOLDER/00.png"], r"SOURCE must be .*edgeface detect reads one picture"),
        (
            ["FOLDER", "--camera-size", "64x64"],
            r"--camera-size must be left out with pictures \(its frames come in their",
        ),
        (["0", "--loop"], "--loop must be left out with a camera"),
        (["rtsp://u:s3cret@h/x", "--range", "full"], r"--range for rtsp://u:\*\*\*@h/x"),
        (["FOLDER", "--strides", "a"], "--strides must be whole numbers"),
        (["-"], "say their color and size"),
        (["FOLDER", "--no-track", "--best-shots", "x"], "--best-shots must be used with --track"),
    ],
)
def test_wrong_use(
    bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    arguments = [argument.replace("FOLDER", str(folder)) for argument in arguments]
    assert main(["camera", "--model", str(bundle), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)


def test_bare_frames_with_padding_and_colours(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the options say reaches the source: NV12 whose planes are apart and whose rows are padded."""
    picture = cv2.cvtColor(tiny.red_squares((64, 64), [(8, 24)]), cv2.COLOR_BGR2YUV_I420)
    frame = np.zeros(80 * 64 + 100 + 80 * 32, np.uint8)
    frame[: 80 * 64].reshape(64, 80)[:, :64] = picture[:64]
    frame[80 * 64 + 100 :].reshape(32, 80)[:, :64] = picture[64:].reshape(2, -1).T.reshape(32, 64)
    raw = tmp_path / "frames.nv12"
    raw.write_bytes(frame.tobytes() * 3)
    options = ["--pixel-format", "nv12", "--camera-size", "64x64", "--strides", "80,80", "--offsets", "0,5220"]
    arguments = ["camera", str(raw), *options, "--matrix", "bt601", "--range", "limited", "--model", str(bundle)]
    assert main([*arguments, "--no-track"]) == 0
    assert capsys.readouterr().out.count("q0.75") == 3


def test_a_recording_loops_in_real_time(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["camera", str(folder), "--model", str(bundle), "--fps", "200", "--loop", "--realtime"]
    assert main([*arguments, "--frames", "25"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 25


def test_a_full_disk_does_not_end_the_camera(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shots wait for room; if there is none at the end, the exit status and one line say so."""
    from edgeface import images

    frames, shots = tmp_path / "frames", tmp_path / "shots"
    frames.mkdir()
    for i in range(15):  # somebody who is gone after the fifth
        cv2.imwrite(str(frames / f"{i:02d}.png"), tiny.red_squares((64, 64), [(8, 24)] if i < 5 else []))
    write = images.write_image
    full = iter([True])

    def write_image(path: Path, picture: np.ndarray) -> None:
        if next(full, False):
            raise ImageError("image must be written to a writable file, but got x: No space left on device")
        write(path, picture)

    monkeypatch.setattr(images, "write_image", write_image)
    monkeypatch.setattr("edgeface.cli._best_shots._AGAIN_S", 0.0)
    arguments = ["camera", str(frames), "--model", str(bundle), "--fps", "5", "--best-shots", str(shots)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert len(list(shots.iterdir())) == 1
    assert captured.err.count("best shots wait until they can be written") == 1
    assert "15 results" in captured.err
    full = itertools.repeat(True)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 15
    assert "15 results" in captured.err
    assert "error: best shots must be written, but got 1 that could not be" in captured.err


def test_best_shots_of_a_crowd_that_is_still_there(tmp_path: Path) -> None:
    """A tracker keeps 16 that have ended; at the end of the camera more may be seen."""
    tracker = Tracker(min_hits=1)
    people = [Person(30 + 60 * (i % 10), 30 + 60 * (i // 10), 50) for i in range(30)]
    grey = frame(0)
    tracker.update(faces(people, timestamp_ns=0), grey)
    shots = BestShots(tmp_path)
    shots.finish(tracker)
    assert len(list(tmp_path.iterdir())) == 30
    tracker.reset()  # all leave at once
    shots.finish(tracker)
    assert len(list(tmp_path.iterdir())) == 30
    again = BestShots(
        tmp_path
    )  # in the same second, or on a board whose clock does not run: no picture of before is replaced
    tracker.update(faces(people, timestamp_ns=10**10), grey)
    again.save(tracker)
    tracker.reset()
    again.save(tracker)
    assert len(list(tmp_path.iterdir())) == 60


def test_a_camera_that_is_not_there(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--source", "63", "--model", str(bundle)]) == 1
    assert "error: source must be one that OpenCV can open, but got /dev/video63" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serving_until_it_is_told_to_stop(bundle: Path, tmp_path: Path, number: int) -> None:
    """Live frames from a pipe that stays open: the view is up, signals end it within a second or so, with a summary."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options = ["--pixel-format", "bgr", "--camera-size", "64x64", "--serve", "--port", "0", "--format", "none"]
    options += ["--best-shots", str(tmp_path / "shots")]
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
            process.send_signal(number)
            err = process.communicate(timeout=30)[1]
        assert process.returncode == 0
        assert "results of" in err
        assert "Traceback" not in err
        assert len(list((tmp_path / "shots").iterdir())) == 1
    finally:
        process.kill()
        process.wait()


def test_a_reader_that_hangs_does_not_keep_it_from_stopping(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """Nobody reads stdout, and the pipe is full: the write is given up after a while, and the shots are written."""
    shots = tmp_path / "shots"
    options = ["--loop", "--format", "jsonl", "--best-shots", str(shots), "--model", str(bundle)]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _MAIN, "camera", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        _until_full(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "results of" in process.stderr.read()
    assert len(list(shots.iterdir())) == 1


def _until_full(process: subprocess.Popen[str]) -> None:
    """Wait until the pipe behind a process' stdout takes no more."""
    end = os.open(f"/proc/{process.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    deadline = time.monotonic() + 60
    try:
        while select.select([], [end], [], 0)[1]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.close(end)


@pytest.mark.parametrize("output_format", ["line", "jsonl"])
def test_a_full_disk_behind_stdout_is_one_line(bundle: Path, folder: Path, tmp_path: Path, output_format: str) -> None:
    options = ["--model", str(bundle), "--format", output_format, "--best-shots", str(tmp_path / "shots")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _MAIN, "camera", str(folder), *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "error: standard output must take what is written, but got: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_terminal_of_plain_letters(bundle: Path, folder: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-P", "-c", _MAIN, "camera", str(folder), "--model", str(bundle), "--no-track"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "yaw+20 pitch-10 roll+5 q0.75" in done.stdout


def test_a_lost_camera_is_told_at_once(bundle: Path, tmp_path: Path) -> None:
    """A network camera that goes away: a line when it is lost, none of them with the password."""
    from edgeface.web import LiveView

    picture = Frame.from_array(tiny.red_squares((64, 64), [(8, 24)]), "bgr")
    view = LiveView(port=0)
    address = f"http://user:s3cret@{view.url.removeprefix('http://')}stream.mjpg"
    command = [sys.executable, "-P", "-c", _MAIN, "camera", address, "--model", str(bundle), "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stop = threading.Event()

        def show() -> None:
            while not stop.wait(0.02):
                view.show(picture, Faces.empty((64, 64)))

        shower = threading.Thread(target=show)
        shower.start()
        assert process.stdout.readline()
        stop.set()
        shower.join()
        view.close()
        lost = ""
        while "is lost" not in lost:
            lost = process.stderr.readline()
            assert lost, "it ended"
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert "http://user:***@127.0.0.1" in lost
    assert "s3cret" not in lost + rest


# what a shell starts in the background ignores SIGINT, and so do its children: CI may run there
_MAIN = """
import signal, sys
from edgeface.cli.app import main
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.exit(main(sys.argv[1:]))
"""
