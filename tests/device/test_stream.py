import gc
import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from support.moving import ListSource, Person, ScriptedEngine, frame

from edgeface.errors import EngineClosedError, ImageError, InvalidInputError, SourceError
from edgeface.frame import Frame
from edgeface.sources.base import Source
from edgeface.streaming import Stream, StreamState
from edgeface.tracking import Tracker


def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda i: [Person(100 + 2 * (i % 100), 240)])


class Camera(Source):
    """Gives frames as fast as it is asked until `stop`; counts them."""

    name, live = "camera", True

    def __init__(self) -> None:
        self.given = 0
        self.stop = threading.Event()

    def open(self) -> None:
        pass

    def read(self) -> Frame | None:
        if self.stop.wait(0.001):
            return None
        self.given += 1
        return frame(self.given)

    def close(self) -> None:
        pass


def test_every_frame_of_a_file_is_seen_in_order() -> None:
    with Stream(engine(), ListSource([frame(i) for i in range(20)])) as stream:
        results = list(stream)
    assert [r.frame.sequence for r in results] == list(range(20))
    assert {int(i) for r in results for i in r.faces.track_ids} == {1}
    assert stream.stats.frames == stream.stats.results == 20
    assert stream.stats.dropped == 0
    assert stream.stats.state is StreamState.CLOSED


def test_the_latest_frame_wins_and_drops_are_counted() -> None:
    camera = Camera()
    with Stream(engine(), camera) as stream:
        first = stream.read(timeout=10)
        assert first is not None
        given = camera.given
        while camera.given < given + 50:  # a slow consumer
            time.sleep(0.001)
        before = camera.given
        second = stream.read(timeout=10)
        assert second is not None
        assert second.frame.sequence >= before - 2  # not the one after the first
        assert second.dropped >= 48
        stats = stream.stats
    assert stats.dropped >= second.dropped
    assert stats.fps is not None
    assert stats.age_s == second.age_s


def test_a_camera_that_goes_away_and_comes_back_is_found_again() -> None:
    lost = SourceError("unplugged")
    source = ListSource([frame(0), lost, frame(1), lost, frame(2)], live=True, opens=3, ends=True)
    with Stream(engine(), source, latest=False, retry=(0.001, 0.01)) as stream:
        seen = [r.frame.sequence for r in stream]
    assert seen == [0, 1, 2]
    assert stream.stats.reconnects == 2
    assert stream.stats.last_error == "unplugged"


def test_a_camera_that_stays_away_is_lost_for_good_after_patience() -> None:
    source = ListSource([frame(0)], live=True, ends=False)
    with (
        Stream(engine(), source, retry=(0.001, 0.01), patience=0.05) as stream,
        pytest.raises(SourceError, match=r"must come back within 0\.05 s"),
    ):
        list(stream)


def test_a_wrong_name_is_an_error_at_once() -> None:
    with (
        Stream(engine(), ListSource([], opens=0), retry=(10, 10)) as stream,
        pytest.raises(SourceError, match="source must be there"),
    ):
        stream.read()


def test_waiting_for_a_lost_camera_ends_with_the_timeout() -> None:
    source = ListSource([frame(0)], live=True, ends=False)
    with Stream(engine(), source, retry=(0.01, 0.01)) as stream:
        assert stream.read(timeout=10) is not None
        assert stream.read(timeout=0.05) is None
        deadline = time.monotonic() + 10
        while stream.stats.state is not StreamState.LOST and time.monotonic() < deadline:
            time.sleep(0.001)
        assert stream.stats.state is StreamState.LOST


def test_damaged_frames_are_counted_and_left_out() -> None:
    items = [frame(0), ImageError("half a JPEG"), frame(1), InvalidInputError("no pixels"), frame(2)]
    with Stream(engine(), ListSource(items)) as stream:
        assert len(list(stream)) == 3
    assert stream.stats.damaged == 2


def test_a_camera_that_gives_only_damage_is_opened_anew() -> None:
    items = [*(ImageError("noise") for _ in range(30)), frame(0)]
    with Stream(engine(), ListSource(items, live=True, opens=2), retry=(0.001, 0.01)) as stream:
        assert len(list(stream)) == 1
    assert stream.stats.reconnects == 1


