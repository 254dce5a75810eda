"""What devices, containers, pipes and people give that is not what was asked for."""

import math
import os
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeface.errors import ImageError, InvalidInputError, SourceError
from edgeface.frame import Frame
from edgeface.pixels import to_bgr
from edgeface.sources import open_source, v4l2
from edgeface.sources.camera import CameraSource
from edgeface.sources.choose import Kind, kind_of
from edgeface.sources.images import ImagesSource
from edgeface.sources.layout import frame_length, padded_stride
from edgeface.sources.raw import RawSource
from edgeface.sources.realtime import RealTimeSource
from edgeface.sources.redaction import hide_secrets
from edgeface.sources.stamps import RisingStamps
from edgeface.sources.v4l2 import DriverFormat
from edgeface.sources.video import NetworkSource, VideoSource

WIDTH, HEIGHT = 640, 480


class FakeCapture:
    """A ``cv2.VideoCapture`` of a driver that gives `data`, whatever it was asked for."""

    def __init__(self, data: np.ndarray, fourcc: bytes = b"\0\0\0\0", times: list[float] | None = None) -> None:
        self.data, self.fourcc, self.times, self.at = data, fourcc, times, -1

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, *_: Any) -> bool:
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            assert self.times is not None
            return self.times[self.at]
        known = {cv2.CAP_PROP_FRAME_WIDTH: WIDTH, cv2.CAP_PROP_FRAME_HEIGHT: HEIGHT, cv2.CAP_PROP_FPS: 30.0}
        return known.get(what, int.from_bytes(self.fourcc, "little") if what == cv2.CAP_PROP_FOURCC else 0.0)

    def grab(self) -> bool:
        self.at += 1
        return self.times is None or self.at < len(self.times)

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, self.data

    def release(self) -> None: ...


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(data: np.ndarray, fourcc: bytes = b"\0\0\0\0", driver: DriverFormat | None = None, **options: Any) -> Any:
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(data, fourcc))
        monkeypatch.setattr("edgeface.sources.camera.read_format", lambda _: driver)
        return CameraSource(0, **options)

    return make


