"""The picture of docs/guides/placing-a-camera.md: a minute of the collage on the page, in headless Chromium.

    python docs/make_placing.py             # docs/images/placing.jpg
    python docs/make_placing.py FOLDER      # both pages at the widths of a phone and a desk, to be looked at

Needs Chromium and an edgeface that was installed with its extra `dev`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import edgeface
from edgeface.demo import CollageSource
from edgeface.frame import Frame
from edgeface.images import write_image
from edgeface.web import LiveView, placing

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import browser

#: File -> page, width and height, theme.
PICTURES = {
    "placing.jpg": ("place", 1280, 800, "light"),
    "placing-phone.png": ("place", 390, 844, "dark"),
    "live-phone.png": ("", 390, 844, "light"),
    "live.png": ("", 1280, 800, "dark"),
}


def minute(view: LiveView) -> tuple[Frame, edgeface.Faces]:
    """Fill the view's last minute, where its clock stands still; returns the last frame and its faces."""
    tracker = edgeface.Tracker()
    placing.time = SimpleNamespace(monotonic=lambda: 59.5)
    with edgeface.FaceEngine() as engine, CollageSource() as source:
        for number in range(120):  # the last one is at the time where the clock stands
            at = number / 2
            frame = Frame.from_array(source.picture(at), "bgr", timestamp_ns=round(at * 1e9), sequence=number)
            faces = engine.track(frame, tracker=tracker)
            view._placing.add(faces, frame, now=at)
    return frame, faces


def main(folder: Path, names: list[str]) -> None:
    """Write the pictures with these names."""
    with LiveView(port=0, status=lambda: {"state": "running"}) as view, tempfile.TemporaryDirectory() as profile:
        frame, faces = minute(view)
        reports = edgeface.QualityGate.preset("verify").check(faces, frame)
        with browser.opened(view.url, Path(profile)) as page:
            page.call("Emulation.setScrollbarsHidden", hidden=True)
            for name in names:
                path, width, height, theme = PICTURES[name]
                page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
                size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
                page.call("Emulation.setDeviceMetricsOverride", **size)
                page.call("Page.navigate", url=view.url + path)
                browser.until(lambda: view._board.watched)

                def shown() -> bool:
                    view.show(frame, faces, reports=reports)
                    picture = "document.getElementById('picture')?.naturalWidth"
                    state = "document.getElementById('state')?.textContent"
                    return bool(page.value(picture)) and page.value(state) == "live"

                browser.until(shown)
                size["height"] = max(height, page.value("document.documentElement.scrollHeight"))
                page.call("Emulation.setDeviceMetricsOverride", **size)
                time.sleep(1)  # for the page to be laid out anew
                write_image(folder / name, page.picture())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), list(PICTURES))
    else:
        main(Path(__file__).parent / "images", ["placing.jpg"])