def test_frames_may_change_size_and_tracks_do_not_survive_it() -> None:
    items = [frame(i) for i in range(5)] + [frame(i, size=(320, 240)) for i in range(5, 10)]
    with Stream(engine(), ListSource(items), tracker=Tracker(min_hits=1)) as stream:
        results = list(stream)
    assert [r.faces.size for r in results] == [(640, 480)] * 5 + [(320, 240)] * 5
    assert results[4].faces.track_ids.tolist() == [1]
    assert results[5].faces.track_ids.tolist() == [2]


def test_time_that_goes_back_begins_new_tracks() -> None:
    items = [frame(i) for i in (10, 11, 12, 3, 4, 5)]
    with Stream(engine(), ListSource(items), tracker=Tracker(min_hits=1)) as stream:
        assert [r.faces.track_ids.tolist() for r in stream] == [[1], [1], [1], [2], [2], [2]]


def test_rotation_and_region_are_set_on_every_frame_and_cut_to_it() -> None:
    items = [frame(0), frame(1, size=(320, 240))]
    with Stream(engine(), ListSource(items), rotation=90, roi=(100, 50, 600, 400), tracker=False) as stream:
        results = list(stream)
    assert [r.frame.rotation for r in results] == [90, 90]
    assert [r.frame.roi for r in results] == [(100, 50, 600, 400), (100, 50, 320, 240)]
    assert results[0].faces.track_ids is None


def test_a_region_outside_every_frame_is_an_error_in_the_end() -> None:
    items = [frame(i) for i in range(200)]
    with (
        Stream(engine(), ListSource(items), roi=(1000, 0, 1100, 100)) as stream,
        pytest.raises(SourceError, match="roi"),
    ):
        list(stream)


def test_closing_ends_a_waiting_reader() -> None:
    camera = Camera()
    camera.read = lambda: camera.cancelled.wait() and None  # type: ignore[method-assign]
    stream = Stream(engine(), camera)
    got: list[object] = []
    stream.start()
    reader = threading.Thread(target=lambda: got.append(next(iter(stream), None)))
    reader.start()
    deadline = time.monotonic() + 10
    while not stream._slot._changed._waiters and time.monotonic() < deadline:  # until it waits
        time.sleep(0.001)
    stream.close()
    reader.join(10)
    assert not reader.is_alive()
    assert stream.stats.state is StreamState.CLOSED
    assert got == [None]


def test_a_source_that_hangs_does_not_hang_the_close() -> None:
    hang, reading = threading.Event(), threading.Event()
    camera = Camera()
    closed = threading.Event()

    def read() -> None:
        reading.set()
        hang.wait(120)

    camera.read = read  # type: ignore[method-assign]
    camera.close = closed.set  # type: ignore[method-assign]
    stream = Stream(engine(), camera)
    stream.start()
    assert reading.wait(10)
    stream.close()  # would wait for 120 s
    assert not hang.is_set()
    assert not closed.is_set()
    assert "hangs" in (stream.stats.last_error or "")
    hang.set()
    assert closed.wait(10)  # by the thread itself, once the read returns


def test_a_closed_stream_says_so() -> None:
    stream = Stream(engine(), ListSource([frame(0)]))
    stream.close()
    stream.close()
    with pytest.raises(EngineClosedError, match="stream must be open"):
        stream.read()


def test_bugs_of_a_source_reach_the_reader() -> None:
    with (
        Stream(engine(), ListSource([frame(0), ZeroDivisionError("oops")])) as stream,
        pytest.raises(SourceError, match="oops") as caught,
    ):
        list(stream)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        with Stream(engine(), Camera()) as stream:
            stream.read(timeout=10)
    # a busy machine may need longer than `close` waits; threads of tests before may end meanwhile
    wait_for(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rotation", 45),
        ("retry", (0, 1)),
        ("retry", (2, 1)),
        ("retry", "no"),
        ("retry", 3),
        ("retry", (1.0, float("inf"))),
        ("patience", -1),
        ("patience", "1"),
        ("roi", (5, 5, 5, 9)),
        ("roi", (0.0, 0.0, 8.0, 8.0)),
        ("roi", 5),
        ("tracker", 3),
    ],
)
def test_bad_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=f"{option} must be"):
        Stream(engine(), ListSource([]), **{option: value})


def test_results_hold_their_frames_whatever_the_source_does_next() -> None:
    pictures = [np.full((8, 8), value, np.uint8) for value in (1, 2, 3)]
    frames = [Frame.from_array(p, "gray", sequence=i) for i, p in enumerate(pictures)]
    with Stream(ScriptedEngine(lambda i: []), ListSource(frames)) as stream:
        assert [int(r.frame.planes[0][0, 0]) for r in stream] == [1, 2, 3]


