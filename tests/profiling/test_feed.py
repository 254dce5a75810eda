"""Recordings are measured whole, over and over, with tracking too."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.moving import ListSource, frame
from support.tiny import red_squares, write_bundle

from edgeface.cli.app import main
from edgeface.errors import ImageError, InvalidInputError
from edgeface.frame import Frame
from edgeface.images import write_image
from edgeface.profiling.feed import Recording, frame_feed
from edgeface.sources.base import Source

BYTES = 640 * 480


class Counted(Source):
    """Frames that say in their sequence which they are; every seventh read fails."""

    name, live = "counted", False

    def __init__(self, count: int) -> None:
        self._count, self.opened, self.reads = count, 0, 0

    def open(self) -> None:
        self._items: Iterator[int] = iter(range(self._count))
        self.opened += 1

    def read(self) -> Frame | None:
        self.reads += 1
        if self.reads % 7 == 3:
            raise ImageError("damaged")
        number = next(self._items, None)
        return None if number is None else frame(number)

    def close(self) -> None:
        pass


def taken(recording: Recording, count: int) -> list[int | None]:
    return [recording().sequence for _ in range(count)]


def test_a_recording_that_fits_is_given_whole_and_read_once() -> None:
    source = Counted(40)
    recording = Recording(source)
    assert taken(recording, 120) == [*range(40)] * 3
    for number in range(5):
        recording.fetch(number)
    assert source.opened == 1
    assert recording.describe() == "counted 640x480 gray, 40 frames, all of it, kept in memory"


@pytest.mark.parametrize("count", [25, 30, 31])
def test_of_a_longer_one_each_round_gets_the_next_part(count: int) -> None:
    recording = Recording(Counted(count), budget=10 * BYTES)
    parts = []
    for number in range(7):
        for _ in range(3):  # of every subject of the round
            recording.fetch(number)
        parts.append(taken(recording, 30)[:10])
    given = [part[: len(dict.fromkeys(part))] for part in parts]
    again = [number for part in given for number in part]
    assert again == [i % count for i in range(len(again))]
    assert {*again} == {*range(count)}
    assert "10 frames at a time, another part of it in each slice" in Recording(Counted(25), 10 * BYTES).describe()


def test_stamps_go_on_and_a_new_beginning_is_a_cut() -> None:
    recording = Recording(Counted(5))
    steps = np.diff([recording().timestamp_ns for _ in range(15)])
    assert (steps[[4, 9]] == 10**10).all()
    np.testing.assert_allclose(np.delete(steps, [4, 9]), 1e9 / 30, rtol=1e-6)


def test_a_pipe_that_cannot_begin_again_keeps_its_last_part() -> None:
    class Pipe(Counted):
        def open(self) -> None:
            super().open()
            if self.opened > 1:
                self._items = iter(())

    recording = Recording(Pipe(25), budget=10 * BYTES)
    for number in range(6):
        recording.fetch(number)
        last = taken(recording, 20)
    assert last == [20, 21, 22, 23, 24] * 4


def test_a_frame_larger_than_the_budget_is_still_given() -> None:
    assert taken(Recording(Counted(3), budget=10), 2) == [0, 0]


def test_a_recording_without_frames_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="source must be one that gives frames, but got list"):
        Recording(ListSource([]))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny.efm", tflite_sizes=())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A face that walks, as a video of 40 frames and as a folder of pictures, one of another size."""
    folder = tmp_path_factory.mktemp("recordings")
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 64))
    for i in range(40):
        writer.write(red_squares((64, 64), [(8 + i // 10 * 8, 24)]))
    writer.release()
    (folder / "pictures").mkdir()
    for i in range(20):
        write_image(folder / "pictures" / f"{i:02d}.png", red_squares((64, 64 if i else 48), [(8, 24)]))
    write_image(folder / "one.png", red_squares((64, 64), [(8, 24)]))
    return {"video": folder / "clip.avi", "folder": folder / "pictures", "picture": folder / "one.png"}


@pytest.mark.parametrize(("kind", "count"), [("video", 40), ("folder", 20), ("picture", 1)])
@pytest.mark.parametrize("command", ["bench", "profile"])
@pytest.mark.parametrize("track", [True, False])
def test_commands_measure_recordings_with_and_without_tracking(
    bundle: Path,
    recordings: dict[str, Path],
    tmp_path: Path,
    kind: str,
    count: int,
    command: str,
    track: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [command, "--source", str(recordings[kind]), "--model", str(bundle), "--runtime", "onnxruntime"]
    words += ["--duration", "0.4", "--out", str(tmp_path / "report.json"), *(["--track"] if track else [])]
    words += ["--runs", "2"] if command == "bench" else ["--no-matrix"]
    assert main(words) == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "report.json").read_text())
    assert f"{count} frame" in report["settings"]["frames"]
    assert "all of it" in report["settings"]["frames"]
    assert ("track" in report["subjects"][0]["summary"]) == track
    assert report["subjects"][0]["faces_per_frame"] > 0.3
    assert f"{count} frame" in capsys.readouterr().out


def test_noise_is_still_noise() -> None:
    feed, text = frame_feed(None, 64, 48)
    assert (feed().size, text) == ((64, 48), "noise 64x48 bgr")
