"""The documentation site in a browser: nothing is wider than a phone, old addresses of the reference lead on."""

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.browser import CHROMIUM, opened, until

ROOT = Path(__file__).parents[2]
PHONE = (390, 844)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs the extra docs"),
]

#: Wider than its place, and the reader cannot move it: tables and code that scroll in themselves are fine.
TOO_WIDE = """[...document.querySelectorAll('article *')].filter(e => {
  if (e.closest('.md-typeset__scrollwrap, pre, svg') || getComputedStyle(e).position === 'absolute') return false;
  return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 120))"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Address of the built site, and the paths of its pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pages = [str(page.parent.relative_to(folder)) for page in folder.rglob("index.html")]
        yield f"http://127.0.0.1:{server.server_port}", sorted(pages)
        server.shutdown()
    shutil.rmtree(folder)


def test_nothing_is_wider_than_a_phone(site: tuple[str, list[str]], tmp_path: Path) -> None:
    address, pages = site
    assert "api/detecting" in pages and len(pages) > 40
    wide = {}
    with opened(f"{address}/", tmp_path, PHONE) as page:
        width, height = PHONE
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        for path in pages:
            page.call("Page.navigate", url=f"{address}/{path}/")
            here = f"location.pathname.includes({path.strip('.')!r}) && document.readyState === 'complete'"
            until(lambda here=here: page.value(here))
            found = page.value(TOO_WIDE)
            if found:
                wide[path] = found
    assert wide == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edgeface.engine.FaceEngine.detect", "detecting"),
        ("edgeface.tracking.Tracker", "tracking"),
        ("edgeface.errors", "errors"),
    ],
)
def test_an_old_address_of_the_reference_leads_on(
    site: tuple[str, list[str]], tmp_path: Path, old: str, new: str
) -> None:
    with opened(f"{site[0]}/api/#{old}", tmp_path) as page:
        until(lambda: page.value(f"location.pathname + location.hash === '/api/{new}/#{old}'"))
        assert until(lambda: page.value(f"document.getElementById('{old}') !== null"))