class Endless(Source):
    """Frames for ever; counts openings and closings."""

    name, live = "rtsp://user:s3cret@camera/endless", True

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Frame | None:
        time.sleep(0.002)
        return frame(self.opened)

    def close(self) -> None:
        self.closed += 1


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def test_a_stream_that_is_dropped_lets_go_of_its_camera() -> None:
    before = set(threading.enumerate())
    cameras = [Endless() for _ in range(5)]
    for camera in cameras:
        assert next(iter(Stream(engine(), camera))).frame is not None
    gc.collect()
    wait_for(lambda: all(camera.closed for camera in cameras))
    wait_for(lambda: set(threading.enumerate()) <= before)


def test_a_hung_source_does_not_close_its_successor() -> None:
    hang, reading = threading.Event(), threading.Event()
    source = Endless()
    give = source.read

    def read() -> Frame | None:
        reading.set()
        hang.wait(120)
        return give()

    source.read = read  # type: ignore[method-assign]
    first = Stream(engine(), source)
    first.start()
    assert reading.wait(10)
    first.close()
    source.read = give  # type: ignore[method-assign]
    with Stream(engine(), source) as second:
        wait_for(lambda: "let go by the stream before" in (second.stats.last_error or ""))
        assert second.read(timeout=0.2) is None  # the read of the first has not returned
        assert (source.opened, source.closed) == (1, 0)
        hang.set()
        for _ in range(20):
            assert second.read(timeout=20) is not None
        assert (source.opened, source.closed) == (2, 1)
        assert not source.cancelled.is_set()


def test_a_successor_that_waits_can_be_closed_too() -> None:
    hang = threading.Event()
    source = Endless()
    source.read = lambda: hang.wait(120) and None  # type: ignore[method-assign]
    first = Stream(engine(), source)
    first.start()
    wait_for(lambda: source.opened)
    first.close()
    second = Stream(engine(), source)
    second.start()
    second.close()
    wait_for(lambda: not second._capture._thread.is_alive())  # long before the read of the first returns
    hang.set()
    wait_for(lambda: not first._capture._thread.is_alive())
    assert (source.opened, source.closed) == (1, 1)


def test_a_stream_that_is_dropped_late_leaves_its_source_to_the_next() -> None:
    source = Endless()
    unused = Stream(engine(), source)
    with Stream(engine(), source) as first:
        assert first.read(timeout=20) is not None
    with Stream(engine(), source) as second:
        assert second.read(timeout=20) is not None
        first.close()
        del first, unused
        gc.collect()
        assert not source.cancelled.is_set()
        assert second.read(timeout=20) is not None
    assert not source.cancelled.is_set()


def test_two_streams_of_one_source_are_refused() -> None:
    source = Endless()
    with Stream(engine(), source), pytest.raises(SourceError, match="one stream at a time"):
        Stream(engine(), source).start()
    with Stream(engine(), source) as again:
        assert again.read(timeout=20) is not None


@pytest.mark.parametrize("moment", ["before", "during"])
def test_iteration_ends_when_another_thread_closes(moment: str) -> None:
    stream = Stream(engine(), Endless())
    seen = 0
    if moment == "before":
        stream.close()
    for _ in stream:
        seen += 1
        if seen == 3:
            closer = threading.Thread(target=stream.close)
            closer.start()
            closer.join(20)
    assert seen == (0 if moment == "before" else 3)
    assert stream.finished


def test_iteration_does_not_hide_that_the_engine_is_closed() -> None:
    closed = engine()
    closed.detect = lambda *_, **__: (_ for _ in ()).throw(EngineClosedError("engine must be open"))  # type: ignore[method-assign]
    with Stream(closed, Endless()) as stream, pytest.raises(EngineClosedError, match="engine"):
        list(stream)


def test_a_camera_without_one_usable_frame_is_given_up_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    source = Endless()

    def read() -> Frame | None:
        raise ImageError("half a JPEG")

    source.read = read  # type: ignore[method-assign]
    with (
        Stream(engine(), source, retry=(0.001, 0.001)) as stream,
        pytest.raises(SourceError, match=r"must give usable frames, but got none in 3 attempts: .*half a JPEG"),
    ):
        stream.read(timeout=20)
    assert source.opened == 3
    said = [record.getMessage() for record in caplog.records if record.name == "edgeface.stream"]
    assert any("1 damaged frame so far: half a JPEG" in text for text in said)
    assert any("is lost, and is tried again" in text for text in said)
    assert "s3cret" not in caplog.text


