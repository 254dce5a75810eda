"""`LiveView`: a small web server that shows annotated frames and their faces."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeface._opencv import opencv
from edgeface.errors import SourceError, must_be
from edgeface.faces import Faces
from edgeface.frame import Frame, as_frame
from edgeface.turns import turn_picture
from edgeface.web.address import resolve
from edgeface.web.board import Board
from edgeface.web.handler import make_handler
from edgeface.web.placing import Placing
from edgeface.web.server import ViewServer

if TYPE_CHECKING:
    from typing import Self

    from edgeface.gate import GateReport

__all__ = ["LiveView"]


class LiveView:
    """Serves ``/`` and ``/place`` (pages), ``/stream.mjpg``, ``/snapshot.jpg``, ``/faces.json``, ``/events``
    (server-sent events), ``/place.json`` and ``/status.json``.

    Listens on the loopback interface unless told otherwise: pictures of people are nobody else's business. From a desk:
    ``ssh -L 8080:localhost:8080 board``, then http://localhost:8080. There is no password; on another interface
    everybody who reaches the port sees the pictures.

    Pictures are drawn and compressed only while somebody watches; faces are judged for ``/place`` once a second. At
    most 64 connections and 32 viewers are served at a time; a client has 10 seconds for a request. Dropping the view
    closes it.

    Args:
        host: name or address to listen on, such as "::1" or "0.0.0.0".
        port: 0 for any free one; see `url`.
        max_width: larger pictures are shrunk to this before they are sent.
        jpeg_quality: 1 to 100.
        status: called for ``/status.json``.

    Raises:
        InvalidInputError: a number out of range.
        SourceError: the port is taken, or the address is not this machine's.

    Examples:
        >>> with LiveView(port=8080) as view, engine.stream(0) as stream:     # doctest: +SKIP
        ...     for result in stream:
        ...         view.show(result.frame, result.faces)
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        max_width: int = 960,
        jpeg_quality: int = 80,
        status: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise must_be("port", "from 0 to 65535", port)
        if not 16 <= max_width <= 16384:
            raise must_be("max_width", "from 16 to 16384 pixels", max_width)
        if not 1 <= jpeg_quality <= 100:
            raise must_be("jpeg_quality", "from 1 to 100", jpeg_quality)
        self._board, self._placing = Board(), Placing()
        self._max_width, self._quality = max_width, jpeg_quality
        listen = resolve(host, port)
        try:
            self._server = ViewServer(
                listen, make_handler(self._board, listen.hosts, status or dict, self._placing.summary)
            )
        except (OSError, OverflowError) as error:
            raise SourceError(f"the live view must be able to listen on {host}:{port}, but got: {error}") from None
        #: Where to look.
        self.url = f"http://{listen.shown}:{self._server.server_port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="edgeface live view", daemon=True
        )
        self._thread.start()
        self._process = os.getpid()
        # the thread knows of the server, not of the view
        weakref.finalize(self, _let_go, self._server, self._board, self._process).atexit = False

    def show(
        self,
        frame: Frame | NDArray[np.uint8],
        faces: Faces,
        *,
        color: str | None = None,
        reports: list[GateReport] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Show a frame, upright. While nobody watches nothing is drawn.

        Args:
            frame: a `Frame` of any format, or an array as `FaceEngine.detect` takes it.
            faces: found in it. The record gives boxes and landmarks in pixels of the frame as given, angles in the
                upright picture, and ``rotation``, the degrees from one to the other.
            color: of an array, required.
            reports: of a quality gate, one a face: drawn and given as ``reasons``.
            extra: JSON-ready values that are added to the record.
        """
        frame = as_frame(frame, color, rotation=0 if isinstance(frame, Frame) else faces.rotation)
        record: dict[str, Any] = {
            "sequence": faces.sequence,
            "timestamp_ns": faces.timestamp_ns,
            "width": frame.width,
            "height": frame.height,
            "rotation": faces.rotation,
            **(extra or {}),
            "faces": faces.to_dicts(),
        }
        if reports is not None:
            for face, report in zip(record["faces"], reports, strict=True):
                face["reasons"] = list(report.reasons)
        self._placing.add(faces, frame)
        self._board.post(record, self._picture(frame, faces) if self._board.watched else None)

    def close(self) -> None:
        """Stop serving; open connections end. May be called more than once."""
        if os.getpid() == self._process:  # a fork has the socket, but not the thread that would be waited for
            self._board.close()
            self._server.shutdown()
            self._thread.join(2)
        self._server.server_close()

    def _picture(self, frame: Frame, faces: Faces) -> bytes:
        cv2 = opencv()

        from edgeface.draw import draw_faces
        from edgeface.pixels import to_bgr

        scale = min(1.0, self._max_width / frame.width)
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        # turned before it is drawn into, so that labels read upright
        given = _scaled(faces, size[0] / frame.width, size[1] / frame.height)
        shown = replace(given, size=size, rotation=frame.rotation).upright()
        picture = draw_faces(turn_picture(to_bgr(frame, size=size), frame.rotation), shown, inplace=True)
        return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1].tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _scaled(faces: Faces, x: float, y: float) -> Faces:
    return replace(
        faces,
        boxes=faces.boxes * np.array([x, y, x, y], np.float32),
        landmarks=faces.landmarks * np.array([x, y], np.float32),
        points68=faces.points68 * np.array([x, y], np.float32),
        points_spread=faces.points_spread * np.float32((x * y) ** 0.5),
    )


def _let_go(server: ViewServer, board: Board, process: int) -> None:
    """Close a view that was dropped: in a thread, since the server's own may be what collects it."""
    if os.getpid() != process or board.closed:
        return

    def close() -> None:
        board.close()
        server.shutdown()
        server.server_close()

    threading.Thread(target=close, name="edgeface live view's end", daemon=True).start()
