import contextlib
import gc
import http.client
import json
import os
import signal
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from support.moving import Person, faces, frame

from edgeface.errors import InvalidInputError, SourceError
from edgeface.gate import QualityGate
from edgeface.sources import open_source
from edgeface.web import LiveView
from edgeface.web.handler import MAX_WATCHERS
from edgeface.web.server import MAX_CLIENTS


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
    parts = {"/": "text/html", "/place": "text/html", "/live.css": "text/css"}
    for path, kind in (parts | dict.fromkeys(("/live.js", "/place.js", "/watch.js"), "text/javascript")).items():
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


def test_the_last_minute_as_json(view: LiveView) -> None:
    assert json.loads(get(view, "/place.json")[2])["samples"] == 0
    view.show(
        frame(1), faces([Person(200, 200, 120, quality=0.9), Person(450, 220, 40, quality=0.9)], track_ids=[1, 2])
    )
    summary = json.loads(get(view, "/place.json")[2])
    assert (summary["samples"], summary["people"], summary["faces"]["now"]) == (2, 2, 2)
    assert [preset["name"] for preset in summary["presets"]] == ["enrol", "verify", "attention"]
    # the plain grey frame has light and no contrast: the pixels were looked at
    assert "low_contrast" in {reason["reason"] for reason in summary["presets"][1]["reasons"]}


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
        browser.until(lambda: says("camera lost, retrying"))
        # over the picture too, large
        assert page.value("document.getElementById('banner').getBoundingClientRect().height") > 30
        red = (np.abs(page.picture().astype(int) - [42, 48, 176]) < 12).all(axis=2)
        assert red.mean() > 0.01
        status["state"] = "running"
        view.show(frame(2), faces([Person(200, 200, 120)], sequence=2))
        browser.until(lambda: says("live") and page.value("document.getElementById('banner').hidden"))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["", "place"])
def test_the_pages_fit_a_phone_and_a_desk(live: LiveView, browser: Any, tmp_path: Path, width: int, path: str) -> None:
    with browser.opened(live.url + path, tmp_path) as page:
        page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
        )
        browser.until(lambda: page.value("document.getElementById('state')?.textContent") == "live")
        # nothing sticks out to the right
        root = "document.documentElement"
        browser.until(lambda: page.value("innerWidth") == width)
        browser.until(lambda: page.value(f"{root}.scrollWidth <= {root}.clientWidth"))
        texts = "[...document.querySelectorAll('body *')].filter((e) => !e.children.length && !e.closest('svg'))"
        sizes = f"{texts}.filter((e) => e.textContent.trim()).map((e) => parseFloat(getComputedStyle(e).fontSize))"
        assert page.value(f"Math.min(...{sizes})") >= 12


def test_the_page_for_placing_shows_shares_and_reasons(live: LiveView, browser: Any, tmp_path: Path) -> None:
    with browser.opened(f"{live.url}place", tmp_path) as page:
        browser.until(lambda: "% low in contrast: no light" in (page.value("document.body?.innerText") or ""))
        text = page.value("document.getElementById('presets').innerText")
        assert all(name in text for name in ("enrol", "verify", "attention"))
        bars = "[...document.querySelectorAll('#height .bar')].filter((e) => +e.getAttribute('height') > 0).length"
        assert page.value(bars) == 2  # faces of 120 and 60 px
        assert page.value("document.querySelectorAll('#yaw .bar').length") == 10
        browser.until(lambda: page.value("document.getElementById('picture').naturalWidth") == 640)


def raw_connection(view: LiveView) -> socket.socket:
    return socket.create_connection(("127.0.0.1", connect(view).port), timeout=30)


