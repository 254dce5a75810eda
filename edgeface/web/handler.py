"""The pages:

``/`` and ``/place`` for people, ``/stream.mjpg`` and ``/snapshot.jpg`` for pictures, ``/faces.json``, ``/events``,
``/place.json`` and ``/status.json`` for programs.
"""

from __future__ import annotations

import io
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import Any, Final

from edgeface.web.address import host_of_header
from edgeface.web.board import Board, Post
from edgeface.web.server import ViewServer

__all__ = ["MAX_WATCHERS", "make_handler"]

_BOUNDARY: Final = "edgeface-frame"
# How long a request waits for news before it looks whether anybody still listens.
_POLL_S: Final = 2.0
# From the first moment of a connection, or the end of the last answer, to the end of a request's head.
_HEAD_S: Final = 10.0
# For a client to take what is sent to it.
_WRITE_S: Final = 10.0
# Requests at a time that are answered with news: pictures, snapshots, events. A page has two.
MAX_WATCHERS: Final = 32
# Nothing from elsewhere, no inline script: the page cannot be made to talk to anybody but this server.
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# For a picture to be made for a snapshot.
_SNAPSHOT_S: Final = 5.0
_ASSETS: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/place": ("place.html", "text/html; charset=utf-8"),
    "/live.css": ("live.css", "text/css; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
    "/place.js": ("place.js", "text/javascript; charset=utf-8"),
    "/watch.js": ("watch.js", "text/javascript; charset=utf-8"),
}


def make_handler(
    board: Board,
    hosts: frozenset[str] | None,
    status: Callable[[], Mapping[str, Any]],
    placing: Callable[[], Mapping[str, Any]],
) -> type:
    """A request handler class.

    Args:
        board: that is shown.
        hosts: names that the Host header may give, so that no web page elsewhere can reach the view through a name of
            its own that resolves to this machine (DNS rebinding); any if None.
        status: called for ``/status.json``.
        placing: called for ``/place.json``.
    """

    places = threading.BoundedSemaphore(MAX_WATCHERS)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "edgeface"
        sys_version = ""
        server: ViewServer

        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self._head = _Head(self.connection)
            self.rfile = io.BufferedReader(self._head)

        def handle_one_request(self) -> None:
            self._head.begin()
            super().handle_one_request()
            self.server.answering(self.connection, False)

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            self.connection.settimeout(_WRITE_S)
            self.server.answering(self.connection, True)
            lengths = self.headers.get_all("Content-Length") or []
            if "Transfer-Encoding" in self.headers or any(length.strip() != "0" for length in lengths):
                # it would be read as the next request
                self.send_error(HTTPStatus.BAD_REQUEST, "A request must have no body")
                return False
            if len(self.headers.get_all("Host") or []) > 1:
                self.send_error(HTTPStatus.BAD_REQUEST, "A request must name one host")
                return False
            return True

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            if hosts is not None and host_of_header(self.headers.get("Host", "")) not in hosts:
                self._send(HTTPStatus.FORBIDDEN, b"unknown host\n", "text/plain")
            elif path in _ASSETS:
                name, kind = _ASSETS[path]
                self._send(HTTPStatus.OK, resources.files(__package__).joinpath("static", name).read_bytes(), kind)
            elif path == "/faces.json":
                self._send(HTTPStatus.OK, board.latest().json(), "application/json")
            elif path == "/status.json":
                self._send(HTTPStatus.OK, json.dumps(dict(status())).encode(), "application/json")
            elif path == "/place.json":
                self._send(HTTPStatus.OK, json.dumps(dict(placing())).encode(), "application/json")
            elif path in ("/snapshot.jpg", "/stream.mjpg", "/events"):
                self._watch(path)
            else:
                self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

        def _watch(self, path: str) -> None:
            if not places.acquire(blocking=False):
                self.close_connection = True
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"too many viewers\n", "text/plain")
                return
            try:
                if path == "/events":
                    self._events()
                else:
                    board.watch(1)
                    try:
                        self._snapshot() if path == "/snapshot.jpg" else self._pictures()
                    finally:
                        board.watch(-1)
            finally:
                places.release()

        def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            closing = {"Connection": "close"} if self.close_connection else {}
            self._begin(status, {"Content-Type": kind, "Content-Length": str(len(body)), **closing})
            self.wfile.write(body)

        def _begin(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**_SECURITY, **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _snapshot(self) -> None:
            post = _next_picture(board, _SNAPSHOT_S)
            if post is None or post.jpeg is None:
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"no picture yet\n", "text/plain")
            else:
                self._send(HTTPStatus.OK, post.jpeg, "image/jpeg")

        def _pictures(self) -> None:
            self.close_connection = True
            self._begin(
                HTTPStatus.OK,
                {"Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY}", "Connection": "close"},
            )
            for post in self._news():
                if post is not None and post.jpeg is not None:
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(post.jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + post.jpeg + b"\r\n")

        def _events(self) -> None:
            self.close_connection = True
            self._begin(HTTPStatus.OK, {"Content-Type": "text/event-stream", "Connection": "close"})
            for post in self._news():
                self.wfile.write(b": waiting\n\n" if post is None else b"data: " + post.json() + b"\n\n")

        def _news(self) -> Iterator[Post | None]:
            """Every new post, None where none came for a while, until the view is closed or the client has gone."""
            number = 0
            while not board.closed and not self._gone():
                post = board.wait(number, _POLL_S)
                number = number if post is None else post.number
                yield post

        def _gone(self) -> bool:
            readable = select.poll()
            readable.register(self.connection, select.POLLIN)
            return bool(readable.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass  # stderr is the program's

    return Handler


def _next_picture(board: Board, seconds: float) -> Post | None:
    """The next picture, since the last one may not have been drawn."""
    number, until = board.latest().number, time.monotonic() + seconds
    while not board.closed and (left := until - time.monotonic()) > 0:
        post = board.wait(number, left)
        if post is not None:
            if post.jpeg is not None:
                return post
            number = post.number
    return None


class _Head(io.RawIOBase):
    """A connection whose requests must arrive in time, however many bytes keep coming."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._until = connection, 0.0

    def begin(self) -> None:
        """A request may begin."""
        self._until = time.monotonic() + _HEAD_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
