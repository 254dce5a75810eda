import gc
import os
import sys
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface._opencv import silenced
from edgeface.errors import ImageError, InvalidInputError, SourceError
from edgeface.frame import Frame
from edgeface.sources import open_source
from edgeface.sources.camera import CameraSource
from edgeface.sources.gstreamer import GstSource
from edgeface.sources.images import ImagesSource
from edgeface.sources.raw import RawSource
from edgeface.sources.video import NetworkSource, VideoSource

pytestmark = pytest.mark.filterwarnings("ignore:DynamicImporter:ImportWarning")  # PyGObject 3.42 of Debian 12


def picture(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(10 * i))
    return tmp_path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for i in range(5):
        writer.write(picture(40 * i))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("spec", "kind", "name"),
    [
        (0, CameraSource, "/dev/video0"),
        ("2", CameraSource, "/dev/video2"),
        ("/dev/video7", CameraSource, "/dev/video7"),
        ("rtsp://10.0.0.1/a", NetworkSource, "rtsp://10.0.0.1/a"),
        ("http://10.0.0.1/mjpg", NetworkSource, "http://10.0.0.1/mjpg"),
        ("videotestsrc ! identity", GstSource, "videotestsrc ! identity"),
    ],
)
def test_what_names_a_source(spec: int | str, kind: type, name: str) -> None:
    source = open_source(spec)
    assert type(source) is kind
    assert source.name == name
    assert source.live


def test_files_and_folders(folder: Path, video: Path) -> None:
    assert isinstance(open_source(folder), ImagesSource)
    assert isinstance(open_source(folder / "0.png"), ImagesSource)
    assert isinstance(open_source(str(video)), VideoSource)
    assert isinstance(open_source(video, color="nv12", size=(4, 4)), RawSource)
    source = ImagesSource([folder])
    assert open_source(source) is source


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a file that exists, but got nowhere\.mp4: it does not exist"):
        open_source("nowhere.mp4")
    with pytest.raises(InvalidInputError, match=r"source must be .*, but got 1\.5"):
        open_source(1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"options of a camera \(0\) must be among .*, but got colour"):
        open_source(0, colour="bgr")
    with pytest.raises(InvalidInputError, match="left out with a Source"):
        open_source(ImagesSource(tmp_path), fps=3)
    with pytest.raises(InvalidInputError, match="color must be one of"):
        open_source(__file__, color="pink", size=(4, 4))


def test_pictures_come_in_order_with_stamps(folder: Path) -> None:
    frames = list(open_source(folder, fps=10))
    assert [int(f.planes[0][0, 0, 0]) for f in frames] == [0, 10, 20]
    assert [f.timestamp_ns for f in frames] == [0, 100_000_000, 200_000_000]


def test_pictures_can_loop_and_damaged_ones_are_left_out(folder: Path) -> None:
    (folder / "1.png").write_bytes(b"not a picture")
    source = ImagesSource(folder, loop=True)
    frames = [frame for frame, _ in zip(source, range(6), strict=False)]
    assert [int(f.planes[0][0, 0, 0]) for f in frames] == [0, 20] * 3
    with ImagesSource(folder) as opened:
        opened.read()
        with pytest.raises(ImageError):
            opened.read()
        assert opened.read() is not None


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="must hold pictures"):
        ImagesSource(tmp_path).open()


def test_a_video_is_read_to_its_end(video: Path) -> None:
    frames = list(open_source(video))
    assert len(frames) == 5
    assert [f.size for f in frames] == [(64, 48)] * 5
    stamps = [f.timestamp_ns for f in frames]
    assert np.all(np.diff(stamps) == 100_000_000)
    assert int(frames[4].planes[0].mean()) == pytest.approx(160, abs=6)


def test_a_video_can_loop_and_its_stamps_go_on(video: Path) -> None:
    frames = [frame for frame, _ in zip(VideoSource(video, loop=True), range(12), strict=False)]
    assert len(frames) == 12
    assert np.all(np.diff([f.timestamp_ns for f in frames]) > 0)


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("this is not a video")
    with pytest.raises(SourceError, match=r"that OpenCV can open, but got .*text\.mp4"):
        open_source(path).open()


def test_a_camera_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SourceError, match="/dev/video63"):
        CameraSource(63).open()