def nv12(stride: int = WIDTH) -> np.ndarray:
    """A picture whose left half is blue, with rows `stride` bytes apart."""
    bgr = np.full((HEIGHT, WIDTH, 3), (200, 60, 20), np.uint8)
    bgr[:, WIDTH // 2 :] = (20, 180, 220)
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    rows = np.zeros((HEIGHT * 3 // 2, stride), np.uint8)
    rows[:HEIGHT, :WIDTH] = i420[:HEIGHT]
    rows[HEIGHT:, :WIDTH] = i420[HEIGHT:].reshape(2, -1).T.reshape(HEIGHT // 2, WIDTH)
    return rows


@pytest.mark.parametrize("shape", [(1, -1), (HEIGHT * 3 // 2, -1)])
@pytest.mark.parametrize("stride", [640, 656, 704, 768])
def test_padded_rows_of_a_driver_are_no_pixels(camera: Any, stride: int, shape: tuple[int, int]) -> None:
    with camera(nv12(stride).reshape(shape), pixel_format="nv12", size=(WIDTH, HEIGHT)) as source:
        picture = to_bgr(source.read()).astype(int)
    assert abs(picture[:, :300] - (200, 60, 20)).max() < 12
    assert abs(picture[:, 340:] - (20, 180, 220)).max() < 12


@pytest.mark.parametrize("extra", [-1, 1, 720, 8192])
def test_frames_of_another_length_are_damage_that_says_what_to_do(camera: Any, extra: int) -> None:
    data = np.zeros(WIDTH * HEIGHT * 3 // 2 + extra, np.uint8)
    with (
        camera(data, pixel_format="nv12") as source,
        pytest.raises(ImageError, match="say how far they are apart with strides"),
    ):
        source.read()


def test_strides_may_be_told_and_pages_may_be_filled_up(camera: Any) -> None:
    with camera(nv12(644), pixel_format="nv12", strides=[644, 644]) as source:
        assert source.read().planes[1].strides[0] == 644
    filled = np.zeros(462848, np.uint8)  # 460800 bytes in whole pages
    with camera(filled, pixel_format="nv12") as source:
        assert source.read().planes[1].strides[0] == WIDTH


def test_strides_and_colours_are_those_that_the_driver_says(camera: Any) -> None:
    driver = DriverFormat((WIDTH, HEIGHT), "NV12", 644, 644 * 720 + 100, "bt709", "full")
    data = np.zeros(driver.length, np.uint8)
    with camera(data, driver=driver, pixel_format="nv12") as source:
        frame = source.read()
    assert (frame.planes[0].strides[0], frame.matrix, frame.range) == (644, "bt709", "full")
    with camera(data, driver=driver, pixel_format="nv12", matrix="bt601", range="limited") as source:
        frame = source.read()
    assert (frame.matrix, frame.range) == ("bt601", "limited")
    wide = DriverFormat((WIDTH, HEIGHT), "NV12", 644, 644 * 720, "bt2020", "limited")
    with pytest.raises(SourceError, match="must be bt601 or bt709, but got bt2020"):
        camera(data, driver=wide, pixel_format="nv12").open()
    camera(data, driver=wide, pixel_format="nv12", matrix="bt709").open()


@pytest.mark.parametrize("asked", ["nv12", "gray", "uyvy", "mjpg"])
def test_a_camera_that_gives_another_format_is_refused_at_once(camera: Any, asked: str) -> None:
    yuyv = np.zeros((HEIGHT, WIDTH, 2), np.uint8)
    with pytest.raises(SourceError, match=f"pixel_format {asked}, but got YUYV .*: ask for pixel_format yuyv"):
        camera(yuyv, b"YUYV", pixel_format=asked).open()
    driver = DriverFormat((WIDTH, HEIGHT), "YUYV", 1280, 614400, "bt601", "limited")
    with pytest.raises(SourceError, match="but got YUYV"):
        camera(yuyv, driver=driver, pixel_format=asked).open()
    with pytest.raises(SourceError, match=r"but got H264 .* no pixel_format"):
        camera(yuyv, b"H264", pixel_format=asked).open()


@pytest.mark.parametrize("asked", ["nv12", "gray"])
def test_another_format_under_no_name_is_damage(camera: Any, asked: str) -> None:
    with camera(np.zeros((HEIGHT, WIDTH, 2), np.uint8), pixel_format=asked) as source, pytest.raises(ImageError):
        source.read()


@given(
    st.sampled_from(["gray", "nv12", "yuyv"]),
    st.sampled_from(["gray", "nv12", "yuyv", "bgr"]),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_no_format_passes_for_padded_rows_of_another(asked: str, given: str, w: int, h: int) -> None:
    size = (2 * w, 2 * h)
    if asked != given:
        assert padded_stride(frame_length(given, size, None), asked, size) is None


@pytest.mark.parametrize(
    ("colorspace", "encoding", "quantization", "expected"),
    [
        (8, 0, 0, ("bt601", "limited")),  # sRGB, as of most USB cameras
        (7, 0, 0, ("bt601", "full")),  # JPEG
        (3, 0, 0, ("bt709", "limited")),
        (8, 2, 1, ("bt709", "full")),
        (10, 0, 0, ("bt2020", "limited")),
    ],
)
def test_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, colorspace: int, encoding: int, quantization: int, expected: tuple[str, str]
) -> None:
    def ioctl(descriptor: int, request: int, buffer: bytearray) -> int:
        assert request >> 8 & 0xFF == ord("V")
        assert len(buffer) == request >> 16 & 0x3FFF
        pix = (640, 480, b"NV12", 1, 704, 506880, colorspace, 0xFEEDCAFE, 0, encoding, quantization, 0)
        struct.pack_into("2I4s9I", buffer, len(buffer) - 200, *pix)
        return 0

    monkeypatch.setattr(v4l2, "_descriptors", lambda _: [99])
    monkeypatch.setattr(v4l2.fcntl, "ioctl", ioctl)
    assert v4l2.read_format("/dev/video0") == DriverFormat((640, 480), "NV12", 704, 506880, *expected)


def test_no_driver_says_nothing() -> None:
    assert v4l2.read_format("/dev/video63") is None
    assert v4l2.read_format("/dev/null") is None


def test_a_camera_is_what_the_kernel_calls_one(tmp_path: Path) -> None:
    device = tmp_path / "usb-cam-index0"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(81, 250))
    except PermissionError:
        pytest.skip("making a device needs root")
    link = tmp_path / "camera"
    link.symlink_to(device)
    assert kind_of(str(link), bare=False) is Kind.CAMERA
    source = open_source(link, size=(64, 48))
    assert isinstance(source, CameraSource)
    with pytest.raises(SourceError):
        source.open()


def test_a_camera_that_is_unplugged_keeps_its_kind() -> None:
    for path in ("/dev/v4l/by-id/usb-nobody-index0", "/dev/v4l/by-path/x", "/dev/video77"):
        assert kind_of(path, bare=False) is Kind.CAMERA


def test_other_devices_and_pipes_are_no_cameras_and_no_videos(tmp_path: Path) -> None:
    pipe = tmp_path / "clip.mp4"
    os.mkfifo(pipe)
    for path in ("/dev/zero", str(pipe)):
        with pytest.raises(SourceError, match="no regular file: say color and size"):
            open_source(path)
        assert isinstance(open_source(path, color="gray", size=(4, 4)), RawSource)


def test_texts_that_are_too_long_for_paths_are_pipelines() -> None:
    pipeline = "videotestsrc ! " + "identity ! " * 40 + "identity"
    assert kind_of(pipeline, bare=False) is Kind.PIPELINE
    assert open_source(pipeline).name == pipeline
    with pytest.raises(SourceError, match="does not exist") as caught:
        open_source("x" * 5000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("scheme", ["RTSP", "Rtsp", "HTTP"])
def test_schemes_in_capitals(scheme: str) -> None:
    source = open_source(f"{scheme}://10.0.0.1/Path")
    assert isinstance(source, NetworkSource)
    assert source._address == f"{scheme.lower()}://10.0.0.1/Path"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("", {}, "source must be a camera number.*, but got ''"),
        ("  ", {}, "source must be a camera number"),
        ("-", {}, "standard input, which gives bare frames: say their color and size"),
        ("gopher://x/y", {}, "begins with none of rtsp://"),
        ("a\0b", {}, "does not exist"),
        ("rtsp://u:s3cret@h/x", {"loop": True}, r"options of a network stream \(rtsp://u:\*\*\*@h/x\) must be among"),
        (
            __file__,
            {"size": (4, 4)},
            "a video file .* among loop, realtime, but got size .*bare frames need size and color",
        ),
        (0, {"loop": True}, "no end to begin again at"),
    ],
)
def test_errors_say_what_to_do(spec: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidInputError, SourceError), match=message):
        open_source(spec, **options)


def test_heic_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.HEIC"
    path.write_bytes(b"x")
    with pytest.raises(SourceError, match="convert it to JPEG"):
        open_source(path)


_SECRETS = [
    ("rtsp://admin:s3cret@h:554/x", "rtsp://admin:***@h:554/x"),
    ("rtsp://admin:s3@cret@h/x", "rtsp://admin:***@h/x"),
    ("rtsp://admin:s3/cret@h/x", "rtsp://admin:***@h/x"),
    ("rtsp://s3cret@h/x", "rtsp://***@h/x"),
    ("http://h/v?user=a&password=s3cret&n=1", "http://h/v?user=a&password=***&n=1"),
    ("srt://h:9?passphrase=s3cret", "srt://h:9?passphrase=***"),
    ('rtspsrc location="rtsp://a:s3cret@h/x" user-pw="s3 cret" ! fakesink', None),
    ("http://h:8080/video", "http://h:8080/video"),
    ("http://[::1]:8080/video", "http://[::1]:8080/video"),
]


@pytest.mark.parametrize(("text", "expected"), _SECRETS)
def test_secrets_are_hidden(text: str, expected: str | None) -> None:
    hidden = hide_secrets(f"source must be there, but got {text} of nothing")
    assert "s3" not in hidden
    assert "cret" not in hidden
    if expected is not None:
        assert hide_secrets(text) == expected
    assert "s3cret" not in open_source(text).name


def test_blanks_and_quotes_hide_no_secret() -> None:
    assert NetworkSource("rtsp://a:s3 c\"r'et@h/x").name == "rtsp://a:***@h/x"


@given(st.lists(st.one_of(st.floats(), st.floats(0, 1e5)), max_size=30), st.floats())
def test_stamps_rise_whatever_the_container_says(times: list[float], fps: float) -> None:
    stamps = RisingStamps(fps)
    seen = []
    for number, time_ms in enumerate(times):
        if number % 11 == 10:
            stamps.restart()
        seen.append(stamps.next(time_ms))
    assert all(isinstance(stamp, int) and 0 <= stamp < 1 << 62 for stamp in seen)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 40, 80, 200], [0, 40, 80, 200]),  # what rises is believed
        ([0, 40, 0, 0], [0, 40, 73, 107]),
        ([0] * 4, [0, 33, 67, 100]),
        ([-9.2e15] * 3, [0, 33, 67]),
        ([math.nan, math.inf, -math.inf], [0, 33, 67]),
        ([-66, -33, 0, 33], [0, 33, 66, 99]),
        ([0, 133, 66, 33, 100, 266], [0, 133, 166, 200, 233, 266]),  # in the order of decoding
        ([0, 33, 1e15, 100], [0, 33, 66, 100]),
    ],
)
def test_stamps_of_a_video(monkeypatch: pytest.MonkeyPatch, times: list[float], expected: list[int]) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(np.zeros((4, 4, 3), np.uint8), times=times))
    stamps = [frame.timestamp_ns for frame in VideoSource("x.mp4")]
    assert [round(stamp / 1e6) for stamp in stamps if stamp is not None] == expected


