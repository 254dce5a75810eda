"""`LiveView`: a small web server that shows annotated frames and their faces."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import SourceError, must_be
from edgeface.faces import Faces
from edgeface.frame import Frame
from edgeface.web.board import Board
from edgeface.web.handler import make_handler

if TYPE_CHECKING:
    from typing import Self

    from edgeface.gate import GateReport

__all__ = ["LiveView"]

_LOCAL: Final = frozenset(("localhost", "127.0.0.1", "[::1]"))


class LiveView:
    """Serves ``/`` (a page), ``/stream.mjpg``, ``/snapshot.jpg``, ``/faces.json``, ``/events`` (server-sent events) and
    ``/status.json``.

    Listens on the loopback interface unless told otherwise: pictures of people are nobody else's business. From a desk:
    ``ssh -L 8080:localhost:8080 board``, then http://localhost:8080. There is no password; on another interface
    everybody who reaches the port sees the pictures.

    Pictures are drawn and compressed only while somebody watches.

    Args:
        host: address to listen on.
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
        self._board = Board()
        self._max_width, self._quality = max_width, jpeg_quality
        handler = make_handler(self._board, _LOCAL if _is_loopback(host) else None, status or dict)
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except (OSError, OverflowError) as error:
            raise SourceError(f"the live view must be able to listen on {host}:{port}, but got: {error}") from None
        self._server.daemon_threads = True
        #: Where to look.
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="edgeface live view", daemon=True
        )
        self._thread.start()

    def show(
        self,
        frame: Frame,
        faces: Faces,
        *,
        reports: list[GateReport] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Show a frame. Costs next to nothing while nobody watches.

        Args:
            frame: of any format.
            faces: found in it.
            reports: of a quality gate, one a face: drawn and given as ``reasons``.
            extra: JSON-ready values that are added to the record.
        """
        record: dict[str, Any] = {
            "sequence": faces.sequence,
            "timestamp_ns": faces.timestamp_ns,
            "width": frame.width,
            "height": frame.height,
            **(extra or {}),
            "faces": faces.to_dicts(),
        }
        if reports is not None:
            for face, report in zip(record["faces"], reports, strict=True):
                face["reasons"] = list(report.reasons)
        self._board.post(record, self._picture(frame, faces) if self._board.watched else None)

    def close(self) -> None:
        """Stop serving; open connections end. May be called more than once."""
        self._board.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)

    def _picture(self, frame: Frame, faces: Faces) -> bytes:
        import cv2

        from edgeface.draw import draw_faces
        from edgeface.pixels import to_bgr

        scale = min(1.0, self._max_width / frame.width)
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        shown = _scaled(faces, size[0] / frame.width, size[1] / frame.height)
        picture: NDArray[np.uint8] = draw_faces(to_bgr(frame, size=size), shown, inplace=True)
        turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
        if frame.rotation:
            picture = np.asarray(cv2.rotate(picture, turns[frame.rotation]), np.uint8)
        return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1].tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _scaled(faces: Faces, x: float, y: float) -> Faces:
    from dataclasses import replace

    return replace(
        faces,
        boxes=faces.boxes * np.array([x, y, x, y], np.float32),
        landmarks=faces.landmarks * np.array([x, y], np.float32),
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
