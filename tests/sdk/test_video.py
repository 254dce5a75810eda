"""Videos through ``edgeface detect``, and faces that are covered."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import tiny
from support.moving import ListSource, Person, ScriptedEngine, frame

from edgeface.cli._progress import FrameProgress
from edgeface.cli.app import main
from edgeface.errors import ImageError, InvalidInputError
from edgeface.images import read_image, write_image
from edgeface.sources.video import VideoSource
from edgeface.tracking import Tracker
from edgeface.video import FaceCover, VideoWriter, detect_video, obscure

SIDE = 128
COUNT = 12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", sizes=[[64, 64]], default_size=[64, 64])


def write_clip(path: Path, count: int) -> Path:
    with VideoWriter(path, 25) as writer:
        for _ in range(count):
            writer.write(tiny.red_squares((SIDE, SIDE), [(32, 64)]))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.avi", COUNT)


@pytest.fixture
def detect(bundle: Path, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> tuple[int, str, str]:
        arguments = ("--model", bundle, "--runtime", "onnxruntime", "--size", f"{SIDE}x{SIDE}", *arguments)
        status = main(["detect", *map(str, arguments)])
        return status, *capfd.readouterr()

    return run


def pictures(path: Path) -> list[np.ndarray]:
    with VideoSource(path) as source:
        return [frame.planes[0] for frame in iter(source.read, None)]


def test_a_line_a_frame_with_time_and_track_ids(detect, clip: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, err = detect(clip, "--format", "jsonl")
    assert (status, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert list(records[0]) == ["file", "sequence", "timestamp_ns", "width", "height", "model", "sha256", "faces"]
    assert [record["sequence"] for record in records] == list(range(COUNT))
    assert [record["timestamp_ns"] for record in records] == [40_000_000 * i for i in range(COUNT)]
    assert records[0]["faces"] == []  # reported from the second sighting on
    assert [face["track_id"] for record in records[1:] for face in record["faces"]] == [1] * (COUNT - 1)


def test_the_table_sums_up_tracks(detect, clip: Path) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = detect(clip)
    assert status == 0
    assert f"{clip} ({SIDE}x{SIDE}, {COUNT} frames): 1 track" in out
    assert [cell.strip() for cell in out.splitlines()[4].split("│")[1:4]] == ["1", "0.04", "0.44"]


def test_faces_are_followed_between_searches(detect, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from edgeface.engine import FaceEngine

    searched, search = [], FaceEngine.detect
    monkeypatch.setattr(
        FaceEngine, "detect", lambda self, frame, **options: (searched.append(1), search(self, frame, **options))[1]
    )
    _, out, _ = detect(clip, "--format", "jsonl", "--every", "4")
    assert len(searched) == COUNT // 4
    assert [len(json.loads(line)["faces"]) for line in out.splitlines()] == [0] * 4 + [1] * 8


def test_an_annotated_copy_as_a_file_or_in_a_folder(detect, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert detect(clip, "--save", tmp_path / "new" / "out.mp4")[0] == 0
    assert detect(clip, "--save", tmp_path / "folder")[0] == 0
    for path in (tmp_path / "new" / "out.mp4", tmp_path / "folder" / "clip.mp4"):
        shown = pictures(path)
        assert len(shown) == COUNT
        differs = np.abs(shown[5].astype(int) - pictures(clip)[5]).max(2) > 60
        assert differs.any()  # the box is drawn


def test_a_turned_video_is_saved_upright(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "wide.avi"
    with VideoWriter(path, 25) as writer:
        for _ in range(4):
            writer.write(tiny.red_squares((SIDE, SIDE // 2), [(32, 32)]))
    status, out, _ = detect(path, "--rotation", "90", "--save", tmp_path / "out.mp4", "--format", "jsonl")
    assert status == 0
    assert json.loads(out.splitlines()[0])["width"] == SIDE
    assert pictures(tmp_path / "out.mp4")[0].shape == (SIDE, SIDE // 2, 3)


def test_pictures_can_be_turned_and_cut(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    photo = tmp_path / "photo.png"
    write_image(photo, tiny.red_squares((SIDE, SIDE), [(16, 16), (96, 96)]))
    whole = json.loads(detect(photo, "--format", "jsonl")[1])
    part = json.loads(detect(photo, "--format", "jsonl", "--roi", "64,64,128,128", "--size", "64x64")[1])
    turned = json.loads(detect(photo, "--format", "jsonl", "--rotation", "90")[1])
    assert len(whole["faces"]) == len(turned["faces"]) == 2
    assert len(part["faces"]) == 1
    assert min(part["faces"][0]["box"]) > 64
    # the network does not see which way is up: its landmarks turn with the picture
    assert turned["faces"][0]["landmarks"] != whole["faces"][0]["landmarks"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--blur", "pixelate"], "--blur must be used with --save"),
        (["--rotation", "45"], "--rotation must be one of 0, 90, 180, 270, but got 45"),
        (["--roi", "1,2,3"], "--roi must be four whole numbers"),
        (["--roi", "0,0,4000,4000"], "roi must be"),
        (["--every", "0"], "detect_every must be an integer of at least 1"),
    ],
)
def test_errors_name_the_option(detect, clip: Path, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    status, _, err = detect(clip, *arguments)
    assert status == 1
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_what_is_no_video_does_not_stop_the_others(bundle: Path, clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nonsense")
    command = [sys.executable, "-P", "-m", "edgeface", "detect", "--model", str(bundle), "--runtime", "onnxruntime"]
    command += ["--format", "jsonl", str(bad), str(tmp_path / "missing.mp4"), str(clip)]
    # as a process: OpenCV reads once how much it may say
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 1
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert [list(record) for record in records[:2]] == [["file", "error"]] * 2
    assert len(records) == 2 + COUNT
    assert [line.startswith("error: ") for line in run.stderr.splitlines()] == [True, True]


def test_folders_hold_pictures_and_videos(detect, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    write_image(folder / "a.png", tiny.red_squares((64, 64), []))
    write_image(folder / "z.png", tiny.red_squares((64, 64), []))
    (folder / "more" / "clip.avi").write_bytes(clip.read_bytes())
    status, out, _ = detect(folder, "--format", "jsonl")
    assert status == 0
    names = [Path(json.loads(line)["file"]).name for line in out.splitlines()]
    assert names == ["a.png", *["clip.avi"] * COUNT, "z.png"]


def test_save_needs_one_video_for_a_file_and_replaces_no_input(detect, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, _, err = detect(clip, clip, "--save", tmp_path / "out.mp4")
    assert (status, err.split(",")[0]) == (1, "error: --save must be a folder for pictures or several inputs")
    before = clip.read_bytes()
    assert detect(clip, "--save", clip)[0] == 1
    assert clip.read_bytes() == before


def test_every_is_for_videos(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_image(tmp_path / "photo.png", tiny.red_squares((64, 64), []))
    assert "--every must be left out without a video" in detect(tmp_path / "photo.png", "--every", "2")[2]


def test_an_interrupted_run_leaves_a_playable_file(bundle: Path, tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.avi", 3000)
    command = [sys.executable, "-P", "-m", "edgeface", "detect", str(long), "--model", str(bundle), "--format", "jsonl"]
    command += ["--runtime", "onnxruntime", "--save", str(tmp_path / "out.mp4")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # what a shell starts in the background ignores SIGINT, and so do its children: CI may run there
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        signal.signal(signal.SIGINT, before)
    with run:
        assert run.stdout is not None
        for _ in range(10):
            assert run.stdout.readline()
        run.send_signal(signal.SIGINT)
        rest, err = run.communicate(timeout=60)
    lines = 10 + rest.count("\n")
    assert run.returncode == 130, err
    assert lines < 3000
    assert f"stopped after {lines} of 3000 frames" in err
    assert len(pictures(tmp_path / "out.mp4")) == lines


def test_progress_in_a_log_tells_the_remaining_time(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 5.0, 12.0, 13.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with FrameProgress("a.mp4", 100) as progress:
        for _ in range(3):
            progress.advance()
    assert capfd.readouterr().err == "a.mp4: 2 of 100 frames, 10 min left\n"


@pytest.mark.parametrize("method", ["pixelate", "blur"])
def test_covered_pictures(detect, tmp_path: Path, method: str) -> None:  # type: ignore[no-untyped-def]
    photo = tmp_path / "photo.png"
    picture = np.random.default_rng(0).integers(0, 90, (SIDE, SIDE, 3), np.uint8)
    picture[64:72, 64:72] = (0, 0, 255)
    write_image(photo, picture)
    assert detect(photo, "--save", tmp_path / "out", "--blur", method)[0] == 0
    covered = read_image(tmp_path / "out" / "photo.jpg")
    changed = np.abs(covered.astype(int) - picture).max(2)
    assert (changed[58:78, 58:78] > 20).mean() > 0.8
    # far from the face it is the same picture, but for JPEG
    assert np.abs(covered[:24].astype(int) - picture[:24]).mean() < 20


def test_at_most_seven_by_seven_colours_are_left() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    covered = obscure(picture, np.array([[50, 50, 150, 150]]), margin=0.0)
    assert len(np.unique(covered[50:150, 50:150].reshape(-1, 3), axis=0)) <= 49
    assert (covered[:50] == picture[:50]).all()
    assert (obscure(picture, np.array([[500, 500, 600, 600], [-90, 20, -20, 90]]), margin=0.0) == picture).all()


def test_obscure_refuses_what_it_cannot_cover() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    for boxes, options in (
        (np.zeros(4), {}),
        (np.full((1, 4), np.nan), {}),
        (np.zeros((1, 4)), {"method": "black"}),
        (np.zeros((1, 4)), {"margin": -1}),
    ):
        with pytest.raises(InvalidInputError):
            obscure(picture, boxes, **options)
    with pytest.raises(InvalidInputError, match="image"):
        obscure(np.zeros((8, 8), np.uint8), np.zeros((0, 4)))
    assert not obscure(picture, []).any()  # type: ignore[arg-type]


def covered_video(script, count: int, **options: object) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """Where each frame was changed; the frames are noise."""
    noise = np.random.default_rng(2).integers(0, 255, (480, 640, 3), np.uint8)
    cover = FaceCover(**options)  # type: ignore[arg-type]
    source = ListSource([frame(i) for i in range(count)])
    source.open()
    given: list[np.ndarray] = []
    for _ in detect_video(ScriptedEngine(script), source, tracker=cover.tracker):
        given += cover.add(noise.copy())
    given += cover.finish()
    assert len(given) == count
    return [(picture != noise).any(2) for picture in given]


def where(person: Person) -> tuple[slice, slice]:
    half = person.size / 2
    return slice(int(person.y - half), int(person.y + half)), slice(int(person.x - half), int(person.x + half))


def walking(number: int) -> Person:
    return Person(100 + 4 * number, 200, 80)


def test_frames_with_a_missed_face_stay_covered() -> None:
    missed = {*range(10, 20), 25}
    changed = covered_video(lambda i: [] if i in missed else [walking(i)], 40)
    for number, mask in enumerate(changed):
        assert mask[where(walking(number))].mean() > 0.95, number
    assert not changed[15][:60].any()  # not the whole picture


def test_who_starts_to_run_while_missed_is_covered_on_the_way() -> None:
    """Found again too far away for the tracker: as somebody new, near where another was lost."""

    def running(i: int) -> Person:
        return Person(300, 400 - 14 * max(0, min(i, 16) - 9), 40)

    changed = covered_video(lambda i: [] if 10 <= i < 16 else [running(i)], 24)
    assert min(mask[where(running(i))].mean() for i, mask in enumerate(changed)) > 0.95


def test_a_face_is_covered_before_it_is_first_found() -> None:
    changed = covered_video(lambda i: [Person(300, 200, 80)] if i >= 12 else [], 20, ahead=8)
    share = [mask[where(Person(300, 200, 80))].mean() for mask in changed]
    assert share[3] == 0
    assert min(share[4:]) > 0.95


def test_a_face_that_has_gone_is_covered_for_lost_after() -> None:
    changed = covered_video(lambda i: [Person(300, 200, 80)] if i < 10 else [], 90, lost_after=1.0)
    share = [mask[where(Person(300, 200, 80))].mean() for mask in changed]
    assert min(share[:38]) > 0.95
    assert share[45] == 0


def test_covered_between_searches() -> None:
    changed = covered_video(lambda i: [walking(i)], 30, detect_every=5)
    assert min(mask[where(walking(i))].mean() for i, mask in enumerate(changed)) > 0.95


def test_a_covered_copy_of_a_video(detect, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert detect(clip, "--save", tmp_path / "out.mp4", "--blur", "pixelate")[0] == 0
    before, after = pictures(clip), pictures(tmp_path / "out.mp4")
    assert len(after) == COUNT
    for old, new in zip(before, after, strict=True):
        changed = np.abs(old.astype(int) - new).max(2)
        assert changed[60:76, 28:44].max() > 60
        assert changed[:40].max() < 20
        assert changed[:, 70:].max() < 20


def test_a_damaged_frame_does_not_end_it() -> None:
    source = ListSource([frame(0), ImageError("frame 1 must be decodable"), frame(2)])
    source.open()
    results = list(detect_video(ScriptedEngine(lambda i: []), source, tracker=Tracker()))
    assert [result.error for result in results] == [None, "frame 1 must be decodable", None]


@pytest.fixture
def opened(clip: Path) -> Iterator[VideoSource]:
    with VideoSource(clip) as source:
        yield source


def test_a_video_tells_its_rate_and_length(opened: VideoSource) -> None:
    assert (opened.fps, opened.frame_count) == (25.0, COUNT)
    opened.close()
    assert (opened.fps, opened.frame_count) == (0.0, None)


def test_the_writer_says_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"video must be written as one of .mp4, .* but got out.webm"):
        VideoWriter(tmp_path / "out.webm")
    with (
        pytest.raises(ImageError, match="video must be written to a writable file"),
        VideoWriter(tmp_path / "none" / "out.mp4") as writer,
    ):
        writer.write(np.zeros((64, 64, 3), np.uint8))


def test_what_is_complete_stays_and_others_than_pictures_are_refused(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mkv")
    for wrong in (np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3)), np.zeros((0, 64, 3), np.uint8)):
        with pytest.raises(InvalidInputError, match="image must be a uint8 array of shape"):
            writer.write(wrong)
    for _ in range(3):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.close()
    before = writer.path.read_bytes()
    with pytest.raises(ImageError, match="before its writer is closed"):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.close()
    assert writer.path.read_bytes() == before
    with pytest.raises(InvalidInputError, match="fps must be frames a second, but got '25'"):
        VideoWriter(tmp_path / "out.mkv", "25")  # type: ignore[arg-type]


def test_pictures_of_odd_and_other_sizes(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", float("nan")) as writer:
        for size in (65, 65, 32):
            writer.write(np.full((size, size, 3), 200, np.uint8))
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 30)