def test_a_camera_that_gives_only_damage_counts_as_lost() -> None:
    items = [frame(0), *(ImageError("noise") for _ in range(1000))]
    source = ListSource(items, live=True, opens=100, ends=False)
    with Stream(engine(), source, retry=(0.01, 0.01)) as stream:
        assert stream.read(timeout=20) is not None
        wait_for(lambda: stream.stats.state is StreamState.LOST)
        for _ in range(20):
            assert stream.stats.state is StreamState.LOST  # also while it is open and gives damage
            time.sleep(0.005)
        assert stream.stats.reconnects == 0


def test_a_recording_without_one_usable_frame_is_an_error() -> None:
    source = ListSource([ImageError("bad") for _ in range(5)])
    with Stream(engine(), source) as stream, pytest.raises(SourceError, match=r"but got 5 others from list \(bad\)"):
        list(stream)


def test_frames_that_cannot_be_searched_are_an_error_whatever_the_timeout() -> None:
    with Stream(engine(), Endless(), roi=(1000, 0, 1100, 100)) as stream:

        def read_often() -> None:
            for _ in range(10_000):
                stream.read(timeout=0.003)

        with pytest.raises(SourceError, match="must give usable frames"):
            read_often()


def test_the_numbers_of_a_lost_camera_do_not_stay(caplog: pytest.LogCaptureFixture) -> None:
    come_back = threading.Event()
    lost = SourceError("unplugged")
    items = [*(frame(i) for i in range(5)), lost, come_back.wait, frame(6), frame(7)]
    source = ListSource(items, live=True, opens=9, ends=False)
    with Stream(engine(), source, latest=False, retry=(0.001, 0.001)) as stream:
        for _ in range(5):
            assert stream.read(timeout=20) is not None
        wait_for(lambda: stream.stats.state is StreamState.LOST)
        stats = stream.stats
        assert (stats.fps, stats.age_s) == (None, None)
        assert stats.last_frame_s is not None
        time.sleep(0.05)
        assert (stream.stats.last_frame_s or 0) > 0.05
        come_back.set()
        assert stream.read(timeout=20) is not None
        assert "list is back after" in caplog.text


def test_the_numbers_of_a_camera_that_hangs_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.streaming.stream._STALE_S", 0.05)
    hang = threading.Event()
    source = ListSource([frame(0), frame(1), hang.wait], live=True)
    with Stream(engine(), source, latest=False) as stream:
        for _ in range(2):
            assert stream.read(timeout=20) is not None
        wait_for(lambda: stream.stats.fps is None)
        assert stream.stats.age_s is None
        assert stream.stats.state is StreamState.RUNNING
        hang.set()


def test_passwords_stay_in_the_program(caplog: pytest.LogCaptureFixture) -> None:
    looked = threading.Event()  # the source's thread lives until its names were looked at
    lost = [SourceError("no rtsp://user:s3cret@camera/x"), ZeroDivisionError("rtsp://user:s3cret@camera/x")]
    items = [looked.wait, frame(0), *lost]
    source = ListSource(items, live=True, opens=2)
    source.name = Endless.name
    with Stream(engine(), source, retry=(0.001, 0.001)) as stream:
        names = [thread.name for thread in threading.enumerate()]
        looked.set()
        with pytest.raises(SourceError) as caught:
            while stream.read(timeout=20) is not None:
                pass
        texts = [*names, str(caught.value), str(stream.stats), caplog.text]
    assert not any("s3cret" in text for text in texts)
    assert any("rtsp://user:***@camera" in name for name in names)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_of_a_stream_raises_and_lets_go() -> None:
    with Stream(engine(), Endless()) as stream:
        assert stream.read(timeout=20) is not None
        process = os.fork()
        if process == 0:
            signal.alarm(20)
            status = 1
            try:
                stream.read(timeout=10)
            except EngineClosedError as error:
                status = 0 if "process" in str(error) else 2
            stream.close()
            del stream
            gc.collect()
            os._exit(status)
        assert os.waitpid(process, 0)[1] == 0
        assert stream.read(timeout=20) is not None
