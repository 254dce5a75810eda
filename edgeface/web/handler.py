"""The pages:

``/`` for people, ``/stream.mjpg`` and ``/snapshot.jpg`` for pictures, ``/faces.json`` and ``/events`` for programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import Any, Final

from edgeface.web.board import Board, Post

__all__ = ["make_handler"]

_BOUNDARY: Final = "edgeface-frame"
# How long a request waits for news before it looks whether the view was closed.
_POLL_S: Final = 0.5
# Nothing from elsewhere, no inline script: the page cannot be made to talk to anybody but this server.
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ASSETS: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/live.css": ("live.css", "text/css; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
}


def make_handler(board: Board, hosts: frozenset[str] | None, status: Callable[[], Mapping[str, Any]]) -> type:
    """A request handler class.

    Args:
        board: that is shown.
        hosts: names that the Host header may give, so that no web page elsewhere can reach the view through a name of
            its own that resolves to this machine (DNS rebinding); any if None.
        status: called for the ``status`` of the page.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "edgeface"
        sys_version = ""
        timeout = 30  # seconds for a request to arrive: a silent connection must not hold a thread for ever

        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            if hosts is not None and _host(self.headers.get("Host", "")) not in hosts:
                self._send(HTTPStatus.FORBIDDEN, b"unknown host\n", "text/plain")
            elif path in _ASSETS:
                name, kind = _ASSETS[path]
                self._send(HTTPStatus.OK, resources.files(__package__).joinpath("static", name).read_bytes(), kind)
            elif path == "/faces.json":
                self._send_json(board.latest().record)
            elif path == "/status.json":
                self._send_json(dict(status()))
            elif path == "/snapshot.jpg":
                self._snapshot()
            elif path == "/stream.mjpg":
                self._pictures()
            elif path == "/events":
                self._events()
            else:
                self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain")

        def _send_json(self, value: Any) -> None:
            self._send(HTTPStatus.OK, json.dumps(value).encode(), "application/json")

        def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self._begin(status, {"Content-Type": kind, "Content-Length": str(len(body))})
            self.wfile.write(body)

        def _begin(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**_SECURITY, **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def _snapshot(self) -> None:
            board.watch(1)
            try:
                post = _next_picture(board, board.latest().number, 10)
            finally:
                board.watch(-1)
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
            board.watch(1)
            number = 0
            try:
                while not board.closed:
                    post = board.wait(number, _POLL_S)
                    if post is None:
                        continue
                    number = post.number
                    if post.jpeg is not None:
                        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(post.jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + post.jpeg + b"\r\n")
            except OSError:
                pass  # the browser has gone
            finally:
                board.watch(-1)

        def _events(self) -> None:
            self.close_connection = True
            self._begin(HTTPStatus.OK, {"Content-Type": "text/event-stream", "Connection": "close"})
            number = 0
            try:
                while not board.closed:
                    post = board.wait(number, _POLL_S)
                    if post is None:
                        self.wfile.write(b": waiting\n\n")  # finds out whether anybody still listens
                        continue
                    number = post.number
                    self.wfile.write(b"data: " + json.dumps(post.record).encode() + b"\n\n")
            except OSError:
                pass

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass  # stderr is the program's

    return Handler


def _next_picture(board: Board, number: int, tries: int) -> Post | None:
    for _ in range(tries):
        post = board.wait(number, _POLL_S)
        if post is not None:
            if post.jpeg is not None:
                return post
            number = post.number
        if board.closed:
            break
    return None


def _host(header: str) -> str:
    """The name in a Host header, without the port."""
    if header.startswith("["):
        return header.split("]", 1)[0] + "]"
    return header.rsplit(":", 1)[0].lower() if ":" in header else header.lower()
