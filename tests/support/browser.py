"""A page in headless Chromium, driven over the DevTools protocol: asked until it shows something, not dumped once."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Seconds for anything to happen: a machine that does several things at once may need most of them.
PATIENCE = 60.0


class ProtocolError(Exception):
    """Chromium refused a command."""


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._number, self._session = connection, 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=PATIENCE))
            if answer.get("id") == self._number:  # what has none is news, of which none is wanted
                if "error" in answer:
                    raise ProtocolError(answer["error"]["message"])
                return answer["result"]

    def value(self, script: str) -> Any:
        """What a JavaScript expression gives in the page; None while there is no page to ask."""
        try:
            return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")
        except ProtocolError:  # the tab is just going from one page to the next
            return None

    def picture(self) -> np.ndarray:
        """(h, w, 3) BGR: what is seen."""
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@contextmanager
def opened(url: str, folder: Path, size: tuple[int, int] = (1200, 800)) -> Iterator[Page]:
    """A tab at `url`; `folder` is for what Chromium writes."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    command = [CHROMIUM, *switches, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            port, path = until(lambda: _address(process, profile / "DevToolsActivePort"))
            address = f"ws://127.0.0.1:{port}{path}"
            # no proxy: the environment may name one for the web
            with connect(address, max_size=None, open_timeout=PATIENCE, proxy=None) as connection:
                page = Page(connection)
                page.call("Page.navigate", url=url)
                yield page
        finally:
            process.terminate()


def until(what: Callable[[], Any]) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = what()
        if answer or time.monotonic() > deadline:
            assert answer, f"nothing came within {PATIENCE:g} s"
            return answer
        time.sleep(0.05)


def _address(process: subprocess.Popen[bytes], file: Path) -> list[str] | None:
    """Port and path that Chromium listens at, once it has written them."""
    assert process.poll() is None, f"Chromium ended with {process.returncode}"
    lines = file.read_text().splitlines() if file.exists() else []
    return lines if len(lines) == 2 else None