def test_opencv_says_nothing_of_what_the_error_says(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENCV_LOG_LEVEL", raising=False)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_INFO)
    try:
        with pytest.raises(SourceError):
            CameraSource(63).open()
        assert capfd.readouterr().err == ""
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_INFO
        monkeypatch.setenv("OPENCV_LOG_LEVEL", "INFO")  # whoever asks gets them
        with pytest.raises(SourceError):
            CameraSource(63).open()
        assert "can't open camera" in capfd.readouterr().err
    finally:
        cv2.utils.logging.setLogLevel(before)


def test_opencv_speaks_again_when_the_last_thread_is_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENCV_LOG_LEVEL", raising=False)
    level = cv2.utils.logging.getLogLevel
    before, first, second = level(), silenced(), silenced()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert level() == cv2.utils.logging.LOG_LEVEL_SILENT
    second.__exit__(None, None, None)
    assert level() == before


def test_an_address_where_nobody_listens_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:9/nothing"):
        NetworkSource("rtsp://127.0.0.1:9/nothing", timeout=1).open()


@pytest.mark.parametrize(
    "make",
    [
        lambda: CameraSource(0, pixel_format="rgb48"),
        lambda: CameraSource(0, fps=0),
        lambda: NetworkSource("rtsp://x", transport="pigeon"),
        lambda: NetworkSource("rtsp://x", timeout=0),
        lambda: GstSource("videotestsrc", color="pink"),
        lambda: ImagesSource(".", fps=0),
        lambda: RawSource("x", color="gray", size=(4, 4), fps=0),
        lambda: RawSource("x", color="nv12", size=(4, 4), strides=[4]),
    ],
)
def test_bad_options_are_refused(make) -> None:
    with pytest.raises(InvalidInputError, match=r"must be .*, but got"):
        make()


@pytest.mark.parametrize("color", ["bgr", "rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy"])
def test_raw_frames_of_every_format(tmp_path: Path, color: str) -> None:
    width, height = 6, 4
    length = {"bgr": 72, "rgb": 72, "gray": 24, "yuyv": 48, "uyvy": 48}.get(color, 36)
    data = np.arange(3 * length, dtype=np.uint8)
    path = tmp_path / "raw"
    path.write_bytes(data.tobytes())
    frames = list(RawSource(path, color=color, size=(width, height)))
    assert len(frames) == 3
    joined = np.concatenate([plane.ravel() for frame in frames for plane in frame.planes])
    np.testing.assert_array_equal(joined, data)


def test_raw_frames_with_strides(tmp_path: Path) -> None:
    rows = np.zeros((2, 6 + 3, 8), np.uint8)  # two NV12 frames of 5x6, rows 8 bytes apart
    rows[0], rows[1] = 1, 2
    path = tmp_path / "raw"
    path.write_bytes(rows.tobytes())
    frames = list(RawSource(path, color="nv12", size=(5, 6), strides=[8, 8]))
    assert [int(f.planes[1].max()) for f in frames] == [1, 2]


def test_half_a_raw_frame_at_the_end_is_damage_and_loops_go_round(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(24 + 10))
    with RawSource(path, color="gray", size=(6, 4)) as source:
        assert source.read() is not None
        with pytest.raises(ImageError, match="must be 24 bytes long, but got 10"):
            source.read()
        assert source.read() is None
    path.write_bytes(bytes(24))
    assert len([f for f, _ in zip(RawSource(path, color="gray", size=(6, 4), loop=True), range(5), strict=False)]) == 5


def test_raw_frames_through_a_pipe_are_live(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(bytes(48)))
    writer.start()
    source = RawSource(path, color="gray", size=(6, 4))
    assert source.live
    frames = list(source)
    writer.join()
    assert len(frames) == 2
    assert frames[0].timestamp_ns is not None


def test_reading_a_closed_source_is_an_error(tmp_path: Path, video: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(24))
    for source in (RawSource(raw, color="gray", size=(6, 4)), VideoSource(video), GstSource("videotestsrc")):
        with pytest.raises(SourceError, match="must be open"):
            source.read()
        source.close()


def gstreamer() -> bool:
    from edgeface.sources.gstreamer import _import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)
            _import()
    except SourceError:
        return False
    return True


needs_gstreamer = pytest.mark.skipif(not gstreamer(), reason="python3-gi or GStreamer's plugins are not installed")


@needs_gstreamer
@pytest.mark.parametrize("color", ["bgr", "rgb", "gray", "nv12", "nv21", "i420", "yuyv", "uyvy"])
def test_gstreamer_gives_every_format_with_its_strides(color: str) -> None:
    """322 is no multiple of 4 or 16: rows are padded. Red must come out red."""
    from edgeface.pixels import to_bgr

    pipeline = "videotestsrc pattern=red num-buffers=3 ! video/x-raw,width=322,height=242"
    frames = list(GstSource(pipeline, color=color, live=False))
    assert len(frames) == 3
    assert {(f.color, f.size) for f in frames} == {(color, (322, 242))}
    blue, green, red = to_bgr(frames[-1]).reshape(-1, 3).mean(0)
    if color == "gray":
        assert blue == green == red
    else:
        assert red > 200
        assert max(blue, green) < 40


@needs_gstreamer
def test_gstreamer_passes_a_known_format_through() -> None:
    frames = list(GstSource("videotestsrc num-buffers=1 ! video/x-raw,format=NV12,width=320,height=240", live=False))
    assert [f.color for f in frames] == ["nv12"]


@needs_gstreamer
def test_gstreamer_says_what_is_wrong() -> None:
    with pytest.raises(SourceError, match="nosuchelement"):
        GstSource("nosuchelement ! identity").open()
    source = GstSource("filesrc location=/nowhere ! decodebin")
    with pytest.raises(SourceError, match=r"got .*/nowhere"), source:
        source.read()


@needs_gstreamer
def test_gstreamer_stops_when_it_is_asked_to() -> None:
    source = GstSource("videotestsrc is-live=true ! video/x-raw,framerate=1/5")
    with source:
        source.read()
        source.cancelled.set()
        assert source.read() is None


@needs_gstreamer
def test_a_pipeline_that_is_dropped_stops_playing() -> None:
    source = GstSource("videotestsrc is-live=true")
    source.open()
    source.read()
    pipeline = source._pipeline
    # a pipeline says that it plays after its first frame: GStreamer is asked to wait for it, at most 10 s
    assert pipeline.get_state(10 * source._gst.SECOND).state.value_nick == "playing"
    del source
    gc.collect()
    assert pipeline.get_state(0).state.value_nick == "null"


def test_gstreamer_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(SourceError, match="apt install python3-gi"):
        GstSource("videotestsrc").open()


def test_a_source_may_be_written_in_a_few_lines() -> None:
    from edgeface.sources import Source

    class Grey(Source):
        name, live = "grey", False

        def open(self) -> None:
            self.left = 2

        def read(self) -> Frame | None:
            self.left -= 1
            return Frame.from_array(np.zeros((4, 4), np.uint8), "gray") if self.left >= 0 else None

        def close(self) -> None: ...

    assert len(list(Grey())) == 2
