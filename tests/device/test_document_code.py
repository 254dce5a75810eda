"""Every Python block of README, docs and examples runs, page by page, from the first block to the last.

A page's blocks share their names, as they do for whoever types them. What a reader brings is in `brought`; the camera
is a recording that ends. A block that cannot run has ``<!-- not run: reason -->`` before it, which `NOT_RUN` counts.
"""

import doctest
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgeface.bundle import bundled_models
from edgeface.images import read_image
from edgeface.sources import Source, open_source
from edgeface.video import VideoWriter

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)
NOT_RUN = 3
"""Blocks that need hardware that no test has. More of them must be meant."""
ELSEWHERE = {"port=8080": "port=0"}  # a port that another program may have


class Block(NamedTuple):
    """A Python block, the line its code begins in, and why it is not run."""

    code: str
    line: int
    why: str | None


def blocks(text: str) -> list[Block]:
    """The Python blocks of a page."""
    return [
        Block(match["code"], text.count("\n", 0, match.start("code")) + 1, match["why"])
        for match in FENCE.finditer(text)
        if match["language"] in ("python", "py", "pycon")
    ]


CODE = {page: found for page in PAGES if (found := blocks(page.read_text(encoding="utf-8")))}


def run(page: str, block: Block, names: dict[str, Any]) -> None:
    """Run a block, so that an error shows its line of the page. Prompts are a doctest."""
    code = block.code
    for here, there in ELSEWHERE.items():
        code = code.replace(here, there)
    if code.lstrip().startswith(">>>"):
        example = doctest.DocTestParser().get_doctest(code, names, page, page, block.line - 1)
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, clear_globs=False)
        assert result.failed == 0, f"{page}, line {block.line}"
        return
    exec(compile("\n" * (block.line - 1) + code, page, "exec"), names)


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the reader of a page has: an array, a driver's buffer, and a folder with photos and a clip."""
    photo = read_image(ROOT / "examples" / "astronaut.jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("photo.jpg", "photos/a.jpg"):
        (tmp_path / name).write_bytes((ROOT / "examples" / "astronaut.jpg").read_bytes())
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 25) as writer:
        for shift in range(4):
            writer.write(np.roll(photo, 2 * shift, axis=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgeface.streaming.open.open_source", partial(opened, clip))
    nv12 = np.full(704 * 720, 128, np.uint8)
    return {
        "image": photo,
        "stamp": 40_000_000,
        "source": str(clip),
        "memory": nv12.tobytes(),
        "cameras": {"front": photo, "back": photo},
        "save": lambda number, picture: None,
    }


def opened(recording: Path, source: Any, **options: Any) -> Source:
    """The source that a page names; a recording instead of a camera that this machine may not have."""
    return open_source(recording) if source == 0 else open_source(source, **options)


@pytest.fixture
def message(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """An image message, and a publisher that takes messages."""

    def made() -> dict[str, Any]:
        pytest.importorskip("rosbags", reason="message definitions come with in a checkout pip install '.[ros]'")
        from support import ros_messages

        image = ros_messages.install(monkeypatch)["sensor_msgs/Image"]()
        image.width, image.height, image.step, image.encoding = 64, 64, 192, "bgr8"
        image.data = bytes(64 * 192)

        class Publisher:
            def publish(self, message: Any) -> None:
                assert type(message).__name__ == "Detection2DArray"

        return {"message": image, "publisher": Publisher()}

    return made


@pytest.mark.skipif("edgeface-s" not in bundled_models(), reason="no network in this checkout")
@pytest.mark.filterwarnings("ignore:.*leaked:ResourceWarning")
@pytest.mark.parametrize("page", CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_blocks_of_a_page_run(
    page: Path, brought: dict[str, Any], message: Callable[[], dict[str, Any]]
) -> None:
    text = "".join(block.code for block in CODE[page])
    if "edgeface.ros" in text:
        brought |= message()
    if "wide.efm" in text:
        pytest.importorskip("ai_edge_litert", reason="the runtime of wide.efm")
        from edgeface.bundle import Bundle
        from edgeface.resizing import resize_bundle

        resize_bundle(Bundle.find("edgeface-s"), [(320, 192)], "wide.efm")
    for block in CODE[page]:
        if block.why is None:
            run(str(page.relative_to(ROOT)), block, brought)


def test_blocks_that_do_not_run_say_why_and_are_counted() -> None:
    marked = [(page.name, block.why) for page, found in CODE.items() for block in found if block.why is not None]
    assert len(marked) == NOT_RUN, marked
    assert all(
        page.read_text(encoding="utf-8").count("<!-- not run:") == sum(b.why is not None for b in CODE[page])
        for page in CODE
    )
    assert sum(len(found) for found in CODE.values()) > 20


def test_no_page_has_python_that_is_not_in_a_block() -> None:
    """Indented prompts and statements would be read by nobody's test."""
    indented = re.compile(r"^(?: {4,}|\t)(?:>>> |import \w+$|from [\w.]+ import )", re.MULTILINE)
    assert [page.name for page in PAGES if indented.search(FENCE.sub("", page.read_text(encoding="utf-8")))] == []


def test_an_error_in_a_block_is_shown_at_its_line_of_the_page() -> None:
    text = """words

```python
a = 1
a += missing
```

<!-- not run: needs a moon -->
```python
fly()
```
```sh
ls
```
```pycon
>>> 1 + 1
3
```
"""
    first, second, third = blocks(text)
    assert (first.line, first.why, second.why, third.why) == (4, None, "needs a moon", None)
    with pytest.raises(NameError) as failed:
        run("page.md", first, {})
    assert (str(failed.traceback[-1].path), failed.traceback[-1].lineno + 1) == ("page.md", 5)
    with pytest.raises(AssertionError, match="line 16"):
        run("page.md", third, {})