def test_slow_and_silent_clients_keep_nobody_out(live: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 clients that never finish a request, some of them byte by byte."""
    clients = [raw_connection(live) for _ in range(200)]
    try:
        for client in clients[::2]:
            with contextlib.suppress(OSError):
                client.sendall(b"G")
        for _ in range(20):
            assert get(live, "/status.json")[0] == 200
        server = live._server
        assert len(server._waiting) + len(server._answered) <= MAX_CLIENTS
        assert threading.active_count() < MAX_CLIENTS + 40
    finally:
        for client in clients:
            client.close()


def test_a_request_must_be_there_in_time_whatever_trickles_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.web.handler._HEAD_S", 0.5)
    with LiveView(port=0) as view, raw_connection(view) as client:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 20:  # each byte in time for a timeout of each read
                client.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - began < 15


def test_too_many_viewers_are_told_and_let_in_later(live: LiveView) -> None:
    viewers = []
    for _ in range(MAX_WATCHERS):
        connection = connect(live)
        connection.request("GET", "/events")
        viewers.append((connection, connection.getresponse()))
    assert {answer.status for _, answer in viewers} == {200}
    assert get(live, "/stream.mjpg")[0] == 503
    assert get(live, "/faces.json")[0] == 200
    for connection, answer in viewers:
        answer.close()
        connection.close()
    deadline = time.monotonic() + 30
    while get(live, "/snapshot.jpg")[0] != 200:
        assert time.monotonic() < deadline


def test_a_record_is_serialised_once_for_all(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("edgeface.web.board.json", SimpleNamespace(dumps=lambda record: made.append(1) or "{}"))
    viewers = []
    for _ in range(5):
        connection = connect(view)
        connection.request("GET", "/events")
        viewers.append((connection, connection.getresponse()))
    view.show(frame(1), faces([Person(200, 200, 120)]))
    for _, answer in viewers:
        while not answer.readline().startswith(b"data: "):
            pass
    assert len(made) == 1
    for connection, answer in viewers:
        answer.close()
        connection.close()


def test_resets_print_nothing(live: LiveView, capfd: pytest.CaptureFixture[str]) -> None:
    for i in range(30):
        client = raw_connection(live)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by RST
        client.sendall((b"", b"GET / HT", b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")[i % 3])
        client.close()
    assert get(live, "/status.json")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 33\r\n",
        b"Content-Length: +33\r\n",
        b"Content-Length: 0\r\nContent-Length: 33\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_body_is_no_next_request(view: LiveView, head: bytes) -> None:
    with raw_connection(view) as client:
        inner = b"GET /faces.json HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + inner)
        answers = b""
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(65536):
                answers += more
    assert answers.startswith(b"HTTP/1.1 400")
    assert answers.count(b"HTTP/1.1") == 1


def test_connections_are_kept_for_the_next_request(view: LiveView) -> None:
    connection = connect(view)
    for _ in range(3):
        connection.request("GET", "/status.json", headers={"Content-Length": "0"})
        assert connection.getresponse().read() == b'{"state": "running"}'
    connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "127.1", "2130706433", "127.0.0.2", "LOCALHOST."])
def test_every_spelling_of_this_machine_checks_the_host(host: str) -> None:
    with LiveView(host, port=0) as view:
        port = view._server.server_port
        address = view._server.server_address[0]

        def status(name: str) -> int:
            connection = http.client.HTTPConnection(str(address), port, timeout=20)
            connection.request("GET", "/faces.json", headers={"Host": name})
            answer = connection.getresponse().status
            connection.close()
            return answer

        assert status(f"evil.example:{port}") == 403
        assert status("") == 403
        for name in (f"localhost:{port}", "LocalHost.", f"127.0.0.1:{port}", "[::1]", "[0:0:0:0:0:0:0:1]:80", "127.1"):
            assert status(name) == 200, name
        assert urllib.request.urlopen(f"{view.url}faces.json", timeout=20).status == 200


def test_the_loopback_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    for host in ("::1", "[::1]"):
        with LiveView(host, port=0) as view:
            assert view.url.startswith("http://[::1]:")
            assert urllib.request.urlopen(f"{view.url}faces.json", timeout=20).status == 200
            request = urllib.request.Request(f"{view.url}faces.json", headers={"Host": "evil.example"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(request, timeout=20)


@pytest.mark.parametrize("host", ["", "  ", "[]"])
def test_no_host_is_not_every_interface(host: str) -> None:
    with pytest.raises(InvalidInputError, match="host must be"):
        LiveView(host, port=0)


def test_a_host_that_is_not_this_machine() -> None:
    with pytest.raises(SourceError, match="must be able to listen on"):
        LiveView("203.0.113.1", port=0)


def test_a_view_that_is_dropped_lets_go_of_its_port() -> None:
    view = LiveView(port=0)
    port = view._server.server_port
    del view
    gc.collect()
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_closes_without_waiting_for_a_thread_that_it_has_not(view: LiveView) -> None:
    process = os.fork()
    if process == 0:
        signal.alarm(20)
        view.close()
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    assert get(view, "/status.json")[0] == 200
