"""The server's side of connections: how many, for how long, and what happens when they break."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from edgeface.web.address import Listen

__all__ = ["ViewServer"]

_log = logging.getLogger("edgeface.web")

#: Connections at a time. A page holds two.
MAX_CLIENTS: Final = 64
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 21\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\ntoo many connections\n"
)


class ViewServer(ThreadingHTTPServer):
    """A thread for each connection, and a limit of them.

    One more than the limit ends the connection that has waited longest without asking for anything, so that clients who
    never finish a request keep nobody out; while all are being answered the new one is told to come back.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, listen: Listen, handler: Any) -> None:
        self.address_family = listen.family
        self._lock = threading.Lock()
        # in order of arrival at where they are: those that wait for a request, and those that are answered
        self._waiting: dict[socket.socket, None] = {}
        self._answered: set[socket.socket] = set()
        super().__init__(listen.address, handler)

    def server_bind(self) -> None:
        """Without HTTPServer's question for the machine's name, which waits for a name server that may not be there."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            oldest = None
            full = len(self._waiting) + len(self._answered) >= MAX_CLIENTS
            if full and self._waiting:
                oldest = next(iter(self._waiting))
                del self._waiting[oldest]
                full = False
            if not full:
                self._waiting[request] = None
        if oldest is not None:
            _hang_up(oldest)
        if full:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def answering(self, request: socket.socket, yes: bool) -> None:
        """Whether a connection is being answered, or waits for a request."""
        with self._lock:
            if yes and request in self._waiting:
                del self._waiting[request]
                self._answered.add(request)
            elif not yes and request in self._answered:
                self._answered.discard(request)
                self._waiting[request] = None

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._waiting.pop(request, None)
            self._answered.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            waiting = list(self._waiting)
        for request in waiting:
            _hang_up(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nobody's fault, and nothing for stderr."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("the live view could not answer a request", exc_info=error)


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
