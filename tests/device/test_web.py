import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.moving import Person, faces, frame

from edgeface.errors import InvalidInputError, SourceError
from edgeface.gate import QualityGate
from edgeface.sources import open_source
from edgeface.web import LiveView


@pytest.fixture
def view() -> Iterator[LiveView]:
    with LiveView(port=0, status=lambda: {"state": "running"}) as opened:
        yield opened


@pytest.fixture
def live(view: LiveView) -> Iterator[LiveView]:
    """A view that shows something new all the time."""
    stop = threading.Event()

    def show() -> None:
        number = 0
        while not stop.wait(0.01):
            number += 1
            seen = faces(
                [Person(200, 200, 120, quality=0.9), Person(450, 220, 60, yaw=50, quality=0.9)], sequence=number
            )
            view.show(
                frame(number), seen, reports=QualityGate(max_yaw=40).check(seen), extra={"stream": {"dropped": number}}
            )

    thread = threading.Thread(target=show)
    thread.start()
    yield view
    stop.set()
    thread.join()


def connect(view: LiveView) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(view.url.rstrip("/").rsplit(":", 1)[1]), timeout=20)


def get(view: LiveView, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = connect(view)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_the_page_and_its_parts(view: LiveView) -> None:
    for path, kind in (("/", "text/html"), ("/live.js", "text/javascript"), ("/live.css", "text/css")):
        status, headers, body = get(view, path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert len(body) > 500
    assert get(view, "/../edgeface/__init__.py")[0] == 404
    assert get(view, "/static/%2e%2e/view.py")[0] == 404


def test_faces_as_json(view: LiveView) -> None:
    assert get(view, "/faces.json")[2] == b"{}"
    seen = faces([Person(200, 200, 120)], sequence=7, timestamp_ns=5)
    view.show(frame(7), seen, extra={"stream": {"dropped": 3}})
    record = json.loads(get(view, "/faces.json")[2])
    assert record["faces"] == seen.to_dicts()
    assert (record["sequence"], record["width"], record["height"]) == (7, 640, 480)
    assert record["stream"] == {"dropped": 3}
    assert json.loads(get(view, "/status.json")[2]) == {"state": "running"}


def test_nothing_is_drawn_while_nobody_watches(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "_picture", lambda *_: pytest.fail("a picture nobody asked for"))
    view.show(frame(0), faces([]))


def test_a_snapshot_is_an_annotated_picture(live: LiveView) -> None:
    status, headers, body = get(live, "/snapshot.jpg")
    assert status == 200
    assert headers["Content-Type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)
    assert picture.std() > 5  # the frame is plain grey: what varies was drawn


def test_pictures_follow_each_other(live: LiveView) -> None:
    connection = connect(live)
    connection.request("GET", "/stream.mjpg")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=edgeface-frame"
    for _ in range(3):
        assert answer.readline() == b"--edgeface-frame\r\n"
        assert answer.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(answer.readline().split(b":")[1])
        assert answer.readline() == b"\r\n"
        assert cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR) is not None
        assert answer.readline() == b"\r\n"
    answer.close()
    connection.close()
    deadline = time.monotonic() + 20
    while live._board.watched and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not live._board.watched  # a browser that went away is noticed


def test_events_follow_each_other(live: LiveView) -> None:
    connection = connect(live)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    numbers = []
    while len(numbers) < 3:
        line = answer.readline()
        if line.startswith(b"data: "):
            record = json.loads(line[6:])
            if record:
                numbers.append(record["sequence"])
                assert [face["reasons"] for face in record["faces"]] == [[], ["yaw"]]
    assert numbers == sorted(set(numbers))
    answer.close()
    connection.close()


def test_foreign_names_are_refused(view: LiveView) -> None:
    """A web page elsewhere whose name was made to resolve to this machine must not see the pictures."""
    assert get(view, "/faces.json", Host="evil.example:8080")[0] == 403
    assert get(view, "/faces.json", Host="localhost:8080")[0] == 200
    assert get(view, "/faces.json", Host="[::1]:8080")[0] == 200


def test_only_the_loopback_interface_by_default(view: LiveView) -> None:
    assert view._server.server_address[0] == "127.0.0.1"


def test_closing_ends_open_connections() -> None:
    view = LiveView(port=0)
    connection = connect(view)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    view.close()
    assert answer.read() is not None  # to its end
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", connection.port), timeout=5):
        pass


def test_a_port_that_is_taken_is_an_error(view: LiveView) -> None:
    port = int(view.url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(SourceError, match=f"listen on 127.0.0.1:{port}"):
        LiveView(port=port)


@pytest.mark.parametrize(("option", "value"), [("port", -1), ("port", True), ("max_width", 1), ("jpeg_quality", 0)])
def test_bad_options_are_refused(option: str, value: int) -> None:
    with pytest.raises(InvalidInputError, match=f"{option} must be"):
        LiveView(**{"port": 0, option: value})


def test_a_network_source_reads_what_a_live_view_serves(live: LiveView) -> None:
    """MJPEG over HTTP, as many network cameras give it, through OpenCV's FFmpeg."""
    with open_source(f"{live.url}stream.mjpg", timeout=20.0) as source:
        frames = [source.read() for _ in range(3)]
    assert all(frame is not None and frame.size == (640, 480) and frame.color == "bgr" for frame in frames)
    stamps = [frame.timestamp_ns for frame in frames if frame is not None]
    assert stamps == sorted(stamps)


@pytest.fixture
def browser() -> Any:
    pytest.importorskip("websockets", reason="websockets is not installed (in a checkout pip install '.[dev]')")
    from support import browser

    if browser.CHROMIUM is None:
        pytest.skip("no Chromium")
    return browser


def test_a_real_browser_shows_it(live: LiveView, browser: Any, tmp_path: Path) -> None:
    """The page's script fills the table, and the picture comes."""
    with browser.opened(live.url, tmp_path) as page:
        table = browser.until(lambda: page.value("document.getElementById('faces')?.innerHTML"))
        assert "<td>+50°</td>" in table
        assert '<td class="bad">yaw</td>' in table
        browser.until(lambda: page.value("document.getElementById('state').textContent") == "live")
        # the frame is plain grey of level 128 (its JPEG as well), which nothing else on the page is
        browser.until(lambda: (np.abs(page.picture().astype(int) - 128) < 6).all(axis=2).mean() > 0.15)


def test_a_browser_is_told_what_the_source_does_before_there_is_a_picture(browser: Any, tmp_path: Path) -> None:
    status = {"state": "connecting"}
    with LiveView(port=0, status=lambda: status) as view, browser.opened(view.url, tmp_path) as page:

        def says(text: str) -> bool:
            return text in (page.value("document.getElementById('state')?.textContent") or "")

        browser.until(lambda: says("opening the source"))
        view.show(frame(1), faces([Person(200, 200, 120)], sequence=1))
        browser.until(lambda: says("live"))
        status["state"] = "lost"  # the connection stands, and no more frames come
        browser.until(lambda: says("source lost"))