def test_loops_without_one_good_frame_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert list(ImagesSource(tmp_path, loop=True)) == []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(np.zeros(0, np.uint8), times=[0.0, 1.0]))
    assert list(VideoSource("x.mp4", loop=True)) == []


def test_raw_frames_with_offsets_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(range(100)) * 2)
    options: dict[str, Any] = {"color": "nv12", "size": (4, 4), "strides": [8, 8], "offsets": [4, 84]}
    frames = list(open_source(path, **options, matrix="bt709", range="full"))
    assert [frame.planes[0][1, 0] for frame in frames] == [12, 12]
    assert [frame.planes[1][1, 0, 0] for frame in frames] == [92, 92]
    assert {(frame.matrix, frame.range) for frame in frames} == {("bt709", "full")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": [3, 4]}, "stride must be at least the 4 bytes"),
        ({"strides": [4.0, 4]}, "strides must be whole numbers"),
        ({"strides": "44"}, "strides must be 2 numbers"),
        ({"offsets": [0, 15]}, "offsets must be 16 or more"),
        ({"offsets": [-1, 16]}, "offsets must be 0 or more"),
        ({"matrix": "bt2020"}, "matrix must be one of bt601, bt709"),
        ({"range": "wide"}, "range must be one of limited, full"),
        ({"size": (0, 4)}, "size must be"),
        ({"color": "bgr", "range": "full"}, "range must be left out with bgr"),
        ({"color": "yuyv", "size": (5, 4)}, "the width of yuyv frames must be even"),
    ],
)
def test_wrong_layouts_are_refused_at_once_and_not_in_every_frame(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        RawSource("x", **({"color": "nv12", "size": (4, 4)} | options))


def test_a_pipe_that_nobody_writes_to_hangs_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = RawSource(pipe, color="gray", size=(4, 4))
    source.open()
    threading.Timer(0.3, source.cancelled.set).start()
    assert source.read() is None
    source.close()


def test_a_pause_within_a_frame_is_no_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = RawSource(pipe, color="gray", size=(4, 4))
    source.open()
    with os.fdopen(os.open(pipe, os.O_WRONLY), "wb", buffering=0) as writer:
        writer.write(bytes(20))
        assert source.read() is not None
        threading.Timer(0.5, lambda: writer.write(bytes(12))).start()
        assert source.read() is not None
        source.cancelled.set()
        assert source.read() is None
    source.close()


_STDIN = """
import numpy as np
from types import SimpleNamespace
from edgeface.faces import Faces
from edgeface.sources import open_source
from edgeface.streaming import Stream
class Engine:
    info = SimpleNamespace(min_score=0.5)
    def detect(self, frame, *, min_score=None):
        return Faces.empty(frame.size, timestamp_ns=frame.timestamp_ns)
stream = Stream(Engine(), open_source("-", color="gray", size=(64, 48)))
print(stream.read(20).frame.size, flush=True)
"""


def test_standard_input_whose_writer_stays_ends_no_program_badly() -> None:
    """A thread that waits in Python's buffer of stdin aborts the interpreter when it ends."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _STDIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(64 * 48))
        process.stdin.flush()
        status = process.wait(60)  # the pipe stays open
        assert process.stdout is not None
        assert process.stderr is not None
        assert (status, process.stdout.read(), process.stderr.read()) == (0, b"(64, 48)\n", b"")


def test_a_file_as_standard_input_loses_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(64))
    program = (
        "from edgeface.sources import open_source; s = open_source('-', color='gray', size=(4, 4)); "
        "print(s.live, [f.timestamp_ns for f in s])"
    )
    with path.open("rb") as file:
        done = subprocess.run([sys.executable, "-P", "-c", program], stdin=file, capture_output=True, check=True)
    assert done.stdout.startswith(b"False [0, 33")


def test_a_folder_is_no_raw_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"must be a readable file.*: Is a directory"):
        RawSource(tmp_path, color="gray", size=(4, 4)).open()


def test_a_recording_in_real_time_takes_its_time(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(64))
    source = open_source(path, color="gray", size=(4, 4), fps=10, realtime=True)
    assert isinstance(source, RealTimeSource)
    assert source.live
    began = time.monotonic()
    assert [frame.timestamp_ns for frame in source] == [0, 100_000_000, 200_000_000, 300_000_000]
    assert time.monotonic() - began > 0.29


def test_waiting_for_the_next_frame_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(64))
    source = open_source(path, color="gray", size=(4, 4), fps=0.01, realtime=True)
    with source:
        assert isinstance(source.read(), Frame)
        source.cancelled.set()
        source.read()  # would wait for 100 s
